"""Learning curves and the gate's curve as pictures. matplotlib comes with the extra ``[plots]``; without it no picture.

Every picture has its numbers beside it as CSV.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcli.contract import Gate
from segcli.formats.atomic import write_bytes_atomically
from segcli.training.gate_curve import GateCurve
from segcli.training.history import Row

CURVES, GATE = "curves.png", "gate.png"
MARK = ".-"
"""A dot at every point: one point alone makes no line."""
MISSING = "no pictures: matplotlib is not installed (pip install 'segcli[plots]'); the CSV files hold their numbers"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_history(folder: Path, rows: Sequence[Row]) -> None:
    """``curves.png``: the loss above, Dice and specificity of validation below."""
    figure, (above, below) = _figure(2)
    steps = [row.step for row in rows]
    above.plot(steps, [row.loss for row in rows], MARK, color="black", label="training loss")
    above.set_ylabel("loss")
    for label in rows[0].by_label if rows else ():
        below.plot(steps, [_nan(row.by_label[label]) for row in rows], MARK, label=f"Dice {plain(label)}")
    specificity = [_nan(row.specificity) for row in rows]
    below.plot(steps, specificity, "--" + MARK[0], color="grey", label="specificity, empty slices")
    below.set_ylim(-0.02, 1.02)
    below.set_xlabel("step")
    below.set_ylabel("validation, no gate")
    _save(figure, folder / CURVES)


def plot_gate(folder: Path, curve: GateCurve, labels: Sequence[str], gate: Gate | None) -> None:
    """``gate.png``: sensitivity of each label against the share of tiles that skip the decoder; the chosen gate."""
    figure, (axes,) = _figure(1)
    half = int(np.searchsorted(curve.threshold, 0.5))
    for index, label in enumerate(labels):
        line = axes.plot(curve.gated, curve.sensitivity[:, index], label=plain(label))[0]
        axes.plot(curve.gated[half], curve.sensitivity[half, index], "s", color=line.get_color(), fillstyle="none")
        if gate is not None:
            at = min(int(np.searchsorted(curve.threshold, gate.threshold[index])), len(curve.gated) - 1)
            axes.plot(curve.gated[at], gate.sensitivity[index], "o", color=line.get_color())
    chosen = "no threshold chosen" if gate is None else "● chosen threshold"
    axes.set_title(f"{chosen}    □ threshold 0.5", fontsize="small")
    lowest = float(np.nan_to_num(curve.sensitivity[: half + 1], nan=1.0).min())
    axes.set_ylim(max(0.0, lowest - 0.02), 1.002)
    axes.set_xlim(0, min(1.0, 1.2 * float(curve.gated[half]) + 0.02))
    axes.set_xlabel("share of tiles gated")
    axes.set_ylabel("sensitivity (tiles with the label)")
    _save(figure, folder / GATE)


def _figure(rows: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - of the extra [plots]
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, squeeze=False)[:, 0]


def _save(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    write_bytes_atomically(path, stream.getvalue())


def plain(text: str) -> str:
    """A label's name as matplotlib may draw it: no formulas, and no leading underscore, which would hide it."""
    return text.replace("$", r"\$").removeprefix("_") or "label"


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
