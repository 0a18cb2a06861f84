"""What inference computes in another way than training is the same numbers."""

import pytest
import torch
from torch import nn

from segcli_models.blocks import Options, Shape, enlarge, shrink
from segcli_models.encoder import SegmentationNetwork
from segcli_models.u_net import UNet
from segcli_models.u_net_3_plus import UNet3Plus
from segcli_models.u_net_plus_plus import UNetPlusPlus
from segcli_models.upsampled import BLOCK, MOST_COARSE, upsampled_conv

SEVERAL_BLOCKS = 2 * BLOCK + 3


@pytest.mark.parametrize("grad", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("size", [(4, 6), (3, 2, 5), (MOST_COARSE + 2, 4), (SEVERAL_BLOCKS, SEVERAL_BLOCKS + 1)])
@pytest.mark.parametrize("factor", [2, 4])
def test_upsampled_conv_equals_upsampling_first(size: tuple[int, ...], factor: int, grad: bool) -> None:
    torch.manual_seed(0)
    x, bias = torch.randn(2, 5, *size, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    weight = torch.randn(4, 5, *[3] * len(size), dtype=torch.float64)
    convolve = nn.functional.conv2d if len(size) == 2 else nn.functional.conv3d
    expected = convolve(enlarge(x, factor), weight, bias, padding=1)
    # the matrices are built in float32 before they are cast; its weights are multiples of 1/32, exact in any case
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(upsampled_conv(x, weight, bias, factor), expected)


@pytest.mark.parametrize("size", [(16, 32), (8, 16, 24), (12, 20), (6, 9)])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrinking_is_the_maximum_of_each_window(size: tuple[int, ...], factor: int) -> None:
    x = torch.randn(2, 3, *size)
    pool = nn.functional.max_pool2d if len(size) == 2 else nn.functional.max_pool3d
    with torch.inference_mode():
        assert torch.equal(shrink(x, factor), pool(x, factor, ceil_mode=True))


@pytest.mark.parametrize("kind", [UNet, UNetPlusPlus, UNet3Plus])
@pytest.mark.parametrize("size", [(64, 352), (16, 32, 16)])
def test_inference_gives_what_training_sees(kind: type[SegmentationNetwork], size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = kind(Shape(len(size), 1, 3, 2, "softmax"), Options(base=4, presence=True)).eval()
    x = torch.randn(2, 1, *size)
    maps, presence = network.training_outputs(x)
    with torch.inference_mode():
        features = network.encode(x)
        torch.testing.assert_close(network.decode(features), maps[0].detach(), atol=1e-5, rtol=1e-5)
        assert presence is not None
        torch.testing.assert_close(network.presence(features), presence.detach(), atol=1e-5, rtol=1e-5)
