"""Which groups are for what, and which cases are read: decided from names and headers, before a pixel is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segcli.pairing.images import Pair
from segcli.training.options import SplitOptions
from segcli.training.splitting import Split, split_groups

FEW = {"train": (64, 64_000_000), "validation": (24, 12_000_000), "test": (24, 12_000_000)}
"""Cases and pixels of each part that ``--preset smoke`` reads at most, so that it takes minutes on any data set."""
UNKNOWN_PIXELS = 1_000_000
"""Of a case whose header does not say."""


@dataclass
class Choice:
    """The split of a data set; ``few``: keep a sample of each part only.

    Known once :meth:`chosen` ran: ``split``, and ``of``, how many cases there are.
    """

    options: SplitOptions
    few: bool = False
    split: Split = field(default_factory=lambda: Split((), (), ()))
    of: int = 0

    def chosen(self, pairs: Sequence[Pair], groups: Mapping[str, str]) -> Sequence[Pair]:
        """The pairs to read. Raises UsageError if the split leaves nothing to train on."""
        self.of = len(pairs)
        seed = self.options.seed if self.options.split_seed is None else self.options.split_seed
        self.split = split_groups(groups.values(), self.options.validation, self.options.test, seed)
        if not self.few:
            return pairs
        kept: set[str] = set()
        for part, (cases, pixels) in FEW.items():
            wanted = set(getattr(self.split, part))
            kept |= {pair.name for pair in _sample([p for p in pairs if groups[p.name] in wanted], cases, pixels)}
        there = {groups[name] for name in kept}
        self.split = Split(*(tuple(group for group in getattr(self.split, part) if group in there) for part in FEW))
        return [pair for pair in pairs if pair.name in kept]


def _sample(pairs: Sequence[Pair], cases: int, pixels: int) -> list[Pair]:
    """Evenly spread over all, at least one."""
    count = min(cases, len(pairs))
    spread = [pairs[index * len(pairs) // count] for index in range(count)]
    taken: list[Pair] = []
    for pair in spread:
        pixels -= UNKNOWN_PIXELS if pair.case.shape is None else math.prod(pair.case.shape)
        if taken and pixels < 0:
            break
        taken.append(pair)
    return taken
