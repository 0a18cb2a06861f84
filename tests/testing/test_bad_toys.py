"""Each check of the kit catches a toy that breaks exactly what the check looks at."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Toy, ToyPlugin, subject, toy_card

from segcli.contract import Label
from segcli.testing import CHECKS, Subject, assert_conforms, check_subject, cost, run_check


def caught(check: str, broken: Subject, *words: str) -> None:
    assert run_check(check, subject()).status != "failed"
    finding = run_check(check, broken)
    assert finding.status == "failed", finding
    for word in words:
        assert word in finding.text, finding.text


def test_a_good_toy_passes_every_check() -> None:
    unusual = {item.check: item.status for item in check_subject(subject(), "toy").findings if item.status != "passed"}
    assert unusual == {"light listing": "skipped", "GPU": "skipped" if cost.accelerator() is None else "passed"}


def test_light_listing_catches_a_module_that_imports_torch(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    members = "api, name, summary = 1, 'toy', 'x'\n    def example(s): ...\n    def default(s): ...\n"
    text = f"class P:\n    {members}plugin = P()\n"
    (tmp_path / "light_toy.py").write_text(text)
    (tmp_path / "heavy_toy.py").write_text(f"import torch\n{text}")
    (tmp_path / "late_toy.py").write_text(text.replace("def example(s): ...", "def example(s): import torch"))
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = ToyPlugin()
    statuses = {
        name: run_check("light listing", Subject(plugin, plugin.example(), f"{name}:plugin"))
        for name in ("light_toy", "heavy_toy", "late_toy", "absent_toy")
    }
    assert statuses["light_toy"].status == "passed", statuses["light_toy"]
    assert all("torch" in statuses[name].text for name in ("heavy_toy", "late_toy"))
    assert statuses["absent_toy"].status == "failed"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"api": 99}, "99"),
        ({"name": "a/b"}, "--model"),
        ({"summary": "two\nlines"}, "one line"),
        ({"name": "u"}, "card"),
    ],
)
def test_name_and_version(changes: dict[str, Any], word: str) -> None:
    plugin = ToyPlugin()
    vars(plugin).update(changes)
    caught("name and version", Subject(plugin, toy_card()), word)


class OddNetwork(Toy):
    multiple = 5


class NoNumbers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (subject(tile=[16, 16]), "tuples"),
        (subject(overlap=(16, 16)), "overlap"),
        (subject(labels=(Label(1, "a", (0, 0, 0)), Label(1, "b", (0, 0, 0)))), "unique values"),
        (subject(object), "not a torch.nn.Module"),
        (subject(NoNumbers), "multiple, offset or forward"),
        (subject(OddNetwork), "tile"),
    ],
)
def test_card_builds(broken: Subject, word: str) -> None:
    caught("card builds", broken, word)


def test_card_builds_catches_a_submodule_that_replaces_the_plugin(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shadowed").mkdir()
    (tmp_path / "shadowed" / "__init__.py").write_text("import toys\ntoy = toys.ToyPlugin()\n")
    (tmp_path / "shadowed" / "toy.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = importlib.import_module("shadowed").toy
    origin = Subject(plugin, plugin.example(), "shadowed:toy")
    assert run_check("card builds", origin).status == "passed"
    importlib.import_module("shadowed.toy")
    caught("card builds", origin, "same name")


def test_unknown_option() -> None:
    class Deaf(ToyPlugin):
        def build(self, card: Any) -> Any:
            return Toy()

    class Crashing(ToyPlugin):
        def build(self, card: Any) -> Any:
            return Toy(**card.plugin_options)

    class Vague(ToyPlugin):
        def build(self, card: Any) -> Any:
            if card.plugin_options:
                raise ValueError("no")
            return Toy()

    for kind, word in ((Deaf, "ignores"), (Crashing, "TypeError"), (Vague, "does not name")):
        caught("unknown option", Subject(kind(), toy_card()), word)


class RefusesLarge(Toy):
    def encode(self, x: Tensor) -> Any:
        if x.shape[-1] > 16:
            raise ValueError("too large")
        return super().encode(x)


class AcceptsAll(Toy):
    def encode(self, x: Tensor) -> Any:
        return (nn.functional.avg_pool2d(self.first(x), 2),)


def test_sizes() -> None:
    caught("sizes", subject(RefusesLarge), "18 × 18", "refused")
    caught("sizes", subject(AcceptsAll), "17 × 17", "accepted")


class WrongClasses(Toy):
    def decode(self, features: Any) -> Any:
        return super().decode(features)[:, :2]


class Doubles(Toy):
    def decode(self, features: Any) -> Any:
        return super().decode(features).double()


class Overflows(Toy):
    def decode(self, features: Any) -> Any:
        return (super().decode(features) * 5).exp() ** 9


class DividesByContrast(Toy):
    def decode(self, features: Any) -> Any:
        return super().decode(features) / features[0].std(dim=(1, 2, 3), keepdim=True)


class TwoOutputs(Toy):
    def forward(self, x: Tensor) -> Any:
        return [self.decode(self.encode(x))]


def test_shape_and_range() -> None:
    caught("shape and range", subject(WrongClasses), "(2, 2, 16, 16), not (2, 3, 16, 16)")
    caught("shape and range", subject(margin=(2, 2)), "(2, 3, 12, 12)")
    caught("shape and range", subject(Doubles), "float64")
    caught("shape and range", subject(Overflows), "not finite", "very bright")
    caught("shape and range", subject(TwoOutputs), "list")
    caught("shape and range", subject(activation="none"), "probabilities")


class AlwaysDrops(Toy):
    def decode(self, features: Any) -> Any:
        return nn.functional.dropout(super().decode(features), 0.1, training=True)


def test_deterministic() -> None:
    caught("deterministic", subject(AlwaysDrops), "two results")


class MixesBatch(Toy):
    def decode(self, features: Any) -> Any:
        logits = super().decode(features)
        return logits - logits.mean(dim=0, keepdim=True)


def test_batch() -> None:
    caught("batch", subject(MixesBatch), "one by one")


class Counts(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x)


class InPlace(Toy):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.sub_(1))


def test_state_kept() -> None:
    caught("state kept", subject(Counts), "calls")
    caught("state kept", subject(InPlace), "in place")


class HiddenWeights(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.secret = [torch.randn(1)]

    def decode(self, features: Any) -> Any:
        return super().decode(features) + self.secret[0]


class LazyWeights(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Parameter(torch.randn(int(torch.randint(1, 1000, ()))))


def test_state_round_trip() -> None:
    caught("state round trip", subject(HiddenWeights), "another")
    caught("state round trip", subject(LazyWeights), "does not fit")


class TwoRoads(Toy):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + 0.01


class ListFeatures(Toy):
    def encode(self, x: Tensor) -> Any:
        return list(super().encode(x))


class NoBatchAxis(Toy):
    def encode(self, x: Tensor) -> Any:
        return (*super().encode(x), torch.ones(3))


class NoEncode(nn.Module):
    multiple, offset = 1, 0

    def presence(self, features: Any) -> Any: ...

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1)


def test_encode_and_decode() -> None:
    caught("encode and decode", subject(TwoRoads), "is not forward(x)")
    caught("encode and decode", subject(ListFeatures), "tuple")
    caught("encode and decode", subject(NoBatchAxis), "axis 0")
    caught("encode and decode", subject(NoEncode), "only presence")


class OnePresence(Toy):
    def presence(self, features: Any) -> Any:
        return super().presence(features)[:, :1]


class RelativePresence(Toy):
    def presence(self, features: Any) -> Any:
        return super().presence(features).softmax(dim=0)


def test_presence() -> None:
    caught("presence", subject(OnePresence), "(3, 1), not (3, 2)")
    caught("presence", subject(RelativePresence), "depends on the other tiles")


class RemembersTheBatch(Toy):
    def encode(self, x: Tensor) -> Any:
        self.skip = x.mean(dim=(1, 2, 3), keepdim=True)
        return super().encode(x)

    def decode(self, features: Any) -> Any:
        return super().decode(features) + self.skip[: len(features[0])]


def test_survivors() -> None:
    caught("survivors", subject(RemembersTheBatch), "subset")


class HalfMap(Toy):
    def training_outputs(self, x: Tensor) -> Any:
        maps, presence = super().training_outputs(x)
        return [maps[0][..., ::2, ::2], maps[0]], presence


class ForgetsPresence(Toy):
    def training_outputs(self, x: Tensor) -> Any:
        return super().training_outputs(x)[0], None


class Detached(Toy):
    def training_outputs(self, x: Tensor) -> Any:
        maps, presence = super().training_outputs(x)
        return [m.detach() for m in maps], presence.detach()


class Unused(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.forgotten = nn.Linear(2, 2)


def test_training_outputs() -> None:
    caught("training outputs", subject(HalfMap), "first map")
    caught("training outputs", subject(ForgetsPresence), "presence")
    caught("training outputs", subject(Detached), "gradient")
    finding = run_check("training outputs", subject(Unused))
    assert finding.status == "warning" and "forgotten" in finding.text


class KnowsItsPlace(Toy):
    def decode(self, features: Any) -> Any:
        logits = super().decode(features)
        return logits + torch.linspace(-9, 9, logits.shape[-1]) * torch.tensor([1.0, -1.0, 0.0])[:, None, None]


def test_tiles() -> None:
    caught("tiles", subject(KnowsItsPlace), "whole image")


class Looks(nn.Module):
    """Sees exactly ``2 · DISTANCE + 1`` pixels of a row."""

    multiple, offset = 1, 0
    DISTANCE = 6

    def forward(self, x: Tensor) -> Tensor:
        seen = 4 * nn.functional.avg_pool2d(x, (1, 2 * self.DISTANCE + 1), stride=1, padding=(0, self.DISTANCE))
        return torch.cat([-seen, seen, torch.zeros_like(seen)], dim=1)


def test_the_advised_overlap_is_twice_as_far_as_the_network_looks() -> None:
    values = run_check("tiles", subject(Looks, tile=(32, 32), overlap=(2, 2))).values
    assert values["reach"] == Looks.DISTANCE
    assert values["advice"] == 2 * Looks.DISTANCE
    wide = run_check("tiles", subject(Looks, tile=(32, 32), overlap=(12, 12))).values
    assert wide["seam_worst"] < values["seam_worst"]


class Hoards(Toy):
    kept: list[Tensor]

    def encode(self, x: Tensor) -> Any:
        features = super().encode(x)
        self.kept = [*getattr(self, "kept", []), features[0]]
        return features


def test_cost() -> None:
    caught("cost", subject(Hoards), "behind")
    finding = run_check("cost", subject())
    # the input's first feature map and the logits are alive together
    assert finding.values["peak_mb"] >= (4 * 16 * 16 + 3 * 16 * 16) * 4 / 1e6 * 0.5
    assert finding.values["milliseconds"] > 0


class LeavesOneBehind(Toy):
    """A constant that is no buffer stays where it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(1, 4, 1, 1)

    def encode(self, x: Tensor) -> Any:
        return tuple(item * self.scale for item in super().encode(x))


