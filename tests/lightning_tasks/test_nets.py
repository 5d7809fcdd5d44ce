"""Networks: shapes, parameters and FLOPs counted by hand, and sizes that would shrink below one pixel."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from lightning_tasks import nets
from lightning_tasks.fits.counts import count_flops, count_parameters


def mlp(**settings) -> nn.Sequential:
    return nets.mlp(3, 2, {**nets.MLP_DEFAULTS, **settings})


def cnn(shape=(3, 32, 32), **settings) -> nn.Sequential:
    return nets.cnn(shape, 10, {**nets.CNN_DEFAULTS, **settings})


def test_parameters_and_flops_of_an_mlp_by_hand() -> None:
    with torch.device("meta"):
        net = mlp(depth=2, width=5)
    assert count_parameters(net) == (3 * 5 + 5) + (5 * 5 + 5) + (5 * 2 + 2)
    assert count_flops(net, torch.empty(1, 3, device="meta")) == 2 * (3 * 5 + 5 * 5 + 5 * 2)


def test_parameters_and_flops_of_a_cnn_by_hand() -> None:
    with torch.device("meta"):
        net = cnn(stem="5x5 stride 2", stages=2, filters=4, filter_growth=2.0, kernel_size=3, pool_size=2)
    # maps: 16 x 16 after the stem, pooled to 8 x 8 and 4 x 4; filters 4, 4, 8
    weights = 25 * 3 * 4, 9 * 4 * 4, 9 * 4 * 8, 8 * 16 * 10
    assert count_parameters(net) == sum(weights) + 4 + 4 + 8 + 10
    places = 16 * 16, 16 * 16, 8 * 8, 1
    assert count_flops(net, torch.empty(1, 3, 32, 32, device="meta")) == 2 * sum(
        w * p for w, p in zip(weights, places, strict=True)
    )


def test_batch_norm_and_dropout_are_there_only_when_on() -> None:
    def kinds(net: nn.Module) -> set[str]:
        return {type(layer).__name__ for layer in net.modules()}

    plain, full = mlp(), mlp(batch_norm=True, dropout=True, dropout_rate=0.3)
    assert not kinds(plain) & {"BatchNorm1d", "Dropout"}
    assert [layer.p for layer in full.modules() if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert kinds(full) >= {"BatchNorm1d", "Dropout"}
    assert kinds(cnn(batch_norm=True, dropout=True)) >= {"BatchNorm2d", "Dropout"}


@pytest.mark.parametrize("stem", nets.STEMS)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (5, 2), (1, 1)])
def test_every_number_of_stages_fits_every_image(stem: str, size: int, channels: int) -> None:
    for stages, pool, kernel in itertools.product((1, 5), (1, 2, 4), (1, 5)):
        net = cnn((channels, size, size), stem=stem, stages=stages, pool_size=pool, kernel_size=kernel, filters=2)
        assert net(torch.rand(2, channels, size, size)).shape == (2, 10)


def test_every_initialiser_draws_anew_and_orthogonal_is_orthogonal() -> None:
    torch.manual_seed(0)
    seen = []
    for name in nets.INITIALISERS:
        net = mlp(depth=2, width=8)
        bias = net[0].bias.detach().clone()
        nets.initialise(net, name)
        assert torch.equal(net[0].bias, bias)
        seen.append(net[2].weight.detach())
    assert torch.allclose(seen[-1] @ seen[-1].T, torch.eye(8), atol=1e-5)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(seen, 2))
    # the bounds of the uniform laws: sqrt(6 / (in + out)) and sqrt(6 / in)
    assert 0.5 * (6 / 16) ** 0.5 < seen[0].abs().max() <= (6 / 16) ** 0.5
    assert (6 / 16) ** 0.5 < seen[2].abs().max() <= (6 / 8) ** 0.5


def test_normalise_by_hand() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 2, 1, 1)
    out = nets.Normalise((0.5, 0.25), (0.5, 0.25))(images)
    assert out.flatten().tolist() == pytest.approx([-1.0, 3.0])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"activation": "swoosh"}, r"`activation` must be one of relu, .*, but got 'swoosh'; correct it in the space"),
        ({"stem": "9x9"}, r"`stem` must be one of 3x3, .*, but got '9x9'; correct it in the space"),
    ],
)
def test_a_wrong_choice_is_named(settings: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cnn(**settings)
    with pytest.raises(ValueError, match=r"`initialiser` must be one of .* but got 'zeros'"):
        nets.initialise(mlp(), "zeros")
