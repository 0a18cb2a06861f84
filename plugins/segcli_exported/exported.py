"""A network whose weights are the bytes of an exported file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segcli.contract import ModelCard


class Program(Protocol):
    """An exported file ready to run."""

    def move(self, device: torch.device) -> None:
        """Run on ``device`` from now on. Raises RuntimeError if it cannot."""
        ...

    def __call__(self, x: Tensor) -> Any:
        """``[B, C, *spatial]`` float32 → whatever it returns."""
        ...


@dataclass(frozen=True)
class Sizes:
    """What the card says about the file: see ``segcli_exported.OPTIONS``."""

    tile: tuple[int, ...]
    bytes: int
    multiple: int
    offset: int
    fixed: bool
    single: bool
    example: bool

    @staticmethod
    def of(card: ModelCard) -> Sizes:
        """Raises ValueError naming an option of the wrong kind."""
        options = card.plugin_options
        numbers = {name: options.get(name, start) for name, start in (("bytes", 0), ("multiple", 1), ("offset", 0))}
        switches = {name: options.get(name, False) for name in ("fixed", "single", "example")}
        for name, value in numbers.items():
            if type(value) is not int or value < 0:
                raise ValueError(f"plugin option {name!r} must be a whole number of at least 0")
        for name, value in switches.items():
            if type(value) is not bool:
                raise ValueError(f"plugin option {name!r} must be true or false")
        if numbers["multiple"] == 0:
            raise ValueError("plugin option 'multiple' must be at least 1")
        return Sizes(tuple(card.tile), **numbers, **switches)


class Exported(nn.Module):
    """Runs the file that ``load_state_dict`` brings; it computes in the precision it was exported in.

    The file stays on the CPU whatever the device; ``multiple``, ``offset`` and ``fixed_size`` say which sides it takes.
    """

    def __init__(self, sizes: Sizes, kind: Callable[[bytes], Program], example: Callable[[], bytes]) -> None:
        super().__init__()
        self.multiple, self.offset = sizes.multiple, sizes.offset
        self.fixed_size = sizes.tile if sizes.fixed else None
        self._sizes = sizes
        self._kind = kind
        # in a list, so that a program which is a module itself does not become part of the state
        self._program: list[Program] = []
        data = torch.zeros(sizes.bytes, dtype=torch.uint8)
        if sizes.example:
            data = torch.frombuffer(bytearray(example()), dtype=torch.uint8)
        self.register_buffer("program", data)
        self.register_buffer("_place", torch.zeros(()), persistent=False)
        self.program: Tensor
        self._place: Tensor
        self.register_load_state_dict_post_hook(lambda *_: self._open())  # type: ignore[no-untyped-call]
        if sizes.example:
            self._open()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, *spatial]`` float → what the file returns, as float32. Raises ValueError for a wrong size."""
        if not self._program:
            raise RuntimeError("the exported file has not been loaded")
        self._refuse_size(x)
        with torch.autocast(x.device.type, enabled=False):
            if self._sizes.single:
                return torch.cat([self._run(tile) for tile in torch.split(x, 1)])
            return self._run(x)

    def _run(self, x: Tensor) -> Tensor:
        result = self._program[0](x.contiguous())
        if not isinstance(result, Tensor) or not result.is_floating_point():
            kind = result.dtype if isinstance(result, Tensor) else type(result).__name__
            raise ValueError(f"the exported file returns {kind}, not one tensor of floats: export the logits alone")
        return result.float()

    def _refuse_size(self, x: Tensor) -> None:
        size = tuple(x.shape[2:])
        if self.fixed_size is not None and size != self.fixed_size:
            raise ValueError(f"the exported file takes {self.fixed_size} only, not {size}")
        if any((side - self.offset) % self.multiple for side in size):
            raise ValueError(f"every side must be {self.offset} more than a multiple of {self.multiple}, not {size}")

    def _open(self) -> None:
        self._program = [self._kind(self.program.numpy().tobytes())]
        self._program[0].move(self._place.device)

    def _apply(self, fn: Any, recurse: bool = True) -> Exported:
        data = self.program
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.program = data
        for program in self._program:
            program.move(self._place.device)
        return self
