"""What a batch is made of: augmented views, made as they are drawn, or ahead of time.

Where early stages are frozen, their output over views made ahead is all that training needs. It is
computed once, on ONNX Runtime, and kept in a file; on a processor this is the difference between a
few and a few dozen views a second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shoplens.errors import PhotoError
from shoplens.files import write_text
from shoplens.parallel import parallel_map
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.progress import Progress, silent
from shoplens.records import Domain, Failure
from shoplens.training.augment import Augmenter
from shoplens.training.network import Network
from shoplens.training.photos import Product, Region, TrainingPhoto
from shoplens.training.sampling import Draw
from shoplens.training.tracing import Traced

_CHUNK = 512
"""Views made between two notes of how far the file has come."""


class Views(Protocol):
    """Gives the input of `Network.late` for a batch."""

    def batch(self, draws: Sequence[Draw]) -> Tensor:
        """Return the features of every draw, (n, c, h, w) float32."""


class FreshViews:
    """Views made as they are drawn, each seed another view."""

    def __init__(self, augmenter: Augmenter, network: Network, device: torch.device) -> None:
        self._augmenter = augmenter
        self._network = network
        self._device = device

    def batch(self, draws: Sequence[Draw]) -> Tensor:
        """Return the features of every draw; see `Views`."""
        pixels = list(parallel_map(self._view, draws))
        return self._network.early(torch.from_numpy(np.stack(pixels)).to(self._device))

    def _view(self, draw: Draw) -> npt.NDArray[np.uint8]:
        rng = np.random.default_rng(draw.seed)
        photo = draw.photo
        return self._augmenter.view(photo.path, photo.domain, draw.as_domain, rng, box=photo.box)


class _Planned(NamedTuple):
    photo: TrainingPhoto
    as_domain: Domain
    copies: int


class StoredViews:
    """Frozen features of views made ahead, in a file that a killed run goes on with."""

    def __init__(
        self,
        folder: Path,
        products: Sequence[Product],
        augmenter: Augmenter,
        network: Network,
        *,
        size: int,
        per_product: int,
        seed: int,
        progress: Progress = silent,
    ) -> None:
        plan = list(_plan(products, per_product))
        self._first: dict[tuple[Region, Domain], tuple[int, int]] = {}
        rows: list[tuple[TrainingPhoto, Domain, int]] = []
        for photo, domain, copies in plan:
            self._first[photo.region, domain] = (len(rows), copies)
            rows += [(photo, domain, copy) for copy in range(copies)]
        early = EarlyStages(network, size)
        key = hashlib.sha256(early.weights)
        key.update(repr((augmenter.settings, size, seed)).encode())
        key.update(repr([(p.key, d, c) for p, d, c in plan]).encode())
        folder.mkdir(parents=True, exist_ok=True)
        self._features, done = _open(folder, len(rows), early.shape, key.hexdigest())

        def features_of(row: tuple[TrainingPhoto, Domain, int]) -> npt.NDArray[np.float16]:
            photo, domain, copy = row
            # A view depends on its photo and copy, not on what else is in the table.
            name = int.from_bytes(hashlib.sha256(photo.key.encode()).digest()[:8], "big")
            rng = np.random.default_rng((seed, name, get_args(Domain).index(domain), copy))
            pixels = augmenter.view(photo.path, photo.domain, domain, rng, box=photo.box)
            features: npt.NDArray[np.float16] = early(pixels[None])[0]
            return features

        progress("views", done, len(rows))
        for number, features in enumerate(parallel_map(features_of, rows[done:]), start=done):
            self._features[number] = features
            if (number + 1) % _CHUNK == 0 or number + 1 == len(rows):
                self._features.flush()
                _note(folder, key.hexdigest(), number + 1)
            progress("views", number + 1, len(rows))

    def __len__(self) -> int:
        return len(self._features)

    def batch(self, draws: Sequence[Draw]) -> Tensor:
        """Return the features of every draw; see `Views`."""
        rows = []
        for draw in draws:
            first, copies = self._first[draw.photo.region, draw.as_domain]
            rows.append(first + draw.seed % copies)
        features = torch.from_numpy(self._features[rows].astype(np.float32))
        return features.contiguous(memory_format=torch.channels_last)


class EarlyStages:
    """The frozen stages on ONNX Runtime; several threads may call at once."""

    def __init__(self, network: Network, size: int) -> None:
        self._traced = Traced(_Early(network), size)
        self.weights = self._traced.weights
        self.shape = self._traced(np.zeros((1, size, size, 3), dtype=np.uint8)).shape[1:]

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """Map (n, s, s, 3) uint8 to (n, c, h, w)."""
        return self._traced(pixels).astype(np.float16)


class _Early(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.early(pixels)


def readable(
    products: Sequence[Product], progress: Progress = silent
) -> tuple[list[Product], list[Failure]]:
    """Leave out photos that cannot be decoded or boxed, and products without any other.

    Returns:
        The products with their readable photos, and a record of each photo left out.
    """
    photos = [photo for product in products for photo in product.photos]
    failures: list[Failure] = []
    unreadable = set()
    for row, problem in enumerate(parallel_map(_problem, photos)):
        if problem is not None:
            failures.append(Failure(row, row, photos[row].name, problem.reason, str(problem)))
            unreadable.add(photos[row])
        progress("look at photos", row + 1, len(photos))
    left = []
    for product in products:
        good = tuple(photo for photo in product.photos if photo not in unreadable)
        if good:
            left.append(
                Product(product.key, product.source, product.category, good, product.repeat)
            )
    return left, failures


def _problem(photo: TrainingPhoto) -> PhotoError | None:
    if photo.problem is not None:
        return photo.problem
    try:
        decode(read_bytes(photo.path), box=photo.box, target=64)
    except PhotoError as error:
        return error
    return None


def _plan(products: Sequence[Product], per_product: int) -> Iterator[_Planned]:
    """Say how many views of which photo are made: those that `ProductSampler` may draw."""
    for product in products:
        for domain in get_args(Domain):
            photos = product.taken_by(domain) or product.photos
            for photo in photos:
                yield _Planned(photo, domain, max(1, round(per_product / len(photos))))


def _open(
    folder: Path, count: int, shape: tuple[int, ...], key: str
) -> tuple[np.memmap[Any, np.dtype[np.float16]], int]:
    """Open the file of features, begun anew when it was made for something else."""
    file, note = folder / "features.npy", folder / "features.json"
    if file.is_file() and note.is_file():
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["key"] == key:
            return np.lib.format.open_memmap(file, mode="r+"), int(known["done"])
    note.unlink(missing_ok=True)
    features = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(count, *shape))
    _note(folder, key, 0)
    return features, 0


def _note(folder: Path, key: str, done: int) -> None:
    write_text(folder / "features.json", json.dumps({"key": key, "done": done}))
