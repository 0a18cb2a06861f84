"""The empty filter: a label whose highest probabilities on a slice are low on average is taken off that slice.

It is for networks without a presence head. It looks at finished probabilities, so it saves no computing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from segcli.contract import EmptyFilter, ModelCard
from segcli.engine.aggregator import decide
from segcli.engine.tiles import Layout
from segcli.errors import UnsupportedError


def filter_for(card: ModelCard, wanted: str | float) -> EmptyFilter | None:
    """The card's filter if ``--gate`` is auto; ``off`` switches it off like a gate, a threshold is the gate's own."""
    return card.empty_filter if wanted == "auto" else None


def refuse_too_large(layout: Layout, card: ModelCard, limit: int) -> None:
    """Raise UnsupportedError if the probabilities of a unit are more numbers than may be held (``--max-pixels``)."""
    numbers = card.network_outputs
    for side in layout.size:
        numbers *= side
    if numbers > limit:
        what = "a slice" if card.spatial_dims == 2 else "the stack"
        raise UnsupportedError(
            f"the model's empty filter must see {what} whole, and its {numbers} probabilities are more than "
            f"--max-pixels {limit}: raise it if the memory is there, or --gate off"
        )


class HeldUnit:
    """Probabilities of one unit (slice of a 2-D model, stack of a 3-D model), kept until all of them are known.

    Padding is no part of it. Held on the CPU.
    """

    def __init__(self, empty_filter: EmptyFilter, layout: Layout, card: ModelCard) -> None:
        self._filter = empty_filter
        self._inner = layout.inner
        self._card = card
        self._first = 0 if card.activation == "sigmoid" else 1  # the first label's channel
        self._bands: list[tuple[int, Tensor | None]] = []
        self._top = torch.zeros((len(card.labels), 0))

    def add(self, stop: int, probabilities: Tensor | None) -> None:
        """Final ``[K, row, ...]`` up to row ``stop`` of what tiles return, bands in their order."""
        band = None if probabilities is None else probabilities.cpu()
        self._bands.append((stop, band))
        if band is not None:
            values = torch.cat([self._top, self._seen(stop, band)[self._first :].flatten(1)], dim=1)
            self._top = values.topk(min(self._filter.top_k, values.shape[1]), dim=1).values

    def scores(self) -> Tensor:
        """``[label]`` float64: the mean of the ``top_k`` highest probabilities, of all where there are fewer."""
        return self._top.double().mean(dim=1) if self._top.shape[1] else self._top.new_zeros(len(self._top)).double()

    def close(self) -> bool:
        """Take off the labels whose score is below their threshold; whether any of them had been drawn.

        Their probabilities become 0, the rest is renormalised, as where a gate closes a label. What is not a number is
        never below a threshold, and stays visible.
        """
        closed = self.scores() < torch.tensor(self._filter.threshold, dtype=torch.float64)
        if not bool(closed.any()):
            return False
        values = [label.value for label in self._card.labels]
        gone = torch.tensor([value for value, off in zip(values, closed.tolist(), strict=True) if off])
        drawn = False
        for stop, band in self._bands:
            if band is None:
                continue
            labels = decide(self._seen(stop, band), values, self._card.activation, self._card.threshold)
            drawn = drawn or bool(torch.isin(labels, gone).any())
            band[self._first :][closed] *= 0  # of what is no number makes none
            if self._card.activation != "sigmoid":
                band.div_(band.sum(dim=0, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny))
        return drawn

    def bands(self) -> Iterator[tuple[int, Tensor | None]]:
        """What was added, in order, each once."""
        for index, held in enumerate(self._bands):
            self._bands[index] = (held[0], None)
            yield held

    def _seen(self, stop: int, band: Tensor) -> Tensor:
        rows = self._inner[0]
        begin = stop - band.shape[1]
        low, high = max(rows.start, begin), min(rows.stop, stop)
        return band[(slice(None), slice(low - begin, max(low, high) - begin), *self._inner[1:])]
