"""Tuning the last stages of a model's network to a shop, and fitting a head behind them.

Needs torch, unlike the rest of this package. The stages are tuned by contrast between the two
domains, behind a head that stays as it was fitted to the untuned network; what this head saw in the
photos is kept by relational distillation (`shoplens.training.tuning`). Then a head is fitted to the
tuned network's features, as before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens._version import __version__
from shoplens.adaptation.choosing import Fold, Pairs
from shoplens.adaptation.closed_form import Labels
from shoplens.adaptation.frozen import AdaptedModel, FrozenModel, Seen
from shoplens.adaptation.frozen_ensemble import Frozen
from shoplens.adaptation.unfinished import Unfinished
from shoplens.adaptation.ways import Shop, Tuned
from shoplens.embedding.outcome import StageClock
from shoplens.embedding.single import prepared_from
from shoplens.errors import ModelError
from shoplens.looking import photo_bytes
from shoplens.models.clip.head import Linear
from shoplens.models.linear_head import LinearHead
from shoplens.models.outputs import with_outputs
from shoplens.models.sessions import OnnxRuntimeSession
from shoplens.parallel import parallel_map
from shoplens.progress import Progress, silent
from shoplens.records import Domain, Photo, Vectors
from shoplens.training.last_stages import LastStages
from shoplens.training.tuning import Places, StoredViews, Tuning, features_of, tune

TUNING = Tuning(
    steps=20, products=40, rate=5e-4, warm_up=5, weight_decay=0, temperature=0.2, saved_every=5
)
"""For few products; `_steps` takes more steps for more."""
_EPOCHS = 4
"""How often each product is drawn, where there are more than a few."""
_MOST_STEPS = 300
Maps = npt.NDArray[np.float16]


class NetworkStage:
    """Tunes a network behind heads that were fitted to it.

    Args:
        shop: its photos as the network sees them.
        dimension: length of the heads' vectors, at most.
        output: the new model's folder; beside it is what a stopped run goes on from.
        workers: threads; None for one per usable core.
        progress: told of photos and steps.

    Raises:
        ModelError: the network cannot be tuned.
        ShoplensError: nothing can be written beside `output`.
    """

    def __init__(
        self,
        shop: Shop,
        dimension: int,
        output: Path,
        *,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> None:
        self._shop = shop
        self._dimension = dimension
        self._workers, self._progress = workers, progress
        self._unfinished = Unfinished(output, _key(shop, dimension))

    @staticmethod
    def require_tunable(model: Frozen) -> None:
        """Raise `ModelError` when a model's network cannot be tuned."""
        LastStages(_single(model).weights)

    def fitted_to(self, fold: Fold) -> tuple[Pairs, LinearHead]:
        """Return photos as a network sees them that was tuned on what a fold keeps, and a head."""
        pairs = self._shop.pairs_of(fold.way, self.tuned(fold))
        return pairs, fold.head(pairs, self._dimension)

    def tuned(self, fold: Fold) -> Tuned:
        """Tune the network on what a fold keeps, behind a head that is fitted to the same."""
        shown_to, gallery, pairs = self._shop.ways[fold.way]
        model = _single(shown_to)
        queries = self._shop.queries
        maps = (
            self._maps("queries", model, queries),
            self._maps(f"gallery-{fold.way}", model, gallery),
        )
        head = fold.head(pairs, self._dimension)
        last = LastStages(model.weights)
        tune(
            last,
            [Linear(head.weight, head.bias)],
            self._views(pairs, head, fold.kept, maps),
            replace(TUNING, steps=_steps(len(fold.kept))),
            self._unfinished.folder / f"tuned-{_digest(fold.kept.tolist())[:12]}.pt",
            self._progress,
        )
        weights = last.put_into(model.weights)
        of_queries, of_gallery = (features_of(last, stored, self._progress) for stored in maps)
        return Tuned(
            weights, replace(gallery, features=of_gallery), replace(queries, features=of_queries)
        )

    @staticmethod
    def adapted(
        model: Frozen, tuned: bytes, head: LinearHead, *, name: str, source: str
    ) -> AdaptedModel:
        """Return a model with a tuned network, the ONNX file `tuned`, and a head for it."""
        return _single(model).adapted(head, name=name, source=source, tuned=tuned)

    def done(self) -> None:
        """Remove what a stopped run would go on from."""
        self._unfinished.remove()

    def _views(
        self, pairs: Pairs, head: LinearHead, products: Labels, maps: tuple[Maps, Maps]
    ) -> StoredViews:
        """Return what is learnt from: photos of some products."""
        users = np.flatnonzero(np.isin(pairs.query_products, products))
        sellers = np.flatnonzero(np.isin(pairs.gallery_products, products))
        sides: tuple[tuple[Domain, Vectors], ...] = (
            ("user", pairs.queries[users]),
            ("seller", pairs.gallery[sellers]),
        )
        domains: list[Domain] = [domain for domain, rows in sides for _ in rows]
        labels = np.concatenate([pairs.query_products[users], pairs.gallery_products[sellers]])
        return StoredViews(
            stored=_Rows(((maps[0], self._shop.searched[users]), (maps[1], sellers))),
            start=np.concatenate([head.uncentred(rows) for _, rows in sides]),
            reference=np.concatenate([head.vectors(rows, domain) for domain, rows in sides]),
            sources=["shop"] * len(labels),
            domains=domains,
            products=[str(label) for label in labels.tolist()],
        )

    def _maps(self, name: str, model: FrozenModel, seen: Seen) -> Maps:
        """Return the (n, c, h, w) maps that the last stages take, from a file."""
        file = self._unfinished.folder / f"maps-of-{name}.npy"
        if not file.is_file():
            self._write_maps(file, model, seen, f"maps of {name.partition('-')[0]}")
        maps: Maps = np.load(file, mmap_mode="r")
        return maps

    def _write_maps(self, file: Path, model: FrozenModel, seen: Seen, stage: str) -> None:
        encoder = model.encoder(model.weights, model.recipe)
        cuda = model.device.cuda[0] if model.device.cuda else None
        name = LastStages(model.weights).input
        session = OnnxRuntimeSession(with_outputs(model.weights, [name]), cuda)

        def of(photo: Photo) -> Maps:
            prepared, _ = prepared_from(photo_bytes(photo), photo, encoder, StageClock())
            (views,) = prepared
            found: Maps = session.run_all(views)[1][0].astype(np.float16)
            return found

        part = file.with_suffix(".part")
        stored: Any = None
        for row, found in enumerate(parallel_map(of, seen.photos, self._workers)):
            if stored is None:
                shape = (len(seen), *found.shape)
                stored = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
            stored[row] = found
            self._progress(stage, row + 1, len(seen))
        stored.flush()
        part.replace(file)


