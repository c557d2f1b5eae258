"""The average of the weights equals its closed form."""

import pytest
import torch
from torch import nn

from foveal.config.schema import Ema
from foveal.engine.ema import WeightAverage


def trained(average, model, values):
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()


def test_equals_the_closed_form():
    model = nn.Linear(2, 1, bias=False)
    torch.nn.init.constant_(model.weight, 4.0)
    average = WeightAverage(model, Ema(decay=0.9, warmup=False))
    values = [1.0, 2.0, -3.0, 5.0]
    trained(average, model, values)
    expected = 0.9**4 * 4.0 + sum(0.1 * 0.9 ** (3 - i) * value for i, value in enumerate(values))
    assert average.weights()["weight"].tolist() == [pytest.approx([expected, expected], rel=1e-6)]


def test_warm_up_takes_the_first_weights_faster():
    model = nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 0.0)
    average = WeightAverage(model, Ema(decay=0.999, warmup=True))
    trained(average, model, [1.0, 1.0])
    # decays 1/10, then 2/11
    assert average.weights()["weight"].item() == pytest.approx(1 - (1 / 10) * (2 / 11))


def test_swap_is_its_own_inverse_and_buffers_are_the_models():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, Ema(decay=0.5, warmup=False))
    with torch.no_grad():
        model[0].weight.add_(2)
    average.update()
    own = model[0].weight.detach().clone()
    kept = average.weights()
    model(torch.randn(8, 2))
    with average.applied():
        assert torch.equal(model[0].weight, own - 1)
    assert torch.equal(model[0].weight, own)
    assert torch.equal(average.weights()["0.weight"], own - 1)
    assert torch.equal(average.weights()["1.running_mean"], model[1].running_mean)
    assert kept.keys() == model.state_dict().keys()


def test_state_goes_on_where_it_was():
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    second.load_state_dict(first.state_dict())
    one, two = WeightAverage(first, Ema()), WeightAverage(second, Ema())
    trained(one, first, [1.0, 2.0])
    two.load_state_dict(one.state_dict())
    for average, model in ((one, first), (two, second)):
        trained(average, model, [7.0])
    assert torch.equal(one.weights()["weight"], two.weights()["weight"])
    assert one.updates == two.updates == 3


def test_frozen_parameters_are_not_averaged():
    model = nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    assert set(WeightAverage(model, Ema()).state_dict()["averages"]) == {"weight"}
