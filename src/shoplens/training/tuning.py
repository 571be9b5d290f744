"""Training the last layers of a network, on what the frozen ones before them gave and was stored.

A batch has views of products of one source. Users' and sellers' views of one product are drawn
together and those of others pushed apart, and what a reference sees in the same views is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.errors import DataError
from shoplens.files import replacing
from shoplens.models.clip.head import Floats, Linear
from shoplens.models.unit_length import unit
from shoplens.progress import Progress, silent
from shoplens.records import Domain

_MOVED = 0.1
"""Of the way to a batch's mean that a group's mean moves in each step."""
_CHUNK = 32
"""Views that are computed at once, outside of training."""

Places = npt.NDArray[np.int64]
Group = tuple[str, Domain]


class Tunable(Protocol):
    """The last layers of a network: a module."""

    def trained(self) -> Mapping[str, nn.Parameter]:
        """Return what is trained, by name."""

    def __call__(self, x: Tensor) -> Tensor:
        """Map what was stored of n views to (n, c), what the head takes."""


class Stored(Protocol):
    """What frozen layers gave, row by row: an array, or what reads like one."""

    def __getitem__(self, rows: Places, /) -> npt.NDArray[np.float16]:
        """Return (len(rows), ...)."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How last layers are trained."""

    steps: int = 300
    products: int = 24
    """In a batch."""
    views: int = 2
    """Of a product, in each domain."""
    rate: float = 5e-4
    warm_up: int = 10
    """Steps in which the rate rises; after that it falls with the cosine."""
    weight_decay: float = 0.01
    temperature: float = 0.07
    """Of the contrast."""
    keep: float = 1.0
    """Weight of what is kept."""
    kept_temperature: float = 0.1
    saved_every: int = 20
    """Steps between two notes of the state."""
    seed: int = 0
    bfloat16: bool = False
    """Compute in it: faster on processors with instructions for it, much slower on others."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredViews:
    """Views of products as the frozen layers see them."""

    stored: Stored
    """(n, ...), what the trained layers take."""
    start: Floats
    """(n, d) what the head makes of them before training, of unit length, not centred."""
    reference: Floats
    """(n, r) vectors whose similarities are kept, of unit length, each group centred on itself."""
    sources: Sequence[str]
    """(n,)"""
    domains: Sequence[Domain]
    """(n,)"""
    products: Sequence[str]
    """(n,) unique among all sources."""

    def groups(self) -> dict[Group, Places]:
        """Return the places of views, by source and domain."""
        places: dict[Group, list[int]] = {}
        for place, group in enumerate(zip(self.sources, self.domains, strict=True)):
            places.setdefault(group, []).append(place)
        return {group: np.array(of) for group, of in sorted(places.items())}


def centred(vectors: Floats, groups: Iterable[Places | list[int]]) -> Floats:
    """Return vectors of unit length, each group centred on itself.

    Args:
        vectors: (n, d)
        groups: places of vectors.
    """
    vectors = vectors.copy()
    for places in groups:
        vectors[places] -= vectors[places].mean(axis=0)
    return unit(vectors)


class Batches:
    """Which views make a batch; it depends on the seed and the step alone.

    Raises `DataError` when no source has two products with views of both domains.
    """

    def __init__(self, views: StoredViews, settings: Tuning) -> None:
        self._settings = settings
        found: dict[str, dict[str, dict[Domain, list[int]]]] = {}
        for place, source in enumerate(views.sources):
            of: dict[Domain, list[int]] = {domain: [] for domain in get_args(Domain)}
            product = found.setdefault(source, {}).setdefault(views.products[place], of)
            product[views.domains[place]].append(place)
        self._paired = {
            source: paired
            for source, products in sorted(found.items())
            if len(paired := [of for of in products.values() if all(of.values())]) > 1
        }
        if not self._paired:
            raise DataError("no source has two products with views of users and of sellers")

    def at(self, step: int) -> tuple[str, Places, Places]:
        """Return a source and the places of users' and sellers' views, product by product."""
        settings = self._settings
        sources = list(self._paired)
        source = sources[step % len(sources)]
        products = self._paired[source]
        random = np.random.default_rng((settings.seed, step))
        n_products = min(settings.products, len(products))
        chosen = random.choice(len(products), n_products, replace=False)
        users, sellers = (
            np.concatenate([random.choice(products[p][domain], settings.views) for p in chosen])
            for domain in get_args(Domain)
        )
        return source, users, sellers


def contrast(users: Tensor, sellers: Tensor, n_views: int, temperature: float) -> Tensor:
    """Return supervised contrast between the two domains (Khosla et al., NeurIPS 2020).

    Args:
        users: (n, d) rows of unit length, `n_views` of each product.
        sellers: (n, d) likewise, of the same products in the same order.
        n_views: of a product in each domain.
        temperature: similarities are divided by it.
    """
    product = torch.arange(len(users)) // n_views
    same = (product[:, None] == product).float()
    logits = users @ sellers.T / temperature
    sides = [(logits.log_softmax(side) * same).sum(side) / same.sum(side) for side in (0, 1)]
    return -torch.stack(sides).mean()


def kept(
    users: Tensor, sellers: Tensor, reference: tuple[Tensor, Tensor], temperature: float
) -> Tensor:
    """Return how far the shares of similarity between the domains are from a reference's.

    Args:
        users: (n, d) rows of unit length.
        sellers: (m, d) likewise.
        reference: (n, r) and (m, r) likewise, of the same views.
        temperature: similarities are divided by it.
    """
    found = users @ sellers.T / temperature
    wanted = reference[0] @ reference[1].T / temperature
    sides = [
        functional.kl_div(
            found.log_softmax(side), wanted.log_softmax(side), reduction="none", log_target=True
        )
        .sum(dim=side)
        .mean()
        for side in (0, 1)
    ]
    return torch.stack(sides).mean()


class StepLosses(NamedTuple):
    """What a step minimised."""

    source: str
    """Of its batch."""
    contrast: float
    strayed: float
    """How far similarities are from those that are kept."""


@dataclass(slots=True)
class _Run:
    """What a stopped run goes on from."""

    network: Tunable
    optimiser: torch.optim.Optimizer
    means: dict[Group, Tensor]
    """Of the vectors of each group, as training moves them."""
    done: int = 0
    losses: list[StepLosses] = field(default_factory=list)

    def save(self, path: Path) -> None:
        state = {
            "done": self.done,
            "losses": [tuple(losses) for losses in self.losses],
            "means": self.means,
            "optimiser": self.optimiser.state_dict(),
            "trained": {name: value.data for name, value in self.network.trained().items()},
        }
        with replacing(path) as file:
            torch.save(state, file)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.done, self.means = state["done"], state["means"]
        self.losses = [StepLosses(*losses) for losses in state["losses"]]
        self.optimiser.load_state_dict(state["optimiser"])
        for name, value in self.network.trained().items():
            value.data.copy_(state["trained"][name])


def tune(
    network: Tunable,
    head: Sequence[Linear],
    views: StoredViews,
    settings: Tuning,
    state: Path,
    progress: Progress = silent,
) -> list[StepLosses]:
    """Train the last layers of a network; the head behind them does not change.

    Args:
        network: the last layers.
        head: layers, each for vectors scaled to unit length.
        views: what is learnt from.
        settings: how.
        state: a file that a stopped run goes on from, with the same result.
        progress: told of the steps.

    Returns:
        Of each step what it minimised.

    Raises:
        DataError: no source has two products with views of users and of sellers.
    """
    batches = Batches(views, settings)
    trained = list(network.trained().values())
    optimiser = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=settings.weight_decay)
    means = {
        group: torch.from_numpy(views.start[places].mean(axis=0))
        for group, places in views.groups().items()
    }
    run = _Run(network, optimiser, means)
    if state.exists():
        run.load(state)
    layers = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in head]
    reference = torch.from_numpy(views.reference)
    progress("tune", run.done, settings.steps)
    while run.done < settings.steps:
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * _share(run.done, settings)
        source, of_users, of_sellers = batches.at(run.done)
        # A view that was drawn twice is computed once.
        rows, twice = np.unique(np.concatenate([of_users, of_sellers]), return_inverse=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            features = network(torch.from_numpy(np.asarray(views.stored[rows], dtype=np.float32)))
        vectors = _vectors(layers, features.float())[torch.from_numpy(twice)]
        sides = []
        for domain, of_side in zip(
            get_args(Domain), torch.split(vectors, [len(of_users), len(of_sellers)]), strict=True
        ):
            key = (source, domain)
            run.means[key] = run.means[key].lerp(of_side.detach().mean(dim=0), _MOVED)
            sides.append(functional.normalize(of_side - run.means[key]))
        users, sellers = sides
        together = contrast(users, sellers, settings.views, settings.temperature)
        others = (reference[of_users], reference[of_sellers])
        strayed = kept(users, sellers, others, settings.kept_temperature)
        optimiser.zero_grad()
        torch.autograd.backward(together + settings.keep * strayed)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        run.done += 1
        run.losses.append(StepLosses(source, together.item(), strayed.item()))
        if run.done % settings.saved_every == 0 or run.done == settings.steps:
            run.save(state)
        progress("tune", run.done, settings.steps)
    return run.losses


def features_of(
    network: Tunable, stored: npt.NDArray[np.float16], progress: Progress = silent
) -> Floats:
    """Return (n, c) what last layers make of what was stored, of unit length."""
    found = []
    for first in range(0, len(stored), _CHUNK):
        progress("features", first, len(stored))
        with torch.inference_mode():
            part = np.asarray(stored[first : first + _CHUNK], dtype=np.float32)
            found.append(network(torch.from_numpy(part)).numpy())
    progress("features", len(stored), len(stored))
    return unit(np.concatenate(found))


def _share(step: int, settings: Tuning) -> float:
    """Return the share of the rate that a step has."""
    risen = min(1.0, (step + 1) / settings.warm_up)
    return risen * float(1 + np.cos(np.pi * step / settings.steps)) / 2


def _vectors(layers: Sequence[tuple[Tensor, Tensor]], features: Tensor) -> Tensor:
    """Return (n, d) rows of unit length, not centred."""
    vectors = features
    for weight, bias in layers:
        vectors = functional.normalize(functional.normalize(vectors) @ weight.T + bias)
    return vectors
