import math

import pytest
import torch
from torch import Tensor, nn

from segcli.contract import GatedNetwork, Network, TrainableNetwork
from segcli_models.blocks import Options, Shape
from segcli_models.encoder import SegmentationNetwork
from segcli_models.u_net import UNet
from segcli_models.u_net_3_plus import UNet3Plus
from segcli_models.u_net_plus_plus import UNetPlusPlus, mean_of_probabilities

NETWORKS = [UNet, UNetPlusPlus, UNet3Plus]


def softmax(dims: int = 2, inputs: int = 1, labels: int = 2) -> Shape:
    return Shape(dims, inputs, labels + 1, labels, "softmax")


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(kind: type[SegmentationNetwork], dims: int = 2, **options: object) -> SegmentationNetwork:
    torch.manual_seed(0)
    return kind(softmax(dims), Options(base=2, **options)).eval()


@pytest.mark.parametrize(
    ("kind", "shape", "options", "parameters"),
    [
        (UNet, Shape(2, 1, 2, 1, "softmax"), Options(base=64, norm="none"), 31_030_658),
        (UNetPlusPlus, Shape(2, 3, 1, 1, "sigmoid"), Options(base=32), 9_163_329),
        (UNetPlusPlus, Shape(2, 3, 1, 1, "sigmoid"), Options(base=32, deep_supervision=True), 9_163_428),
        (UNetPlusPlus, Shape(2, 3, 1, 1, "sigmoid"), Options(base=64), 36_629_633),
        (UNet3Plus, Shape(2, 3, 1, 1, "sigmoid"), Options(base=64), 26_971_777),
        (UNet3Plus, Shape(2, 3, 1, 1, "sigmoid"), Options(base=64, deep_supervision=True), 26_989_637),
    ],
)
def test_papers_parameter_counts(
    kind: type[SegmentationNetwork], shape: Shape, options: Options, parameters: int
) -> None:
    with torch.device("meta"):
        assert count(kind(shape, options)) == parameters


@pytest.mark.parametrize(
    ("kind", "dims", "millions"),
    [
        (UNet, 2, 1.94),
        (UNetPlusPlus, 2, 2.29),
        (UNet3Plus, 2, 1.69),
        (UNet, 3, 5.65),
        (UNetPlusPlus, 3, 6.87),
        (UNet3Plus, 3, 5.07),
    ],
)
def test_parameter_counts_at_base_16(kind: type[SegmentationNetwork], dims: int, millions: float) -> None:
    options = Options(base=16, deep_supervision=kind is not UNet)
    with torch.device("meta"):
        network = kind(Shape(dims, 1, 1, 1, "sigmoid"), options)
    assert count(network) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("size", [(16, 16), (48, 32), (16, 32, 16)])
def test_output_has_the_size_of_the_input(kind: type[SegmentationNetwork], size: tuple[int, ...]) -> None:
    network = small(kind, len(size), presence=True)
    x = torch.randn(2, 1, *size)
    with torch.inference_mode():
        assert network(x).shape == (2, 3, *size)
        assert network.presence(network.encode(x)).shape == (2, 2)
    assert isinstance(network, Network)
    assert isinstance(network, TrainableNetwork)


def test_valid_unet_loses_92_pixels_on_each_side() -> None:
    network = small(UNet, padding="valid", norm="none")
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 572, 572)).shape == (1, 3, 388, 388)
        assert network(torch.zeros(1, 1, 188, 204)).shape == (1, 3, 4, 20)
    with pytest.raises(ValueError, match="12 more than a multiple of 16 and at least 188"):
        network(torch.zeros(1, 1, 572, 576))
    with pytest.raises(ValueError, match="at least 188"):
        network(torch.zeros(1, 1, 172, 188))


@pytest.mark.parametrize("kind", NETWORKS)
def test_another_size_is_refused_with_the_multiple(kind: type[SegmentationNetwork]) -> None:
    with pytest.raises(ValueError, match=r"multiple of 16.*, not 32 × 40"):
        small(kind)(torch.zeros(1, 1, 32, 40))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("deep", [False, True])
