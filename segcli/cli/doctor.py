"""``segcli doctor``: what is installed here and what it can do."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from segcli.cli.options import plugins_option
from segcli.cli.terminal import say
from segcli.exit_code import ExitCode

LIBRARIES = (
    "torch", "numpy", "SimpleITK", "pydicom", "highdicom", "tifffile", "imagecodecs", "simplejpeg", "nibabel",
    "safetensors",
)  # fmt: skip


@click.command()
@plugins_option
def doctor(plugins_only: tuple[str, ...] | None) -> int:
    """Versions, devices, readers, models: what a run needs. Exit code 2 if something is missing."""
    from segcli.catalog import load_catalog  # noqa: PLC0415 - `segcli --help` stays light
    from segcli.errors import SegcliError  # noqa: PLC0415

    troubles: list[str] = []
    say(f"segcli {version('segcli')}, Python {platform.python_version()}, {platform.system()}")
    for name in LIBRARIES:
        try:
            say(f"  {name} {version(name)}")
        except PackageNotFoundError:
            troubles.append(f"{name} is not installed: install segcli again")
    say(f"devices: {', '.join(_devices())}")
    try:
        say(f"readers: {_readers()}")
    except SegcliError as error:
        troubles.append(str(error))
    for line in _dicom_decoders():
        say(line)
    catalog = load_catalog(plugins_only)
    for entry in catalog.models.values():
        say(f"model {entry.name}: {'ready' if entry.default else 'needs a model folder'}")
    for name in catalog.left_out:
        say(f"model {name}: not loaded")
    troubles += [f"model {item.name} of {item.distribution}: {item.reason}" for item in catalog.broken]
    for trouble in troubles:
        say(f"TROUBLE: {trouble}")
    return ExitCode.USAGE if troubles else ExitCode.DONE


def _devices() -> list[str]:
    import torch  # noqa: PLC0415

    cards = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return ["cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]


def _dicom_decoders() -> list[str]:
    from segcli.formats.dicom.kinds import decoders  # noqa: PLC0415 - imports pydicom

    found = decoders()
    return [f"DICOM: {len(found)} transfer syntaxes", *(f"  {uid}  {name}: {decoder}" for uid, name, decoder in found)]


def _readers() -> str:
    """Start a reader and have it read one header that does not exist: it must answer."""
    from pathlib import Path  # noqa: PLC0415

    from segcli.formats.readers import Readers  # noqa: PLC0415
    from segcli.formats.table import FORMATS  # noqa: PLC0415

    with Readers(1) as readers:
        list(readers.describe("png", [Path("/nonexistent/file.png")]))
    return f"a reader process starts and answers; formats: {', '.join(FORMATS)}"
