"""What inference computes in another way than training is the same numbers."""

from typing import Literal, TypeVar

import pytest
import torch
from torch import nn

from segcli_models.blocks import BATCH_NORMS, Blocks, Options, Shape, enlarge, shrink
from segcli_models.encoder import SegmentationNetwork
from segcli_models.u_net import UNet
from segcli_models.u_net_3_plus import UNet3Plus
from segcli_models.u_net_plus_plus import UNetPlusPlus
from segcli_models.upsampled import BLOCK, MOST_COARSE, upsampled_conv

SEVERAL_BLOCKS = 2 * BLOCK + 3


@pytest.mark.parametrize("grad", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize(
    ("size", "factor"),
    [((4, 6), 4), ((3, 2, 5), 2), ((MOST_COARSE + 2, 4), 2), ((SEVERAL_BLOCKS, SEVERAL_BLOCKS + 1), 4)],
)
def test_upsampled_conv_equals_upsampling_first(size: tuple[int, ...], factor: int, grad: bool) -> None:
    torch.manual_seed(0)
    x, bias = torch.randn(2, 5, *size, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    weight = torch.randn(4, 5, *[3] * len(size), dtype=torch.float64)
    convolve = nn.functional.conv2d if len(size) == 2 else nn.functional.conv3d
    expected = convolve(enlarge(x, factor), weight, bias, padding=1)
    # the matrices are built in float32 before they are cast; its weights are multiples of 1/32, exact in any case
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(upsampled_conv(x, weight, bias, factor), expected)


@pytest.mark.parametrize(("size", "factor"), [((16, 32), 8), ((8, 16, 24), 4), ((12, 20), 8), ((6, 9), 2)])
def test_shrinking_is_the_maximum_of_each_window(size: tuple[int, ...], factor: int) -> None:
    x = torch.randn(2, 3, *size)
    pool = nn.functional.max_pool2d if len(size) == 2 else nn.functional.max_pool3d
    with torch.inference_mode():
        assert torch.equal(shrink(x, factor), pool(x, factor, ceil_mode=True))


N = TypeVar("N", bound=nn.Module)


def trained(network: N) -> N:
    """In eval mode, with batch normalisations that do something."""
    for layer in network.modules():
        if isinstance(layer, BATCH_NORMS):
            assert layer.running_mean is not None and layer.running_var is not None
            for values in (layer.running_mean, layer.bias.data):
                values.normal_(0, 0.3)
            for values in (layer.running_var, layer.weight.data):
                values.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize(("size", "bias"), [((20, 12), True), ((6, 8, 10), False)])
def test_a_batch_normalisation_folded_into_its_convolution_is_the_same_function(
    size: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(0)
    unit = trained(Blocks(len(size), Options(bias=bias)).unit(3, 5)).double()
    asked: list[nn.Module] = []
    unit[1].register_forward_hook(lambda layer, *_: asked.append(layer))
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    plainly = nn.Sequential(*unit)(x)
    assert asked == [unit[1]]
    with torch.inference_mode():
        torch.testing.assert_close(unit(x), plainly.detach())
    assert asked == [unit[1]]


@pytest.mark.parametrize(("size", "folded"), [((4, 4), False), ((40, 40), True)])
def test_only_weights_smaller_than_their_map_are_changed(size: tuple[int, int], folded: bool) -> None:
    unit = trained(Blocks(2, Options()).unit(64, 5))
    asked: list[nn.Module] = []
    unit[1].register_forward_hook(lambda layer, *_: asked.append(layer))
    with torch.inference_mode():
        unit(torch.randn(1, 64, *size))
    assert bool(asked) is not folded


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_statistics_of_the_batch_are_never_folded(norm: Literal["batch", "instance", "none"]) -> None:
    """In training mode, and for a normalisation that has no running statistics, also without gradients."""
    torch.manual_seed(0)
    unit, x = Blocks(2, Options(norm=norm)).unit(3, 5).train(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(unit(x), nn.Sequential(*unit)(x), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [UNet, UNetPlusPlus, UNet3Plus])
@pytest.mark.parametrize("size", [(64, 352), (16, 32, 16)])
def test_inference_gives_what_training_sees(kind: type[SegmentationNetwork], size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = trained(kind(Shape(len(size), 1, 3, 2, "softmax"), Options(base=4, presence=True)))
    x = torch.randn(2, 1, *size)
    maps, presence = network.training_outputs(x)
    with torch.inference_mode():
        features = network.encode(x)
        torch.testing.assert_close(network.decode(features), maps[0].detach(), atol=1e-5, rtol=1e-5)
        assert presence is not None
        torch.testing.assert_close(network.presence(features), presence.detach(), atol=1e-5, rtol=1e-5)