class ChangesWhenMoved(Toy):
    def to(self, *where: Any, **options: Any) -> Any:
        self.last.bias.data += 1
        return self


def test_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's device without memory stands in for a GPU: a tensor that was not moved shows there as well
    monkeypatch.setattr(cost, "accelerator", lambda: torch.device("meta"))
    left = run_check("GPU", subject(LeavesOneBehind))
    assert left.status == "failed" and "buffer" in left.text
    monkeypatch.setattr(cost, "accelerator", lambda: torch.device("cpu"))
    assert run_check("GPU", subject()).status == "passed"
    moved = run_check("GPU", subject(ChangesWhenMoved))
    assert moved.status == "failed" and "differ" in moved.text


def test_no_check_is_unproven() -> None:
    tested = {name.removeprefix("test_").replace("_", " ") for name in globals() if name.startswith("test_")}
    for check in CHECKS:
        assert any(name.startswith(check.lower()) for name in tested), f"no bad toy for {check!r}"


def test_assert_conforms_lists_what_failed() -> None:
    assert_conforms(ToyPlugin())
    with pytest.raises(AssertionError, match=r"failed +batch: a batch of 2"):
        assert_conforms(ToyPlugin(MixesBatch))


def test_the_kit_needs_no_pytest() -> None:
    code = "import sys, segcli.testing; sys.exit('pytest' in sys.modules or 'click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
