"""Sizes and ranges as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence


def times(values: Sequence[float | None]) -> str:
    """``230 × 180``; ``?`` for what is not known."""
    return " × ".join("?" if value is None else number(value) for value in values)


def spans(ranges: Sequence[tuple[float, float]]) -> str:
    """``40-58 × 31-40``; a range that is the same along all axes stands once: ``32-60``, ``1``."""
    words = [number(low) if number(low) == number(high) else f"{number(low)}-{number(high)}" for low, high in ranges]
    return " × ".join(words if len(set(words)) > 1 else words[:1])


def number(value: float) -> str:
    """No more digits than anybody looks at."""
    return f"{value:.0f}" if value >= 10 else f"{value:.3g}"
