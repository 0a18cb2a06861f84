"""The formula of the gate, by hand on tables one can check with a pencil."""

import torch

from segcli.engine.aggregator import PatchAggregator, decide
from segcli.engine.gate import gated_probabilities, keep

ONES = torch.ones(1, 2)


def test_closed_gate_gives_exactly_zero_never_one_half():
    logits = torch.tensor([[[[3.0]]]])
    absent = torch.tensor([[False]])
    assert gated_probabilities(logits, absent, "sigmoid").item() == 0.0


def test_softmax_gates_logits_before_the_softmax_so_the_rest_sums_to_one():
    logits = torch.zeros(1, 3, 1, 1)
    kept = torch.tensor([[True, False]])
    assert gated_probabilities(logits, kept, "softmax").flatten().tolist() == [0.5, 0.5, 0.0]


def test_probabilities_of_a_network_without_activation_are_renormalised():
    p = torch.tensor([0.2, 0.2, 0.6]).reshape(1, 3, 1, 1)
    kept = torch.tensor([[True, False]])
    assert torch.allclose(gated_probabilities(p, kept, "none").flatten(), torch.tensor([0.5, 0.5, 0.0]))


def test_threshold_zero_never_gates():
    assert keep(torch.tensor([[0.0, 0.4]]), (0.0, 0.5)).tolist() == [[True, False]]


def test_a_gated_neighbour_has_weight_zero_not_probability_zero():
    stitch = PatchAggregator((1, 3), ONES, 2, background=True)
    object_here = torch.tensor([[[0.2, 0.2]], [[0.8, 0.8]]])
    stitch.add((0, 0), object_here, [True])
    stitch.add((0, 1), None, [False])
    probabilities = stitch.advance()
    # pixel 1 is in both tiles: 0.8 from the one that kept the label, not (0.8 + 0) / 2
    assert torch.allclose(probabilities[1], torch.tensor([[0.8, 0.8, 0.0]]))
    assert decide(probabilities, [7], "softmax", 0.5).tolist() == [[7, 7, 0]]


def test_a_label_kept_in_less_than_a_quarter_of_the_weight_is_absent():
    stitch = PatchAggregator((1, 1), torch.ones(1, 1), 2, background=True)
    for kept in (True, False, False, False, False):
        tile = torch.tensor([[[0.1]], [[0.9]]]) if kept else None
        stitch.add((0, 0), tile, [kept])
    probabilities = stitch.advance()
    assert probabilities.flatten().tolist() == [0.0, 0.0]
    assert decide(probabilities, [1], "softmax", 0.5).item() == 0


def test_ties_go_to_the_lower_value_whatever_the_order_of_labels():
    half = torch.tensor([0.2, 0.4, 0.4]).reshape(3, 1, 1)
    assert decide(half, [5, 3], "softmax", 0.5).item() == 3
    assert decide(half, [3, 5], "softmax", 0.5).item() == 3


def test_sigmoid_gives_the_later_label_above_the_threshold():
    p = torch.tensor([0.9, 0.6, 0.4]).reshape(3, 1, 1)
    assert decide(p, [1, 2, 3], "sigmoid", 0.5).item() == 2
