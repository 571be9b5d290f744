from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shoplens.errors import ModelError
from shoplens.training.averaging import State, greedy_soup, interpolate, moving_average, soup


def state(weight: float, count: int = 0) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([weight, 2 * weight]), "count": torch.tensor(count)}


def set_to(network: nn.BatchNorm1d, value: float) -> None:
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(value)


def test_the_moving_average_warms_up() -> None:
    network = nn.BatchNorm1d(2)
    average = moving_average(network, decay=0.25)
    expected = 5.0
    for n, value in enumerate([5.0, 1.0, 2.0, 7.0]):
        set_to(network, value)
        average.update_parameters(network)
        decay = min(0.25, (1 + n) / (10 + n))  # 2 / 11, then 3 / 12 = 0.25
        expected = value if n == 0 else decay * expected + (1 - decay) * value
        for tensor in (average.module.weight, average.module.running_mean):
            assert tensor.tolist() == pytest.approx([expected] * 2)
        assert average.module.num_batches_tracked == int(value)
    assert network.weight.tolist() == [7, 7]


def test_no_decay_takes_the_weights_as_they_are() -> None:
    network = nn.BatchNorm1d(2)
    average = moving_average(network, decay=0)
    for value in (0.1, 0.7, 0.3):
        set_to(network, value)
        average.update_parameters(network)
        assert torch.equal(average.module.weight, network.weight)


def test_the_moving_average_goes_on_from_its_state() -> None:
    network = nn.BatchNorm1d(2)
    average, resumed = moving_average(network, 0.9), moving_average(network, 0.9)
    for value in (1.0, 2.0, 3.0):
        set_to(network, value)
        average.update_parameters(network)
    resumed.load_state_dict(average.state_dict())
    set_to(network, 9.0)
    for each in (average, resumed):
        each.update_parameters(network)
    assert torch.equal(average.module.weight, resumed.module.weight)


def test_interpolation() -> None:
    start, end = state(1.0, count=3), state(5.0, count=8)
    middle = interpolate(start, end, 0.25)
    assert middle["weight"].tolist() == [4, 8]
    assert middle["count"] == 8
    assert torch.equal(interpolate(start, end, 0)["weight"], end["weight"])
    assert torch.equal(interpolate(start, end, 1)["weight"], start["weight"])
    middle["weight"].zero_()
    interpolate(start, end, 0)["count"].zero_()
    assert end["weight"].tolist() == [5, 10]
    assert end["count"] == 8


def test_a_soup_is_the_mean() -> None:
    mixed = soup([state(1.0, 1), state(2.0, 2), state(6.0, 3)])
    assert mixed["weight"].tolist() == [3, 6]
    assert mixed["count"] == 3


@settings(deadline=None, derandomize=True, max_examples=30)
@given(weights=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=5), data=st.data())
def test_the_order_in_a_soup_does_not_matter(weights: list[float], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(weights))
    there, back = (soup([state(w) for w in ws])["weight"].tolist() for ws in (weights, shuffled))
    assert there == pytest.approx(back, abs=1e-5)


def nearness(target: float) -> object:
    return lambda candidate: -abs(float(candidate["weight"][0]) - target)


def test_a_greedy_soup_takes_what_helps() -> None:
    # Best first: 4, 1, 9. With 1 the mean is 2.5, nearer to 3; with 9 as well 4.67, farther.
    result = greedy_soup([state(9.0), state(4.0), state(1.0)], nearness(3.0))
    assert result.members == (1, 2)
    assert result.state["weight"].tolist() == [2.5, 5]
    assert result.score == pytest.approx(-0.5)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(weights=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=6))
def test_a_greedy_soup_is_never_worse_than_its_best(weights: list[float]) -> None:
    score = nearness(0.5)
    states: list[State] = [state(weight) for weight in weights]
    result = greedy_soup(states, score)
    assert result.score >= max(score(each) for each in states)
    assert score(result.state) == result.score


def test_weights_of_different_networks_are_refused() -> None:
    other = {**state(1.0), "weight": torch.zeros(3)}
    for mix in (lambda: soup([state(1.0), other]), lambda: interpolate(other, state(1.0), 0.5)):
        with pytest.raises(ModelError, match="differ in 'weight'"):
            mix()
    with pytest.raises(ModelError, match="no weights"):
        soup([])
