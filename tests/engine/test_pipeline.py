"""Full batches for encoder and decoder, and what a tile's neighbours in a batch may never change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_toys import CPU, Gated, Threshold, card, events, one, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.catalog import load_catalog
from segcli.contract import Gate
from segcli.engine import pipeline
from segcli.engine.events import Band, Progress, Result
from segcli.engine.infer import Inference
from segcli.engine.segmenter import MAX_CASES, Segmenter, Stream
from segcli.errors import CaseError
from segcli.image import Image
from segcli.settings import PredictSettings

GATE = Gate((0.5,), (1000,), (10,), (1.0,), (0.99,), (1.0,), 1.0)


def sparse(seed, rows=8, columns=40):
    """A picture in which about one tile in five holds something."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 90, (1, 1, rows, columns), dtype=np.uint8)
    for column in range(0, columns, 8):
        if draw.random() < 0.2:
            pixels[0, 0, 3, column + 3] = 150
    return Image(pixels)


def segment(network, parts, wanted, options=CPU):
    cases = [(number, (part,)) for number, part in enumerate(parts)]
    return dict(Segmenter(network, wanted, options).segment(cases))


def test_survivors_of_many_batches_and_cases_fill_decoder_batches():
    network = Gated()
    parts = [sparse(seed) for seed in range(20)]
    results = segment(network, parts, card(gate=GATE))
    survivors = sum(result.tiles - result.tiles_gated for result in results.values())
    assert set(network.encoded) == set(network.decoded) == {3}
    assert len(network.decoded) == -(-survivors // 3)
    for number, part in enumerate(parts):
        assert np.array_equal(results[number].masks[0].pixels, np.where(part.pixels[:, 0] > 100, 5, 0))


def test_a_lonely_survivor_does_not_hold_up_the_run_for_ever():
    first, empty = sparse(0), Image(np.zeros((1, 1, 8, 8), np.uint8))
    first.pixels[0, 0, 3, 3] = 150
    network = Gated()
    taken = 0

    def cases():
        nonlocal taken
        for number in range(200):
            taken += 1
            yield number, (first if number == 0 else empty,)

    stream = Segmenter(network, card(gate=GATE), replace(CPU, batch=8)).segment(cases())
    assert next(stream)[1].masks[0].pixels.any()
    assert taken <= MAX_CASES + 1


def test_tiles_waiting_behind_a_survivor_are_bounded_within_a_case(monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_WAITING", 10)
    pixels = np.zeros((1, 1, 8, 6 * 200), np.uint8)
    pixels[0, 0, 3, 3] = 150
    network = Gated()
    waiting = [
        3 * len(network.encoded) - event.done
        for event in events(network, [("case", (Image(pixels),))], card(gate=GATE))
        if isinstance(event, Progress)
    ]
    assert max(waiting) <= 10 + 3


@pytest.mark.parametrize("name", ["unet", "unetpp", "unet3p"])
def test_a_tile_alone_in_a_padded_batch_is_bit_equal_to_one_in_a_full_batch(name):
    plugin = load_catalog().find(name).plugin
    wanted = replace(plugin.example(), plugin_options={"base": 4, "presence": True}, tile=(64, 64))
    torch.manual_seed(0)
    network = plugin.build(wanted).eval()
    inference = Inference(network, wanted, (0.0,)).to(torch.device("cpu"), "float32")
    tiles = list(torch.randn(4, 1, 64, 64))
    together = inference.encode(tiles, 4)
    kept = torch.ones(4, 1, dtype=torch.bool)
    decoded = inference.decode([together.features], kept, 4)
    for place, tile in enumerate(tiles):
        alone = inference.encode([tile], 4)
        assert torch.equal(alone.presence[0], together.presence[place])
        features = tuple(feature[:1] for feature in alone.features)
        assert torch.equal(inference.decode([features], kept[:1], 4)[0], decoded[place])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=6), st.integers(1, 5))
