import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from segcli.catalog import build_catalog, load_catalog
from segcli.errors import PluginError

GROUP = "segcli.models"


def module(tmp_path, monkeypatch, name, text):
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop(name, None)


GOOD = """
    class Plugin:
        api, name, summary = {api}, "{name}", "a toy"
        def example(self): ...
        def build(self, card): ...
        def default(self): return None
    plugin = Plugin()
"""


def test_the_three_networks_come_through_entry_points():
    assert {"unet", "unetpp", "unet3p"} <= set(load_catalog().models)


def test_a_plugin_that_raises_on_import_is_listed_and_stops_nothing(tmp_path, monkeypatch):
    module(tmp_path, monkeypatch, "broken_toy", "raise SystemExit('no licence')")
    module(tmp_path, monkeypatch, "good_toy", GOOD.format(api=1, name="good"))
    catalog = build_catalog(
        [EntryPoint("bad", "broken_toy:plugin", GROUP), EntryPoint("good", "good_toy:plugin", GROUP)]
    )
    assert list(catalog.models) == ["good"]
    assert "SystemExit" in catalog.broken[0].reason
    with pytest.raises(PluginError, match="broken"):
        catalog.find("bad")


def test_two_of_one_name_are_refused_by_name(tmp_path, monkeypatch):
    module(tmp_path, monkeypatch, "twin_a", GOOD.format(api=1, name="twin"))
    module(tmp_path, monkeypatch, "twin_b", GOOD.format(api=1, name="twin"))
    catalog = build_catalog([EntryPoint("twin", "twin_a:plugin", GROUP), EntryPoint("twin", "twin_b:plugin", GROUP)])
    assert not catalog.models
    assert len(catalog.broken) == 2


def test_another_contract_version_is_refused(tmp_path, monkeypatch):
    module(tmp_path, monkeypatch, "old_toy", GOOD.format(api=99, name="old"))
    (broken,) = build_catalog([EntryPoint("old", "old_toy:plugin", GROUP)]).broken
    assert "version 99" in broken.reason


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(PluginError, match="unet3p"):
        load_catalog().find("unett")
