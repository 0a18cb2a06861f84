"""The options of ``segcli predict``, each once, and how their words become values of PredictSettings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from segcli.settings import MAX_TILES, PredictSettings

F = TypeVar("F", bound=Callable[..., Any])

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Real(click.FloatRange):
    """A number within limits; ``nan`` would pass every comparison that is written to fail."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text → number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class GivenPath(click.Path):
    """A path that is not empty: ``-o "$OUT"`` with OUT unset would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text → Path."""
        if not str(value):
            self.fail("the path is empty (is a variable of the shell not set?)", param, ctx)
        return super().convert(value, param, ctx)


class Bytes(click.ParamType[int]):
    """``500M``, ``2G`` or a plain number of bytes."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text → bytes."""
        if isinstance(value, int):
            return value
        text = str(value).upper().removesuffix("B").removesuffix("I")
        digits, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
        if not digits.isdecimal() or int(digits) == 0:
            self.fail(f"{value!r} is not a size such as 500M or 2G", param, ctx)
        return int(digits) * unit


class Gate(click.ParamType[str | float]):
    """``auto``, ``off`` or a threshold between 0 and 1."""

    name = "auto|off|FLOAT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        """Text → the word or the number."""
        if value in ("auto", "off") or isinstance(value, float):
            return value  # type: ignore[no-any-return]
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number < 1:
            self.fail(f"{value!r} is none of auto, off, or a threshold from 0 to below 1", param, ctx)
        return number


class AutoInt(click.ParamType[int | None]):
    """``auto`` or a positive whole number."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Text → number, None for auto."""
        if value == "auto":
            return None
        if not str(value).isdecimal() or len(str(value)) > 5 or not 1 <= int(value) <= MAX_TILES:
            self.fail(f"{value!r} is neither auto nor a number from 1 to {MAX_TILES}", param, ctx)
        return int(value)


class Spacing(click.ParamType[tuple[float, ...]]):
    """``R,C[,S]`` in mm."""

    name = "R,C[,S]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Text → two or three positive numbers."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (2, 3) or not all(0 < number < 1e4 for number in numbers):
            self.fail(f"{value!r} is not two or three spacings in mm, e.g. 0.5,0.5 or 0.5,0.5,2", param, ctx)
        return numbers


class Select(click.ParamType[tuple[str, str]]):
    """``KEY=VALUE``."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Text → pair."""
        if isinstance(value, tuple):
            return value
        key, equals, wanted = str(value).partition("=")
        if not equals or not key.isalnum():
            self.fail(f"{value!r} is not KEY=VALUE with a DICOM keyword, e.g. Modality=MR", param, ctx)
        return key, wanted


class Shard(click.ParamType[tuple[int, int]]):
    """``i/n``, counted from 1."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text → pair."""
        index, _, count = str(value).partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            self.fail(f"{value!r} is not i/n with 1 ≤ i ≤ n, e.g. 3/8", param, ctx)
        return int(index), int(count)


SELECT = click.option("--select", type=Select(), multiple=True,
                      help="Only DICOM series whose element matches; * allowed, may be repeated.")  # fmt: skip


class Names(click.ParamType[tuple[str, ...] | None]):
    """``NAME,…``."""

    name = "NAME,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Text → names."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if not all(names):
            self.fail(f"{value!r} is not a list of plugins' names, e.g. unet3p or unet,unet3p", param, ctx)
        return names


def plugins_option(command: F) -> F:
    """``--plugins-only``."""
    return click.option("--plugins-only", type=Names(), help="Import only these plugins; others do not run at all.")(
        command
    )


_D = PredictSettings()
_OPTIONS = (
    click.option("--device", default=_D.device, show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default=_D.precision,
                 show_default=True, help="What the network computes in."),
    click.option("--batch", type=AutoInt(), default="auto", show_default=True, help="Tiles a batch."),
    click.option("--overlap", type=Real(0, 0.75), help="Share of the tile; default: the card's."),
    click.option("--gate", type=Gate(), default="auto", show_default=True,
                 help="auto: the card's thresholds, of a gate or an empty filter (off if it has none)."),
    click.option("--memory", type=Bytes(), default="2G", show_default=True, help="Budget of reading ahead."),
    click.option("--max-pixels", type=click.IntRange(1), default=_D.max_pixels, show_default=True,
                 help="Most pixels of one image held in memory."),
    SELECT,
    click.option("--any-modality", is_flag=True, help="Also images of another modality than the model's."),
    click.option("--any-scope", is_flag=True, help="Also images unlike those the model was trained on."),
    click.option("--gaps", type=click.Choice(["warn", "error"]), default=_D.gaps, show_default=True,
                 help="What a missing slice is."),
    click.option("--strict", is_flag=True, help="Warnings about a case are failures."),
    click.option("--spacing", type=Spacing(), help="mm, only for sources that state none."),
    click.option("--channel", help="The one channel of the file to use: name or number from 0."),
    click.option("--follow-links", is_flag=True, help="Follow links that leave the input."),
    click.option("--settle", type=Real(0), default=0.0, show_default=True,
                 help="Skip cases with a file younger than this many seconds."),
    click.option("--dicom-seg", type=click.Choice(["binary", "labelmap"]), default=_D.dicom_seg, show_default=True,
                 help="Kind of DICOM SEG."),
    click.option("--dicom-deflate", is_flag=True,
                 help="DICOM SEG as Deflated Explicit VR Little Endian: far smaller, refused by some archives."),
    click.option("--png-mask", type=click.Choice(["palette", "grey"]), default=_D.png_mask, show_default=True,
                 help="Kind of PNG mask."),
    click.option("--private", is_flag=True, help="What is made: files 0600, folders 0700 instead of the umask."),
    click.option("--overwrite", is_flag=True, help="Redo what the manifest of the output folder lists."),
    click.option("--rebuild", is_flag=True,
                 help="Begin a new manifest and set the old one aside; a mask stays only if it comes out the same."),
    click.option("--retry-failed", is_flag=True, help="Only cases that failed before."),
    click.option("--verify", is_flag=True, help="Read unchanged inputs again instead of trusting size and time."),
    click.option("--case-timeout", type=Real(1),
                 help="Seconds of reading and inference after which a case is given up."),
    click.option("--shard", type=Shard(), help="Only this part of the cases, for array jobs."),
)  # fmt: skip


def predict_options(command: F) -> F:
    """All options of PredictSettings."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