def test_every_parameter_gets_a_gradient(kind: type[SegmentationNetwork], deep: bool) -> None:
    network = small(kind, presence=True, deep_supervision=deep).train()
    maps, presence = network.training_outputs(torch.randn(2, 1, 32, 32))
    assert presence is not None
    assert {tuple(logits.shape) for logits in maps} == {(2, 3, 32, 32)}
    (sum((logits.square().mean() for logits in maps), torch.zeros(())) + presence.square().mean()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("kind", NETWORKS)
def test_without_a_head_a_network_is_not_gated(kind: type[SegmentationNetwork]) -> None:
    assert isinstance(small(kind, presence=True), GatedNetwork)
    assert not isinstance(small(kind, presence=False), GatedNetwork)
    assert small(kind, presence=False).training_outputs(torch.randn(2, 1, 32, 32))[1] is None


@pytest.mark.parametrize("kind", NETWORKS)
def test_decoding_some_of_a_batch_gives_some_of_the_result(kind: type[SegmentationNetwork]) -> None:
    network = small(kind)
    with torch.inference_mode():
        features = network.encode(torch.randn(4, 1, 32, 32))
        whole = network.decode(features)
        part = network.decode(tuple(feature[[0, 3]] for feature in features))
    torch.testing.assert_close(part, whole[[0, 3]])


def as_3d(weights: dict[str, Tensor], like: dict[str, Tensor]) -> dict[str, Tensor]:
    """2-D kernels in the middle of the 3-D ones; transposed 2×2 kernels in both slices."""
    embedded = {}
    for name, value in weights.items():
        target = like[name]
        if target.ndim == value.ndim:
            embedded[name] = value
        elif target.shape[2] == 2:
            embedded[name] = torch.stack([value, value], dim=2)
        else:
            embedded[name] = torch.zeros_like(target)
            embedded[name][:, :, target.shape[2] // 2] = value
    return embedded


@pytest.mark.parametrize("kind", NETWORKS)
def test_3d_agrees_with_2d_on_a_volume_that_is_constant_along_depth(kind: type[SegmentationNetwork]) -> None:
    flat, solid = small(kind, 2), small(kind, 3)
    solid.load_state_dict(as_3d(flat.state_dict(), solid.state_dict()))
    x = torch.randn(1, 1, 32, 16)
    with torch.inference_mode():
        expected = flat(x)[:, :, None].expand(-1, -1, 16, -1, -1)
        torch.testing.assert_close(solid(x[:, :, None].expand(-1, -1, 16, -1, -1)), expected, atol=1e-4, rtol=1e-4)


def test_accurate_unetpp_is_the_mean_of_the_probabilities() -> None:
    network = small(UNetPlusPlus, deep_supervision=True, inference="accurate")
    x = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        maps, _ = network.training_outputs(x)
        mean = torch.stack([logits.softmax(dim=1) for logits in maps]).mean(dim=0)
        torch.testing.assert_close(network(x).softmax(dim=1), mean)
        torch.testing.assert_close(network(x).exp().sum(dim=1), torch.ones(2, 32, 32))


def test_accurate_for_sigmoid_by_hand() -> None:
    maps = [torch.tensor([[[[math.log(p / (1 - p))]]]]) for p in (0.2, 0.6)]
    assert mean_of_probabilities(maps, "sigmoid").sigmoid().item() == pytest.approx(0.4)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_fast_unetpp_computes_only_the_columns_it_needs(level: int) -> None:
    network = small(UNetPlusPlus, deep_supervision=True, inference="fast", level=level)
    ran: list[str] = []
    for name, module in network.named_modules():
        if name.startswith(("nodes.", "heads.")) and name.count(".") == 1:
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    x = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        out = network(x)
        assert len([name for name in ran if name.startswith("nodes.")]) == level * (level + 1) // 2
        assert [name for name in ran if name.startswith("heads.")] == [f"heads.{level}"]
        torch.testing.assert_close(out, network.training_outputs(x)[0][4 - level])


def test_unet3p_evaluates_only_the_full_resolution_head() -> None:
    network = small(UNet3Plus, deep_supervision=True)
    ran: list[int] = []
    for i, head in enumerate(network.heads):  # type: ignore[arg-type]
        head.register_forward_hook(lambda *_, i=i: ran.append(i))
    with torch.inference_mode():
        network(torch.randn(1, 1, 32, 32))
    assert ran == [0]
