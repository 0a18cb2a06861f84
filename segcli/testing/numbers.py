"""Checks of what a network returns: sizes, shapes, values, and that nothing but the input decides them."""

from __future__ import annotations

import torch
from torch import Tensor

from segcli.testing.subject import (
    CheckFailed,
    NotApplicable,
    Note,
    Subject,
    contract_numbers,
    forward,
    legal_sizes,
    must_agree,
)


def check_sizes(subject: Subject) -> Note:
    """Sizes that fit ``multiple`` and ``offset`` are accepted, others refused instead of computed wrongly."""
    network = subject.network()
    multiple, offset = contract_numbers(network)
    accepted = legal_sizes(network, subject.card)
    for size in accepted:
        try:
            forward(network, subject.tiles(1, size))
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(f"{_by(size)} fits multiple and offset but is refused: {_first(error)}") from error
    wrong = tuple(side + 1 for side in subject.card.tile)
    fixed = getattr(network, "fixed_size", None) is not None
    if multiple > 1 or fixed:
        try:
            forward(network, subject.tiles(1, wrong))
        except CheckFailed:
            raise
        except Exception:  # noqa: BLE001 - any refusal will do
            return Note(f"{', '.join(map(_by, accepted))} accepted, {_by(wrong)} refused")
        raise CheckFailed(f"{_by(wrong)} does not fit (multiple {multiple}, offset {offset}) but is accepted")
    return Note(f"{', '.join(map(_by, accepted))} accepted, every size is legal")


def check_shape_dtype_range(subject: Subject) -> Note:
    """``[B, K, *(size − 2·margin)]`` floats, finite, for ordinary, constant and very bright tiles."""
    network, card = subject.network(), subject.card
    highest = 0.0
    for size in legal_sizes(network, card):
        x = subject.tiles(2, size)
        for kind, values in {"ordinary": x, "constant": torch.zeros_like(x), "very bright": x * 100}.items():
            logits = forward(network, values)
            expected = (2, card.network_outputs, *(s - 2 * m for s, m in zip(size, card.margin, strict=True)))
            if tuple(logits.shape) != expected:
                raise CheckFailed(f"a batch of 2 tiles of {_by(size)} gave {tuple(logits.shape)}, not {expected}")
            if logits.dtype != torch.float32:
                raise CheckFailed(f"float32 input gave {logits.dtype}")
            if not bool(torch.isfinite(logits).all()):
                raise CheckFailed(f"values that are not finite for {kind} tiles of {_by(size)}")
            if card.activation == "none":
                _must_be_probabilities(logits)
            highest = max(highest, float(logits.abs().max()))
    return Note(f"largest value {highest:.3g}", {"largest": highest})


def _must_be_probabilities(values: Tensor) -> None:
    if float(values.min()) < 0 or float((values.sum(dim=1) - 1).abs().max()) > 1e-3:
        raise CheckFailed("activation is none, but the outputs are not probabilities that sum to 1 over the classes")


def check_eval_is_deterministic(subject: Subject) -> Note:
    """The same tile twice gives the same bytes, whatever the random seed."""
    network, x = subject.network(), subject.tiles(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = forward(network, x.clone())
        torch.manual_seed(2)
        second = forward(network, x.clone())
    if not torch.equal(first, second):
        raise CheckFailed("the same tile twice gives two results in eval mode (dropout, random numbers, a counter?)")
    return Note()


def check_batch_equals_singles(subject: Subject) -> Note:
    """A tile's result does not depend on its neighbours in the batch, which are other patients' tiles."""
    network, x = subject.network(), subject.tiles(2)
    x[1] *= 3
    singles = torch.cat([forward(network, x[:1]), forward(network, x[1:])])
    return must_agree(forward(network, x), singles, "a batch of 2 is not what its tiles give one by one")


def check_forward_keeps_state(subject: Subject) -> Note:
    """Running the network changes neither its state nor the tile it was given."""
    network, x = subject.network(), subject.tiles(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    given = x.clone()
    forward(network, x)
    after = network.state_dict()
    changed = [name for name in after if name not in before or not torch.equal(after[name], before[name])]
    if changed or len(after) != len(before):
        raise CheckFailed(f"forward changes the state: {', '.join(changed) or 'entries vanish'}")
    if not torch.equal(x, given):
        raise CheckFailed("forward changes its input in place; the engine still needs it")
    return Note()


def check_state_round_trip(subject: Subject) -> Note:
    """Saved as safetensors and loaded strictly into a newly built network, it gives the same result."""
    from safetensors.torch import load, save  # noqa: PLC0415 - only here

    network, x = subject.network(), subject.tiles(1)
    state = network.state_dict()
    if not state and not any(True for _ in network.parameters()):
        raise NotApplicable("the network has no weights")
    try:
        data = save({name: value.detach().clone().contiguous() for name, value in state.items()})
    except Exception as error:
        raise CheckFailed(f"the state dict cannot be saved as safetensors: {_first(error)}") from error
    other = subject.network(seed=99)
    try:
        other.load_state_dict(load(data), strict=True)
    except Exception as error:
        raise CheckFailed(f"the saved state does not fit a newly built network: {_first(error)}") from error
    note = must_agree(forward(other, x), forward(network, x), "after saving and loading the result is another")
    return Note(f"{len(data) / 1e6:.2f} MB, {note.text}", {"bytes": len(data), **note.values})


def _by(size: tuple[int, ...]) -> str:
    return " × ".join(map(str, size))


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
