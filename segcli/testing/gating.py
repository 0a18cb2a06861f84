"""Checks of the presence head and of what training sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segcli.contract import GatedNetwork, TrainableNetwork
from segcli.testing.subject import CheckFailed, NotApplicable, Note, Subject, forward, must_agree


def _gated(subject: Subject) -> GatedNetwork:
    network = subject.network()
    if isinstance(network, GatedNetwork):
        return network
    if getattr(network, "presence", None) is None and not hasattr(network, "decode"):
        raise NotApplicable("the network has no presence head")
    offered = [name for name in ("encode", "presence", "decode") if callable(getattr(network, name, None))]
    if len(offered) == 3 or "presence" in offered:
        raise CheckFailed(f"only {' and '.join(offered)} of encode, presence and decode: the gate would never be used")
    raise NotApplicable("the network has no presence head")


@torch.inference_mode()
def _features(network: GatedNetwork, x: Tensor) -> tuple[Tensor, ...]:
    features = network.encode(x)
    if not isinstance(features, tuple) or not all(isinstance(item, Tensor) for item in features):
        raise CheckFailed("encode must return a tuple of tensors")
    if not features or any(item.ndim < 1 or item.shape[0] != x.shape[0] for item in features):
        shapes = ", ".join(str(tuple(item.shape)) for item in features)
        raise CheckFailed(f"every feature must have the batch ({x.shape[0]}) on axis 0; shapes are {shapes or 'none'}")
    return features


@torch.inference_mode()
def check_decode_of_encode_is_forward(subject: Subject) -> Note:
    """``decode(encode(x)) == forward(x)``: with and without the gate it is one network."""
    network = _gated(subject)
    x = subject.tiles(2)
    decoded = network.decode(_features(network, x))
    assert isinstance(network, nn.Module)  # noqa: S101 - for the type checker; _gated built it
    return must_agree(decoded, forward(network, x), "decode(encode(x)) is not forward(x)")


@torch.inference_mode()
def check_presence(subject: Subject) -> Note:
    """Presence is one finite logit per tile and label, the same for a tile alone as in a batch."""
    network = _gated(subject)
    x, labels = subject.tiles(3), len(subject.card.labels)
    presence = network.presence(_features(network, x))
    if not isinstance(presence, Tensor) or tuple(presence.shape) != (3, labels):
        shape = tuple(presence.shape) if isinstance(presence, Tensor) else type(presence).__name__
        raise CheckFailed(f"presence of 3 tiles and {labels} label(s) is {shape}, not {(3, labels)}")
    if not presence.is_floating_point() or not bool(torch.isfinite(presence).all()):
        raise CheckFailed("presence must be finite floats (logits)")
    single = network.presence(_features(network, x[2:]))
    must_agree(single, presence[2:], "a tile's presence depends on the other tiles of the batch")
    return Note(f"logits {float(presence.min()):.2g} to {float(presence.max()):.2g}")


@torch.inference_mode()
def check_decode_of_survivors(subject: Subject) -> Note:
    """Decoding some tiles, or survivors of two batches together, gives what decoding all of them gives."""
    network = _gated(subject)
    features = _features(network, subject.tiles(4))
    whole = network.decode(features)
    some = network.decode(tuple(item[[3, 1]] for item in features))
    must_agree(some, whole[[3, 1]], "decoding a subset is not the subset of decoding all")
    other = _features(network, subject.tiles(2, seed=7))
    mixed = network.decode(tuple(torch.cat([a[2:3], b[1:2]]) for a, b in zip(features, other, strict=True)))
    return must_agree(
        mixed,
        torch.cat([whole[2:3], network.decode(other)[1:2]]),
        "survivors of two batches decode differently together",
    )


def check_training_outputs(subject: Subject) -> Note:
    """Maps of the logits' shape, full resolution first, presence where there is a head, and gradients that arrive."""
    network = subject.network()
    if not isinstance(network, TrainableNetwork):
        raise NotApplicable("training_outputs is not offered: segcli train cannot train it")
    x, labels = subject.tiles(2), len(subject.card.labels)
    logits = forward(network, x)
    network.train()
    outputs = network.training_outputs(x)
    if not isinstance(outputs, tuple) or len(outputs) != 2:
        raise CheckFailed("training_outputs must return (list of maps, presence or None)")
    maps, presence = outputs
    if not isinstance(maps, list) or not maps or not all(isinstance(item, Tensor) for item in maps):
        raise CheckFailed("the maps must be a list of at least one tensor")
    if maps[0].shape != logits.shape:
        raise CheckFailed(f"the first map is {tuple(maps[0].shape)}, forward gives {tuple(logits.shape)}")
    if any(item.shape[:2] != logits.shape[:2] or item.ndim != logits.ndim for item in maps):
        raise CheckFailed("a map has another batch, number of classes or number of axes than the logits")
    if isinstance(network, GatedNetwork) != (presence is not None):
        raise CheckFailed("presence must be given by a network with a presence head, and None without one")
    if presence is not None and tuple(presence.shape) != (2, labels):
        raise CheckFailed(f"presence is {tuple(presence.shape)}, not {(2, labels)}")
    return _gradients(network, maps, presence)


def _gradients(network: nn.Module, maps: list[Tensor], presence: Tensor | None) -> Note:
    loss = torch.stack([item.square().mean() for item in [*maps, *([] if presence is None else [presence])]]).sum()
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not learning or not loss.requires_grad:
        raise CheckFailed("no gradient reaches a parameter: it cannot be trained")
    loss.backward()  # type: ignore[no-untyped-call]
    idle = [name for name, p in learning.items() if p.grad is None]
    if idle:
        return Note(f"{len(maps)} map(s); never trained: {', '.join(idle[:3])}", {"untrained": idle}, warning=True)
    return Note(f"{len(maps)} map(s), every parameter gets a gradient")
