"""A model whose mask can be written down by hand: the label stands where the normalised intensity exceeds 0.5."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from segcli.catalog import load_catalog
from segcli.model_folder import save_model_folder

IDENTITY = ("encoder.levels.0.0.0", "encoder.levels.0.1.0", "merge.3.0.0", "merge.3.1.0")
"""The convolutions of U-Net between the input and its head along the uppermost skip."""


def pytest_configure(config: pytest.Config) -> None:
    """A warning of a module of the tests is an error, as one of segcli's is (pyproject.toml)."""
    names = sorted({path.stem for path in Path(__file__).parent.rglob("*.py")})
    config.addinivalue_line("filterwarnings", f"error:::({'|'.join(names)})$")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell that starts the tests in the background has SIGINT ignored, and every process inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def threshold_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of U-Net (z-score per case): label 1 exactly where z > 0.5, whatever the tiles.

    All weights are 0 but the middle taps along the uppermost skip, which carry the input's positive part through, and
    the head, which compares it with 0.5.
    """
    folder = tmp_path_factory.mktemp("threshold")
    plugin = load_catalog().find("unet").plugin
    state = plugin.build(plugin.example()).state_dict()
    for name, values in state.items():
        is_scale = values.ndim == 1 and name.endswith(".weight")  # of a batch normalisation
        if not is_scale and "running" not in name:
            values.zero_()
    for name in IDENTITY:
        state[f"{name}.weight"][0, 0, 1, 1] = (1 + 1e-5) ** 0.5  # what batch normalisation divides by
    state["head.weight"][1, 0] = 100.0
    state["head.bias"][1] = -50.0
    save_model_folder(folder, plugin.example(), state)
    return folder
