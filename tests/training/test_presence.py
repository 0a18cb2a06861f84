"""Tiles as predict cuts them, and which of them count for the gate."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcli.contract import Label, ModelCard
from segcli.image import Image
from segcli.training.examples import Example
from segcli.training.gate_curve import format_curve, gate_curve
from segcli.training.loop import Hardware
from segcli.training.presence import TileScores, tile_scores

CARD = ModelCard(
    plugin="x", name="x", version="1", license="CC0-1.0", spatial_dims=2, channels=("x",),
    labels=(Label(1, "a", (1, 2, 3)),), tile=(16, 16), overlap=(0, 0), margin=(0, 0),
)  # fmt: skip


class Brightest(nn.Module):
    """Presence is the brightest pixel of the tile, as a logit."""

    multiple, offset = 1, 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def encode(self, x: Tensor) -> tuple[Tensor]:
        return (x,)

    def presence(self, features: tuple[Tensor]) -> Tensor:
        return features[0].flatten(1).amax(dim=1, keepdim=True)

    def decode(self, features: tuple[Tensor]) -> Tensor:
        return torch.cat([-features[0], features[0]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def example(labels: np.ndarray, group: str = "g") -> Example:
    """An image that is -4 outside its labels and 4 inside."""
    pixels = np.where(labels, 4.0, -4.0).astype(np.float32)
    card_labels = labels.astype(np.uint8)
    return Example("c", group, (Image(pixels[:, None]),), (card_labels,))


RAW = replace(CARD, intensity=replace(CARD.intensity, kind="none"))


def scored(labels: np.ndarray, fewest: int = 5) -> TileScores:
    return tile_scores(Brightest(), RAW, [example(labels)], Hardware(), fewest)


def test_one_score_a_tile_of_every_slice() -> None:
    labels = np.zeros((2, 16, 32), bool)
    labels[1, 4:8, 20:24] = True
    scores = scored(labels)
    assert scores.present[:, 0].tolist() == [False, False, False, True]
    sure = float(torch.tensor(4.0).sigmoid())
    assert scores.probability[:, 0].tolist() == pytest.approx([1 - sure, 1 - sure, 1 - sure, sure], rel=1e-4)


def test_a_tile_with_a_few_pixels_of_a_cut_object_is_left_out() -> None:
    labels = np.zeros((1, 16, 32), bool)
    labels[0, 4:6, 15:20] = True  # 2 pixels in the left tile, 8 in the right one
    assert scored(labels).present[:, 0].tolist() == [True]
    assert scored(labels, fewest=2).present[:, 0].tolist() == [True, True]


def test_a_small_object_that_is_whole_counts() -> None:
    labels = np.zeros((1, 16, 32), bool)
    labels[0, 4, 4] = labels[0, 0, 31] = True
    assert scored(labels).present[:, 0].tolist() == [True, True]


def test_small_images_are_padded_as_predict_pads() -> None:
    labels = np.zeros((1, 5, 9), bool)
    labels[0, 0, 0] = True
    assert scored(labels).present.tolist() == [[True]]


def test_groups_are_numbered() -> None:
    empty = np.zeros((1, 16, 16), bool)
    scores = tile_scores(Brightest(), RAW, [example(empty, group) for group in ("b", "a", "b")], Hardware(), 5)
    assert scores.group.tolist() == [1, 0, 1]


def test_a_network_without_a_head_has_no_scores() -> None:
    with pytest.raises(TypeError, match="presence head"):
        tile_scores(nn.Conv2d(1, 2, 1), RAW, [], Hardware(), 5)


def test_the_curve_by_hand() -> None:
    scores = TileScores(
        np.array([[0.1], [0.2], [0.6], [0.7]]), np.array([[False], [True], [False], [True]]), np.zeros(4, np.int64)
    )
    curve = gate_curve(scores)
    at = {round(tau, 3): index for index, tau in enumerate(curve.threshold)}
    assert (curve.gated[at[0.0]], curve.gated[at[0.5]], curve.gated[at[0.7]]) == (0, 0.5, 0.75)
    assert (curve.gated_empty[at[0.2]], curve.gated_empty[at[0.7]]) == (0.5, 1)
    assert (curve.sensitivity[at[0.2], 0], curve.sensitivity[at[0.5], 0]) == (1, 0.5)
    rows = list(csv.reader(io.StringIO(format_curve(curve, ["a"]))))
    assert rows[0] == ["threshold", "tiles_gated", "empty_tiles_gated", "sensitivity a"]
    assert len(rows) == len(curve.threshold) + 1