def test_masks_do_not_depend_on_which_cases_share_the_stream(seeds, batch):
    parts = [sparse(seed, 13, 21) for seed in seeds]
    wanted, options = card(gate=GATE), replace(CPU, batch=batch)
    together = segment(Gated(), parts, wanted, options)
    for number, part in enumerate(parts):
        alone = one(Gated(), part, wanted, options)
        assert np.array_equal(alone.masks[0].pixels, together[number].masks[0].pixels)
        assert (alone.tiles, alone.tiles_gated) == (together[number].tiles, together[number].tiles_gated)


class Scarce(Gated):
    """A device on which pictures with a pixel of 99 do not fit in batches of more than two."""

    def encode(self, x):
        if bool((x == 99).any()) and len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().encode(x)


def test_lack_of_memory_halves_the_batch_for_that_case_only_and_says_so():
    usual, large = picture(20, 20, 1), picture(20, 20, 2)
    usual.pixels[usual.pixels == 99] = 98
    large.pixels[0, 0, 10, 10] = 99
    network = Scarce()
    results = segment(network, [usual, large, usual], card(), replace(CPU, batch=8))
    for number, part in enumerate([usual, large, usual]):
        assert np.array_equal(results[number].masks[0].pixels > 0, part.pixels[:, 0] > 100)
    (warning,) = results[1].warnings
    assert "out of memory" in warning and "last bits" in warning
    assert network.encoded[-1] == 8  # later cases have the full batch again


def test_no_memory_for_a_single_tile_is_the_cases_error():
    class Full(Gated):
        def encode(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")

    result = one(Full(), picture(9, 9))
    assert isinstance(result, CaseError)
    assert "OutOfMemoryError" in str(result)


@pytest.mark.parametrize("step", ["encode", "decode"])
def test_another_error_keeps_its_name_and_its_case(step):
    class Fails(Gated):
        def _check(self, x):
            if bool((x == 13).any()):
                raise RuntimeError("thirteen")

        def encode(self, x):
            if step == "encode":
                self._check(x)
            return super().encode(x)

        def decode(self, features):
            if step == "decode":
                self._check(features[0])
            return super().decode(features)

    good, bad = picture(5, 5), picture(5, 5)
    good.pixels[good.pixels == 13] = 12
    bad.pixels[0, 0, 0, 0] = 13
    results = segment(Fails(), [good, bad, good], card())
    assert str(results[1]) == "the network failed: RuntimeError: thirteen"
    assert np.array_equal(results[0].masks[0].pixels, results[2].masks[0].pixels)


def test_a_presence_that_is_not_a_number_never_turns_a_tile_away():
    class Broken(Gated):
        def presence(self, features):
            return super().presence(features) * float("nan")

    result = one(Broken(), picture(9, 9), card(gate=GATE))
    assert isinstance(result, CaseError)
    assert "not a number" in str(result)


def test_the_deadline_of_a_case_is_looked_at_between_batches():
    options = PredictSettings(device="cpu", batch=1, case_timeout=50)
    cases = [("late", (picture(20, 20),), 100.0), ("good", (picture(20, 20),), 0.0)]
    found = list(events(Threshold(), cases, options=options))
    results = {event.case: event.result for event in found if isinstance(event, Result)}
    assert "--case-timeout" in str(results["late"])
    assert results["good"].counts[0][5] > 0
    last = [event for event in found if isinstance(event, Progress)][-1]
    assert (last.case, last.done, last.total) == ("good", 9, 9)


def test_a_case_that_is_given_up_costs_no_more_batches_and_its_neighbours_nothing():
    network = Gated()
    stream = Stream(Segmenter(network, card(), replace(CPU, batch=1)))
    results, bands = {}, []
    for name, rows in (("a", 20), ("full", 200), ("b", 20)):
        for event in stream.feed(name, (picture(rows, 8),)):
            if isinstance(event, Band):
                bands.append(event.case)
                if event.case == "full":
                    stream.give_up("full", CaseError("the disk is full"))
            elif isinstance(event, Result):
                results[event.case] = event.result
    assert list(stream.finish()) == []
    assert str(results["full"]) == "the disk is full"
    assert bands.count("full") == 1
    assert len(network.encoded) < 12
    assert results["a"].counts == results["b"].counts
