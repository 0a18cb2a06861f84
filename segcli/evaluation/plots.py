"""Two pictures of an evaluation: Dice of every case, false positives on empty slices.

matplotlib comes with the extra ``[plots]``.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcli.evaluation.evaluate import Evaluation
from segcli.evaluation.scores import CaseScore
from segcli.formats.atomic import write_bytes_atomically

MISSING = "no pictures: matplotlib is not installed (pip install 'segcli[plots]')"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write_plots(folder: Path, evaluation: Evaluation) -> None:
    """``dice.png`` and ``false_positives.png`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {"predictions": evaluation.cases}
    if evaluation.ungated is not None:
        sets = {"with gate": evaluation.cases, "without gate": evaluation.ungated}
    _plot_dice(folder / "dice.png", sets)
    _plot_false_positives(folder / "false_positives.png", sets)


def _plot_dice(path: Path, sets: dict[str, tuple[CaseScore, ...]]) -> None:
    figure, axes = _figure()
    labels = list(dict.fromkeys(name for cases in sets.values() for case in cases for name in case.labels))
    values = [(name, label, _dice(cases, label)) for label in labels for name, cases in sets.items()]
    axes.boxplot([dice for _, _, dice in values], showfliers=False)
    for place, (_, _, dice) in enumerate(values, start=1):
        shift = np.linspace(-0.15, 0.15, len(dice)) if len(dice) > 1 else np.zeros(len(dice))
        axes.plot(place + shift, dice, ".", color="tab:blue", alpha=0.5)
    names = [label if len(sets) == 1 else f"{label}\n{name}" for name, label, _ in values]
    axes.set_xticks(range(1, len(names) + 1), names)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("Dice of each case that holds the label")
    _save(figure, path)


def _plot_false_positives(path: Path, sets: dict[str, tuple[CaseScore, ...]]) -> None:
    figure, axes = _figure()
    for name, cases in sets.items():
        pixels = np.sort(np.concatenate([_on_empty(case) for case in cases] or [np.zeros(0)]))
        share = np.arange(1, len(pixels) + 1) / max(1, len(pixels))
        axes.step([0, *pixels.tolist()], [0, *share.tolist()], where="post", label=f"{name} ({len(pixels)} slices)")
    axes.set_xscale("symlog")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("predicted pixels on a slice without a label")
    axes.set_ylabel("share of such slices with at most so many")
    axes.legend(fontsize="small", loc="lower right")
    _save(figure, path)


def _dice(cases: Sequence[CaseScore], label: str) -> list[float]:
    scores = [case.labels[label] for case in cases if label in case.labels]
    return [score.dice for score in scores if score.reference and score.dice is not None]


def _on_empty(case: CaseScore) -> Any:
    return case.slice_predicted[case.slice_reference == 0]


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - of the extra [plots]
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    figure.axes[0].grid(visible=True, alpha=0.3)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    write_bytes_atomically(path, stream.getvalue())
