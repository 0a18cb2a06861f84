import numpy as np
import pytest

import segcli
from segcli.catalog import load_catalog
from segcli.errors import UnsupportedError
from segcli.model_folder import save_model_folder


@pytest.fixture
def model(tmp_path):
    plugin = load_catalog().find("unet").plugin
    save_model_folder(tmp_path / "m", plugin.example(), plugin.build(plugin.example()).state_dict())
    return tmp_path / "m"


def test_segment_an_array(model):
    labels = segcli.segment(np.random.default_rng(0).random((20, 30)), model)
    assert labels.pixels.shape == (1, 20, 30)
    assert labels.pixels.dtype == np.uint8


def test_the_wrong_number_of_channels_says_both_numbers(model):
    with pytest.raises(UnsupportedError, match=r"wants 1 channel\(s\), the array has 3"):
        segcli.segment(np.zeros((1, 3, 8, 8)), model)
