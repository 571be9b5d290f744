from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shoplens.training.config import Optimiser
from shoplens.training.schedule import parameter_groups, warm_up_cosine


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), nn.ReLU()
        )
        self.pool = nn.Linear(4, 1)
        self.head = nn.Linear(4, 2)


SETTINGS = Optimiser(learning_rate=1e-2, layer_decay=0.5, weight_decay=0.1)


def test_rates_fall_from_the_head_to_the_input() -> None:
    network, losses = Small(), nn.Linear(2, 7)
    groups = {group["name"]: group for group in parameter_groups(network, SETTINGS, losses)}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "head": 1e-2,
        "head, vectors": 1e-2,
        "stage 1": 0.25e-2,  # the ReLU above it is a stage, too
        "stage 1, vectors": 0.25e-2,
        "stage 0": 0.125e-2,
        "stage 0, vectors": 0.125e-2,
    }
    assert {id(p) for p in groups["head"]["params"]} == {
        id(module.weight) for module in (network.pool, network.head, losses)
    }
    assert {name: group["weight_decay"] for name, group in groups.items()} == {
        name: 0.0 if name.endswith("vectors") else 0.1 for name in groups
    }


def test_every_parameter_is_in_one_group() -> None:
    network = Small()
    groups = parameter_groups(network, SETTINGS)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    torch.optim.AdamW(groups)  # which refuses repeated ones


def test_frozen_stages_are_left_out() -> None:
    network = Small()
    network.stages[:2].requires_grad_(False)
    groups = parameter_groups(network, SETTINGS)
    assert [group["name"] for group in groups] == ["head", "head, vectors"]


def test_a_shared_parameter_is_in_the_group_of_its_highest_place() -> None:
    network = Small()
    network.stages[1][0].bias = network.stages[0].bias
    groups = {group["name"]: group for group in parameter_groups(network, SETTINGS)}
    assert any(p is network.stages[0].bias for p in groups["stage 1, vectors"]["params"])
    assert "stage 0, vectors" not in groups


def test_the_factor_rises_and_falls() -> None:
    factors = [warm_up_cosine(step, 100, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[9] == pytest.approx(10 / 11)
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == warm_up_cosine(1000, 100, 0.1) == 0


@settings(deadline=None, derandomize=True, max_examples=30)
@given(total=st.integers(1, 300), share=st.floats(0, 1))
def test_the_factor_has_one_peak_and_no_idle_step(total: int, share: float) -> None:
    factors = [warm_up_cosine(step, total, share) for step in range(total)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors)


def test_it_drives_a_scheduler() -> None:
    optimiser = torch.optim.AdamW(parameter_groups(Small(), SETTINGS))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: warm_up_cosine(step, 4, 0.25)
    )
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates == pytest.approx([0.5e-2, 1e-2, 0.75e-2, 0.25e-2])
    assert optimiser.param_groups[0]["lr"] == 0
