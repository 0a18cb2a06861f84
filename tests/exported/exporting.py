"""Small networks and how people export them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

CARD: dict[str, Any] = {
    "name": "toy", "version": "1", "license": "CC0-1.0", "spatial_dims": 2, "channels": ["grey"], "context_slices": 0,
    "labels": [{"value": 3, "name": "object", "color": [255, 170, 0]}], "activation": "softmax",
    "intensity": {"kind": "zscore", "scope": "case"}, "modality": None, "spacing": None, "orientation": None,
    "tile": [16, 16], "overlap": [4, 4], "margin": [0, 0],
}  # fmt: skip


class Net(nn.Module):
    """Two convolutions, of which the first halves the size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(1, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.drop(self.down(x).relu()))


class Probabilities(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x).relu()).softmax(dim=1)


class TwoMaps(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.up(self.down(x).relu())
        return y, y


def script(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(network), path)
    return path


def trace(network: nn.Module, x: Tensor, path: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(network, x, check_trace=False), path)
    return path


def run_script(path: Path, x: Tensor) -> Tensor:
    """As somebody without segcli would run it."""
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        return torch.jit.load(path).eval()(x)


def write_onnx(path: Path, shape: list[Any], kernel: int = 3, **save: Any) -> Path:
    """One convolution of fixed weights, 1 channel → 2 classes, padded to keep the size; ``shape`` of its input."""
    weight = torch.randn(2, 1, kernel, kernel, generator=torch.Generator().manual_seed(1)).numpy()
    nodes = [helper.make_node("Conv", ["x", "w"], ["logits"], pads=[kernel // 2] * 4)]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 2, *shape[2:]])
    graph = helper.make_graph(nodes, "net", [given], [result], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path, **save)
    return path


def card(folder: Path, **changes: Any) -> Path:
    """A complete card; a value of ... leaves the field out."""
    path = folder / "card.json"
    path.write_text(json.dumps({k: v for k, v in {**CARD, **changes}.items() if v is not ...}))
    return path
