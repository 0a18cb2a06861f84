"""Networks whose answer is known beforehand, sources and sinks that watch what the engine does with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from segcli.contract import Intensity, Label, ModelCard
from segcli.engine.events import Band, Progress, Result
from segcli.engine.segmenter import Segmenter, Stream
from segcli.geometry import Geometry
from segcli.image import Image
from segcli.settings import PredictSettings

NOWHERE = Geometry()
CPU = PredictSettings(device="cpu", precision="float32", batch=3)


def card(**changes):
    values = {
        "plugin": "toy", "name": "toy", "version": "1", "license": "CC0-1.0", "spatial_dims": 2, "channels": ("grey",),
        "labels": (Label(5, "object", (255, 0, 0)),), "tile": (8, 8), "overlap": (2, 2), "margin": (0, 0),
        "intensity": Intensity("none"),
    }  # fmt: skip
    return ModelCard(**{**values, **changes})


class Threshold(nn.Module):
    """Label 1 where the pixel is above 100, without a presence head."""

    multiple, offset = 1, 0

    def forward(self, x):
        return torch.cat([100 - x, x - 100], dim=1)


class Gated(Threshold):
    """The same, with a presence head that looks for a pixel above 100; remembers the batches it saw."""

    def __init__(self):
        super().__init__()
        self.encoded = []
        self.decoded = []

    def encode(self, x):
        self.encoded.append(len(x))
        return (x,)

    def presence(self, features):
        return (features[0].amax(dim=(1, 2, 3))[:, None] - 100) * 10

    def decode(self, features):
        self.decoded.append(len(features[0]))
        return Threshold.forward(self, features[0])


class Banded:
    """``pixels`` ``[slice, channel, row, column]`` as a source that is read in bands; remembers which rows were."""

    shape = property(lambda self: self._pixels.shape)

    def __init__(self, pixels, geometry=NOWHERE):
        self._pixels = pixels
        self.dtype = pixels.dtype
        self.geometry = geometry
        self.valid = None
        self.extra = {}
        self.reads = []

    def read(self, slice_index, row_start, row_stop):
        assert 0 <= row_start < row_stop <= self.shape[2]
        self.reads.append((slice_index, row_start, row_stop))
        return self._pixels[slice_index, :, row_start:row_stop]


class Sink:
    """Takes the bands of one volume in order and nothing else."""

    def __init__(self, shape):
        slices, _, rows, columns = shape
        self.mask = np.full((slices, rows, columns), 255, np.uint8)
        self.at = (0, 0)

    def write(self, band):
        assert (band.slice_index, band.row_start) == self.at
        assert band.labels.dtype == np.uint8
        assert band.labels.shape[1] == self.mask.shape[2]
        stop = band.row_start + len(band.labels)
        self.mask[band.slice_index, band.row_start : stop] = band.labels
        slice_index = band.slice_index
        self.at = (slice_index, stop) if stop < self.mask.shape[1] else (slice_index + 1, 0)

    @property
    def full(self):
        return self.at == (len(self.mask), 0)


def one(network, part, wanted=None, options=CPU):
    ((_, result),) = Segmenter(network, wanted or card(), options).segment([("case", (part,))])
    return result


def events(network, cases, wanted=None, options=CPU):
    """All events of a stream of (name, parts) or (name, parts, seconds of the deadline used before)."""
    stream = Stream(Segmenter(network, wanted or card(), options))
    for case in cases:
        yield from stream.feed(*case)
    yield from stream.finish()


def in_bands(network, part, wanted=None, options=CPU, out=None):
    """The sink that took the bands of the one case, and its result."""
    out = Sink(part.shape) if out is None else out
    found = []
    for event in events(network, [("case", (part,))], wanted, options):
        match event:
            case Band():
                assert event.volume == 0 and not found
                out.write(event)
            case Result(result=result):
                found.append(result)
            case Progress(done=done, total=total):
                assert done <= total
    (result,) = found
    return out, result


def picture(rows, columns, seed=0, slices=1):
    pixels = np.random.default_rng(seed).integers(0, 200, (slices, 1, rows, columns), dtype=np.uint8)
    return Image(pixels)
