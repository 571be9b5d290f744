from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shoplens.errors import DataError
from shoplens.models import unit
from shoplens.models.clip.graph import float_weights
from shoplens.models.clip.head import Linear
from shoplens.records import Domain
from shoplens.training.adapters import LastLayers
from shoplens.training.clip_stages import clip_stages
from shoplens.training.tuning import (
    Batches,
    StoredViews,
    Tuning,
    centred,
    contrast,
    features_of,
    kept,
    tune,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clip_reference import small_source

WIDTH, DIMENSION, N_TOKENS = 64, 16, 5
SETTINGS = Tuning(steps=30, products=4, warm_up=2, rate=5e-3, saved_every=10)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Sequential:
    folder = tmp_path_factory.mktemp("small")
    return clip_stages(float_weights(small_source(folder, WIDTH, head_width=64))).eval()


@pytest.fixture
def network(stages: torch.nn.Sequential) -> LastLayers:
    torch.manual_seed(0)
    return LastLayers(stages, 1, 2)


@pytest.fixture(scope="module")
def head() -> tuple[Linear, ...]:
    random = np.random.default_rng(1)
    weight = random.normal(size=(DIMENSION, WIDTH)).astype(np.float32)
    return (Linear(weight, np.zeros(DIMENSION, np.float32)),)


@pytest.fixture
def views(network: LastLayers, head: tuple[Linear, ...]) -> StoredViews:
    """Two sources of six products; what a user sees is a product behind much noise."""
    random = np.random.default_rng(0)
    tokens, sources, products = [], [], []
    domains: list[Domain] = []
    both: tuple[Domain, ...] = ("user", "seller")
    for source in ("shop", "studio"):
        for number in range(6):
            product = random.normal(size=(N_TOKENS, WIDTH))
            for domain in both:
                for _ in range(2):
                    noise = random.normal(size=product.shape) * (1.5 if domain == "user" else 0.2)
                    tokens.append(product + noise)
                    sources.append(source)
                    domains.append(domain)
                    products.append(f"{source}/{number}")
    stored = np.stack(tokens).astype(np.float16)
    start = features_of(network, stored)
    for weight, bias in head:
        start = unit(start @ weight.T + bias)
    made = StoredViews(stored, start, start, sources, domains, products)
    return replace(made, reference=centred(start, made.groups().values()))


def test_centred_groups_have_no_mean(views: StoredViews) -> None:
    plain = views.start.copy()
    found = centred(views.start, views.groups().values())
    assert (views.start == plain).all()
    for places in views.groups().values():
        expected = plain[places] - plain[places].mean(axis=0)
        assert found[places] == pytest.approx(unit(expected), abs=1e-6)
    assert list(views.groups()) == [
        ("shop", "seller"), ("shop", "user"), ("studio", "seller"), ("studio", "user")
    ]  # fmt: skip


def test_a_batch_pairs_users_with_sellers(views: StoredViews) -> None:
    batches = Batches(views, SETTINGS)
    seen = set()
    for step in range(8):
        source, users, sellers = batches.at(step)
        seen.add(source)
        assert len(users) == len(sellers) == SETTINGS.products * SETTINGS.views
        assert {views.domains[place] for place in users} == {"user"}
        assert {views.domains[place] for place in sellers} == {"seller"}
        assert [views.products[place] for place in users] == [views.products[p] for p in sellers]
        assert {views.sources[place] for place in (*users, *sellers)} == {source}
        assert len({views.products[place] for place in users}) == SETTINGS.products
        again = Batches(views, SETTINGS).at(step)
        assert (users == again[1]).all()
        assert (sellers == again[2]).all()
    assert seen == {"shop", "studio"}


def test_without_pairs_nothing_can_be_learnt(views: StoredViews) -> None:
    domains: list[Domain] = ["user"] * len(views.domains)
    with pytest.raises(DataError, match="views of users and of sellers"):
        Batches(replace(views, domains=domains), SETTINGS)


def test_contrast_is_the_log_of_the_share_of_the_own_product() -> None:
    users = torch.eye(2, 3)
    turned = torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
    shares = torch.exp(users @ turned.T / 0.5)
    own = torch.diagonal(shares)
    expected = -((own / shares.sum(1)).log().mean() + (own / shares.sum(0)).log().mean()) / 2
    assert contrast(users, turned, 1, 0.5).item() == pytest.approx(expected.item(), abs=1e-6)
    # Several views of a product are all right answers.
    twice = users.repeat_interleave(2, dim=0)
    assert contrast(twice, twice, 2, 0.01).item() == pytest.approx(np.log(2), abs=1e-5)


def test_nothing_strays_where_similarities_are_the_same() -> None:
    random = torch.Generator().manual_seed(0)
    users, sellers = (
        torch.nn.functional.normalize(torch.randn(4, 8, generator=random)) for _ in range(2)
    )
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=random))
    others = (users @ turn, sellers @ turn)
    assert kept(users, sellers, others, 0.1).item() == pytest.approx(0, abs=1e-5)
    assert kept(users, sellers, (others[0], others[1].flip(0)), 0.1).item() > 0.1


def test_training_finds_more_of_the_products(
    network: LastLayers, head: tuple[Linear, ...], views: StoredViews, tmp_path: Path
) -> None:
    frozen = {name: value.clone() for name, value in network.named_buffers()}
    frozen |= {n: v.clone() for n, v in network.named_parameters() if not v.requires_grad}
    losses = tune(network, head, views, replace(SETTINGS, keep=0.1), tmp_path / "state.pt")
    assert len(losses) == SETTINGS.steps
    first, last = (np.mean([loss.contrast for loss in of]) for of in (losses[:6], losses[-6:]))
    assert last < 0.7 * first
    state = dict(network.named_parameters())
    assert all(torch.equal(state[name], value) for name, value in frozen.items())


def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(
    stages: torch.nn.Sequential, head: tuple[Linear, ...], views: StoredViews, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(_: str, done: int, __: int) -> None:
        if done == 14:
            raise Stop

    found = []
    for name, progress in (("whole", None), ("stopped", stop)):
        torch.manual_seed(0)
        network = LastLayers(stages, 1, 2)
        state = tmp_path / name
        if progress is not None:
            with pytest.raises(Stop):
                tune(network, head, views, SETTINGS, state, progress)
            torch.manual_seed(1)
            network = LastLayers(stages, 1, 2)
        losses = tune(network, head, views, SETTINGS, state)
        found.append((losses, network.adapters()))
    (whole, expected), (stopped, adapters) = found
    assert whole == stopped
    for name, matrices in expected.items():
        assert all((a == b).all() for a, b in zip(matrices, adapters[name], strict=True))
