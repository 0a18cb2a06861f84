"""ONNX files as bytes: weights that lie beside one are put into it, and one that still points outside is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, TensorProto, ValueInfoProto

from segcli.regular_file import open_regular, read_regular

MOST_BYTES = 2**31 - 1
"""protobuf takes no more."""

Shape = tuple[int | None, ...]


def gather(file: Path) -> bytes:
    """The file with the weights that lie in files beside it (external data) as part of it.

    Only regular files of the same folder are opened, links are not. Raises ValueError saying what it points to, or that
    all of it is too large for one file, and OSError if ``file`` itself cannot be read.
    """
    data = read_regular(file)
    model = _parse(data)
    outside = list(_outside(model))
    total = len(data)
    for tensor in outside:
        raw = _beside(file, tensor, MOST_BYTES - total)
        total += len(raw)
        tensor.raw_data = raw
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return model.SerializeToString() if outside else data


def refuse_outside(data: bytes) -> None:
    """Raises ValueError if a part of the network lies outside the bytes: what runs must be what was hashed."""
    if next(_outside(_parse(data)), None) is not None:
        raise ValueError("has weights outside the file (external data): make the model folder anew with models wrap")


def shapes(data: bytes) -> tuple[Shape, Shape] | None:
    """Of the one input and the one output; None if there are more."""
    graph = _parse(data).graph
    weights = {item.name for item in graph.initializer}
    given = [item for item in graph.input if item.name not in weights]
    if len(given) != 1 or len(graph.output) != 1:
        return None
    return _shape(given[0]), _shape(graph.output[0])


def _shape(value: ValueInfoProto) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in dims)


def _parse(data: bytes) -> ModelProto:
    try:
        return ModelProto.FromString(data)
    except DecodeError as error:
        raise ValueError("is damaged, or no ONNX file") from error


def _outside(model: ModelProto) -> Iterator[TensorProto]:
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            yield tensor


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Wherever they may stand: weights, sparse weights, constants of nodes, graphs in nodes, functions."""
    if isinstance(message, TensorProto):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in (value,) if isinstance(value, Message) else value:
                yield from _tensors(item)


def _beside(file: Path, tensor: TensorProto, most: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "").removeprefix("./")
    if location in ("", "..") or set(location) & set("/\\\0") or len(entries) != len(tensor.external_data):
        raise ValueError(f"keeps weights outside its folder ({location[:80]!r}), which are not followed")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    except ValueError as error:
        raise ValueError(f"states no number for where its weights lie in {location!r}") from error
    try:
        with open_regular(file.parent / location, follow_links=False) as stream:
            stream.seek(max(0, offset))
            wanted = length if "length" in entries else most + 1
            raw = stream.read(min(max(0, wanted), most + 1))
    except OSError as error:
        why = "a link is not followed" if (file.parent / location).is_symlink() else error.strerror
        raise ValueError(f"keeps weights in {location!r} beside it, which cannot be read: {why}") from error
    if len(raw) > most:
        raise ValueError("has more than 2 GB of weights, which ONNX cannot hold in one file")
    if offset < 0 or ("length" in entries and len(raw) != length):
        raise ValueError(f"needs more of {location!r} than there is: is it the file that was exported with it?")
    return raw
