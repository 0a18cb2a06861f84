"""docs/plugins.md says what is there: every field, every check, and an example that runs as printed."""

from __future__ import annotations

import dataclasses
import importlib
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import segcli
from segcli import contract
from segcli.catalog import build_catalog
from segcli.engine.model import load_model
from segcli.model_folder import save_model_folder
from segcli.testing import CHECKS, check_plugin
from segcli.testing.subject import Subject
from segcli.testing.verdict import run_check
from segcli.wrap import ASKED

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def files() -> dict[str, str]:
    return dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def rows(text: str) -> list[str]:
    """First cells of all tables."""
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    return [cell for cell in cells if cell not in ("member", "field", "check", "model")]


def words(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_the_example_keeps_the_contract_and_gives_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    project = tomllib.loads(files()["pyproject.toml"])["project"]
    ((name, value),) = project["entry-points"][contract.ENTRY_POINT_GROUP].items()
    catalog = build_catalog([EntryPoint(name, value, contract.ENTRY_POINT_GROUP)])
    plugin = catalog.find(name).plugin
    verdict = check_plugin(plugin, value)
    assert verdict.passed, str(verdict)
    assert {item.status for item in verdict.findings if item.check in ("presence", "training outputs")} == {"passed"}
    card = plugin.example()
    save_model_folder(tmp_path / "model", card, seen_at(plugin.build(card).state_dict(), 0, [0, 100], [0, -50]))
    loaded = load_model(str(tmp_path / "model"), catalog)
    image = np.random.default_rng(0).normal(size=(1, 40, 37))
    assert np.array_equal(segcli.segment(image, loaded).pixels, zscore(image) > 0.5)
    assert importlib.import_module("bright_spots").plugin is plugin


def seen_at(state: dict[str, Any], channel: int, slopes: list[float], offsets: list[float]) -> dict[str, Any]:
    """The example's weights, made such that output k is slope k · x + offset k of this input channel, where x > 0."""
    for values in state.values():
        values.zero_()
    middle = (1,) * (state["near.weight"].ndim - 2)
    state["near.weight"][(0, channel, *middle)] = 1
    state["head.weight"].reshape(len(slopes), -1)[:, 0] = torch.tensor(slopes)
    state["head.bias"][:] = torch.tensor(offsets)
    return state


def zscore(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std())


KINDS: dict[str, tuple[dict[str, str], tuple[int, ...], int, list[float], list[float]]] = {
    "two channels": ({'channels=("grey",)': 'channels=("T1", "FLAIR")'}, (5, 2, 40, 37), 1, [0, 100], [0, -50]),
    "neighbours": ({"tile=(32, 32)": "context_slices=1, tile=(32, 32)"}, (5, 40, 37), 1, [0, 100], [0, -50]),
    "sigmoid": (
        {
            "labels=(Label(1": 'labels=(Label(2, "halo", (0, 0, 255)), Label(1',
            "tile=(32": 'activation="sigmoid", threshold=0.4, tile=(32',
        },
        (5, 40, 37), 0, [100, 100], [-20, -100],
    ),
    "three-dimensional": (
        {
            "spatial_dims=2": "spatial_dims=3", "spatial_dims != 2": "spatial_dims != 3", "Conv2d": "Conv3d",
            "tile=(32, 32)": "tile=(8, 32, 32)", "overlap=(8, 8)": "overlap=(2, 8, 8)",
            "margin=(0, 0)": "margin=(0, 0, 0)", "max_pool2d": "max_pool3d", "dim=(2, 3)": "dim=(2, 3, 4)",
        },
        (5, 40, 37), 0, [0, 100], [0, -50],
    ),
}  # fmt: skip
"""What the page's table says has to be changed in its example; an image's shape; :func:`seen_at`."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_becomes_another_kind_as_the_page_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, shape, channel, slopes, offsets = KINDS[kind]
    axes = "ZYX" if len(shape) == 3 else "ZCYX"
    name = "spots_" + re.sub("[^a-z]", "_", kind)
    text = files()["bright_spots.py"]
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    catalog = build_catalog([EntryPoint("bright-spots", f"{name}:plugin", contract.ENTRY_POINT_GROUP)])
    plugin = catalog.find("bright-spots").plugin
    card = plugin.example()
    for check in ("card builds", "sizes", "shape and range", "encode and decode", "presence", "training outputs"):
        found = run_check(check, Subject(plugin, card))
        assert found.status == "passed", found
    save_model_folder(tmp_path / "model", card, seen_at(plugin.build(card).state_dict(), channel, slopes, offsets))
    loaded = load_model(str(tmp_path / "model"), catalog)
    image = np.random.default_rng(1).normal(size=shape)
    z = zscore(image[:, 1] if kind == "two channels" else image)
    low = np.log(0.4 / 0.6) / 100  # where a sigmoid of slope 100 crosses the page's 0.4 instead of 0.5
    expected = np.where(z > 1 + low, 1, np.where(z > 0.2 + low, 2, 0)) if kind == "sigmoid" else z > 0.5
    assert np.array_equal(segcli.segment(image, loaded, axes=axes).pixels, expected)


def test_every_field_of_the_card_is_explained() -> None:
    text = section("The contract").split("### The card")[1]
    table = text.split("### The scope")[0]
    assert words(" ".join(rows(table))) == {item.name for item in dataclasses.fields(contract.ModelCard)}
    for kind in (contract.Label, contract.Code, contract.Intensity, contract.Gate, contract.Scope):
        missing = {item.name for item in dataclasses.fields(kind)} - words(text)
        assert not missing, f"{kind.__name__}: {missing}"


@pytest.mark.parametrize(
    "protocol",
    [contract.ModelPlugin, contract.Network, contract.GatedNetwork, contract.TrainableNetwork],
    ids=lambda protocol: protocol.__name__,
)
def test_every_member_of_the_protocols_is_explained(protocol: type) -> None:
    own = {**vars(protocol), **protocol.__annotations__}
    members = {name for name in own if not name.startswith("_")}
    assert members
    assert members <= set(re.findall(r"`(\w+)", " ".join(rows(section("The contract")))))


def test_every_check_is_explained_and_no_other() -> None:
    assert rows(section("What the kit checks, and why")) == [*CHECKS, "shipped model"]


def test_wrap_asks_for_fields_of_the_card() -> None:
    assert set(ASKED) <= {item.name for item in dataclasses.fields(contract.ModelCard)}


def test_the_version_of_the_promise() -> None:
    assert f"While `API_VERSION` is {contract.API_VERSION}," in PAGE
