"""Programs of ``torch.export`` (``.pt2``) become ONNX files, once."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

from segcli.errors import ModelError, UsageError, one_line
from segcli.regular_file import open_regular

MARKS = ("models/model.json", "serialized_exported_program.json")
"""An entry of the archive by which new and old programs are known."""
UNTRUSTED = (
    "is a program of torch.export, and opening it may run any Python code hidden in it: if you trust its author, "
    "--trust turns it into ONNX once; if not, ask for ONNX"
)


def is_program(file: Path) -> bool:
    """Whether torch.export wrote it. Raises UsageError for a file that cannot be read."""
    try:
        with open_regular(file) as stream:
            return any(name.endswith(MARKS) for name in zipfile.ZipFile(stream).namelist())
    except zipfile.BadZipFile:
        return False
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})") from error


def to_onnx(program: Path, target: Path) -> None:
    """Write the program as one ONNX file. To be called in a process apart: loading may fall back to pickle."""
    import torch  # noqa: PLC0415 - the command line asks is_program without it

    try:
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError("onnxscript is not installed, which writes ONNX: pip install 'segcli[onnx]'") from error
    with warnings.catch_warnings(action="ignore"):
        try:
            loaded = torch.export.load(program)
            torch.onnx.export(loaded, (), target, dynamo=True, external_data=False, verbose=False)
        except Exception as error:
            raise ModelError(f"{program} cannot be turned into ONNX: {one_line(error)}") from error