def _single(model: Frozen) -> FrozenModel:
    if isinstance(model, FrozenModel):
        return model
    raise ModelError(
        f"{model.name} is an ensemble, whose networks are not tuned: leave out --network, or name "
        "a single model with --model, such as lite0-products"
    )


class _Rows:
    """Chosen rows of arrays that may be files, one array after the other."""

    def __init__(self, parts: Sequence[tuple[Maps, Places]]) -> None:
        self._arrays = [array for array, _ in parts]
        self._of = np.concatenate([np.full(len(rows), n) for n, (_, rows) in enumerate(parts)])
        self._rows = np.concatenate([rows for _, rows in parts])

    def __getitem__(self, places: Places, /) -> Maps:
        """Return the rows at these places."""
        return np.stack([self._arrays[self._of[p]][self._rows[p]] for p in places.tolist()])


def _steps(n_products: int) -> int:
    """Return how many steps a network is tuned for."""
    wanted = round(_EPOCHS * n_products / TUNING.products)
    return min(max(wanted, TUNING.steps), _MOST_STEPS)


def _key(shop: Shop, dimension: int) -> str:
    """Say what the result depends on."""
    photos = [
        [photo.domain, sha256, repr(photo.box), str(photo.product_id)]
        for seen in (shop.queries, shop.ways[0].gallery)
        for photo, sha256 in zip(seen.photos, seen.sha256, strict=True)
    ]
    return json.dumps(
        {
            "shoplens": __version__,
            "model": shop.ways[0].model.fingerprint,
            "dimension": dimension,
            "tuning": asdict(TUNING),
            "photos": _digest(photos),
        }
    )


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
