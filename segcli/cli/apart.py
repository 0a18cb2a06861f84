"""Work on a stranger's network, done by a process of its own: the network may loop, print, or end the process it is in.

:func:`apart` starts ``python -m segcli.cli.apart`` and waits; that process does one of :data:`TASKS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

from segcli.catalog import load_catalog
from segcli.errors import ERRORS, ModelError, SegcliError, one_line

MOST_PRINTED = 4096


class EndedError(ModelError):
    """The process gave no answer: it was too slow, or something ended it."""


def apart(task: str, seconds: float, **arguments: Any) -> Any:
    """What the task returns (values of JSON). Raises what it raises, and EndedError if it ends without an answer."""
    with tempfile.TemporaryDirectory(prefix="segcli-") as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-P", "-m", "segcli.cli.apart", task, json.dumps(arguments), str(answer)]
        printed = _run(command, seconds)
        if not answer.is_file():
            raise EndedError(f"the process that ran the network ended without an answer ({printed})")
        told = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in told:
        kind, text = told["error"]
        raise ERRORS.get(kind, ModelError)(text)
    return told["result"]


def _run(command: list[str], seconds: float) -> str:
    """How it ended, with the last line it printed. Raises EndedError if it takes longer."""
    # the tests and editable installs put folders on the path that the other process must have, too
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if Path(path).is_absolute())}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    lines: list[str] = []
    listener = threading.Thread(target=_listen, args=(process.stdout, lines), daemon=True)
    listener.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise EndedError(
            f"no answer within {seconds:g} s, so it was ended: does the network loop? --timeout gives it longer"
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()
        listener.join(1)
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return ended + (f"; it printed {lines[-1][:200]!r}" if lines else "")


def _listen(stream: IO[bytes], lines: list[str]) -> None:
    """Keep what it printed last, and little of it, however much it is."""
    last = b""
    with stream:
        while chunk := stream.read1(MOST_PRINTED):  # type: ignore[attr-defined]
            last = (last + chunk)[-MOST_PRINTED:]
    lines += [line for line in last.decode("utf-8", "replace").splitlines() if line.strip()]


def check(model: str, only: Collection[str] | None) -> dict[str, Any]:
    """``models check``: the verdict."""
    from segcli.testing.verdict import check_named  # noqa: PLC0415 - torch comes with it

    return dataclasses.asdict(check_named(model, load_catalog(only)))


def wrap(file: str, card: str | None, output: str, only: Collection[str] | None) -> dict[str, Any]:
    """``models wrap``: a model folder; the card's plugin and measured options, and warnings."""
    from segcli.model_folder import save_model_folder  # noqa: PLC0415 - torch comes with them
    from segcli.wrap import wrap as wrapped_file  # noqa: PLC0415

    wrapped = wrapped_file(Path(file), None if card is None else Path(card), load_catalog(only))
    save_model_folder(Path(output), wrapped.card, wrapped.state)
    options = {name: value for name, value in wrapped.card.plugin_options.items() if name != "bytes"}
    return {"plugin": wrapped.card.plugin, "options": options, "warnings": wrapped.warnings}


def shapes(file: str, only: Collection[str] | None) -> Any:
    """Shapes of input and output as the file states them, or None."""
    from segcli.wrap.measuring import shapes as shapes_of  # noqa: PLC0415 - torch comes with it

    return shapes_of(Path(file), load_catalog(only))


def convert(file: str, target: str) -> None:
    """A program of torch.export, which the user trusts, becomes ONNX."""
    from segcli.wrap.programs import to_onnx  # noqa: PLC0415 - torch comes with it

    to_onnx(Path(file), Path(target))


TASKS: Mapping[str, Callable[..., Any]] = {"check": check, "wrap": wrap, "shapes": shapes, "convert": convert}


def main(task: str, arguments: str, answer: str) -> None:
    """Do one task and write what it returns, or the error it raises, into the file ``answer``."""
    with contextlib.suppress(OSError):  # if memory runs out, this process is the one to end
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        told: dict[str, Any] = {"result": TASKS[task](**json.loads(arguments))}
    except SegcliError as error:
        told = {"error": [type(error).__name__, str(error)]}
    except MemoryError as error:
        told = {"error": ["ModelError", f"there is not enough memory for it: {one_line(error)}"]}
    whole = Path(f"{answer}.part")
    whole.write_text(json.dumps(told), encoding="utf-8")
    whole.replace(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
