"""``segcli report``: show a finished run again, or join the reports of shards."""

from __future__ import annotations

from pathlib import Path

import click

from segcli.cli.console import Console, ConsoleOptions
from segcli.errors import UsageError


@click.command()
@click.argument("output", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--merge", "join", is_flag=True, help="Join the reports of all --shard runs and write the whole one.")
@click.option("--write", is_flag=True, help="Write volumes.csv and report.html again.")
@click.option("--private", is_flag=True, help="What is written: 0600 instead of the umask.")
@click.option("--group", is_flag=True, help="Files skipped for one reason as one line.")
@click.option("-v", "--verbose", count=True, help="More on each case.")
@click.option("--log-paths", is_flag=True, help="Paths also where the output is not a terminal.")
def report(output: Path, join: bool, write: bool, private: bool, group: bool, verbose: int, log_paths: bool) -> int:
    """Show the report of the run that wrote OUTPUT; the exit code is that run's.

    Of a run that died without a report, what its manifest says is shown, with exit code 70.
    """
    from segcli.batch.last_run import last_run  # noqa: PLC0415 - `segcli --help` stays light
    from segcli.reporting.content import report_from  # noqa: PLC0415
    from segcli.reporting.files import write_report, write_tables  # noqa: PLC0415
    from segcli.reporting.merge import NAME, merge, shards_of  # noqa: PLC0415

    if join:
        content = merge([last_run(output, shard) for shard in shards_of(output)])
        write_report(output, content, private=private, token="merge")  # noqa: S106 - no secret
    else:
        if not (output / "report.json").exists() and any(NAME.fullmatch(path.name) for path in output.iterdir()):
            raise UsageError(f"{output}: holds the reports of shards; --merge joins them")
        content = last_run(output, None)
        if write:
            write_tables(output, content, private=private, token="merge")  # noqa: S106
    shown = report_from(content)
    console = Console(ConsoleOptions(progress=False, verbose=verbose, paths=log_paths, group=group), output)
    for outcome in shown.outcomes:
        console.on_result(outcome)
    console.show(shown)
    return shown.exit_code
