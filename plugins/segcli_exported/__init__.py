"""Networks somebody else trained and exported, TorchScript or ONNX, as models of segcli without writing code.

`segcli models wrap` makes their model folders: the exported file travels as one tensor of bytes inside
``model.safetensors``, so it is hashed like any weights and nothing is unpickled by Python. It is still a program: run
only files of people whose programs you would run. Importing this module imports neither torch nor onnxruntime.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.contract import API_VERSION, Label, ModelCard
from segcli.regular_file import read_regular

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int | None, ...]

OPTIONS = ("bytes", "multiple", "offset", "fixed", "single", "example")
"""What ``plugin_options`` may hold; `segcli models wrap` measures and writes them.

``bytes``: length of the exported file. ``multiple``, ``offset``: the sides it takes. ``fixed``: it takes the card's
tile only. ``single``: it takes one tile at a time. ``example``: a program of two lines instead of a loaded one.
"""


@dataclass(frozen=True)
class Plugin:
    """One kind of exported file; ``needs``: the modules that run it."""

    name: str
    summary: str
    needs: tuple[str, ...]
    api: int = API_VERSION

    def example(self) -> ModelCard:
        """A program that calls every positive pixel an object."""
        return ModelCard(
            plugin=self.name,
            name=f"{self.name}-example",
            version="0",
            license="CC0-1.0",
            spatial_dims=2,
            channels=("grey",),
            labels=(Label(1, "object", (255, 170, 0)),),
            tile=(16, 16),
            overlap=(4, 4),
            margin=(0, 0),
            plugin_options={"example": True},
        )

    def default(self) -> Path | None:
        """None: the file is yours."""
        return None

    def build(self, card: ModelCard) -> nn.Module:
        """A network that waits for its file. Raises ValueError for a wrong option, or if what runs it is missing."""
        for option in card.plugin_options:
            if option not in OPTIONS:
                raise ValueError(f"unknown plugin option {option!r} (known: {', '.join(OPTIONS)})")
        self._must_be_installed()
        from segcli_exported.exported import Exported, Sizes  # noqa: PLC0415 - listing models must not import torch

        sizes = Sizes.of(card)
        if self.name == "onnx":
            from segcli_exported.onnx_session import OnnxProgram, example_file  # noqa: PLC0415

            return Exported(sizes, OnnxProgram, example_file)
        from segcli_exported.jit_program import TorchScriptProgram, example_program  # noqa: PLC0415

        return Exported(sizes, TorchScriptProgram, example_program)

    def gather(self, file: Path) -> bytes:
        """All of an exported file, weights that lie beside it included.

        Raises ValueError for weights that may not be followed, or if what reads it is missing, and OSError.
        """
        if self.name == "torchscript":
            return read_regular(file)
        self._must_be_installed()
        from segcli_exported.onnx_file import gather  # noqa: PLC0415 - imports onnx

        return gather(file)

    def shapes(self, data: bytes) -> tuple[Shape, Shape] | None:
        """Of input and output, None for a side of any length; None if the file does not say."""
        if self.name == "torchscript":
            return None
        from segcli_exported.onnx_file import shapes  # noqa: PLC0415

        return shapes(data)

    def _must_be_installed(self) -> None:
        for module in self.needs:
            if find_spec(module) is None:
                raise ValueError(f"{module} is not installed: pip install 'segcli[{self.name}]'")


torchscript = Plugin("torchscript", "an exported TorchScript file (see segcli models wrap)", ("torch",))
onnx = Plugin("onnx", "an exported ONNX file (see segcli models wrap)", ("onnxruntime", "onnx"))
