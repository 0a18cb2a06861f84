"""Checks of the listing object, the card and the options each catch a toy that breaks them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from torch import Tensor, nn
from toys import Toy, ToyPlugin, caught, subject, toy_card

from segcli.contract import Label
from segcli.testing import Subject, run_check


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
