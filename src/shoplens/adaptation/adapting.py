"""Fit a model to a shop without labels, and keep it if it helps on photos made of the shop's."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from shoplens.adaptation.choosing import FOLDS, precisions_of
from shoplens.adaptation.closed_form import Settings
from shoplens.adaptation.frozen import Seen
from shoplens.adaptation.frozen_ensemble import Frozen, freeze
from shoplens.adaptation.label_free import SHRINKAGE, ShopPhotos, fit_shop
from shoplens.adaptation.made_photos import shopper_view
from shoplens.adaptation.report import AdaptationReport, Gain
from shoplens.adaptation.writing import write_adapted
from shoplens.errors import DataError, PhotoError
from shoplens.evaluation.formulas import PerQuery
from shoplens.looking import decoded_photo
from shoplens.models import DEFAULT_MODEL
from shoplens.models.devices import CPU
from shoplens.models.model_folder import require_room
from shoplens.parallel import parallel_map
from shoplens.progress import Progress, silent
from shoplens.records import Photo, PhotoSet, Vectors

LEAST_PHOTOS = 50
"""Sellers' photos that fitting and validation need. Some hundreds are better."""
MOST_PHOTOS = 5000
"""Sellers' photos that are looked at, at most, evenly spaced."""
MOST_SOURCES = 1000
"""Of these, photos that shoppers' photos are made of, at most."""
VIEWS = 3
"""Shoppers' photos that are made of each."""
CLUTTER = 60
"""Sellers' photos, parts of which are laid behind products, at most."""
SPLITS = 3
"""Times that the photos are split into folds; the result must not hang on one split."""
LEAST_GAIN = 0.01
"""The 95 % interval of the gain on made photos must be above this for a model to be kept. Where the
model finds nearly all of them in any case, a smaller gain says little about real queries."""

_CLUTTER_SIDE = 384


def adapt(
    photos: PhotoSet,
    output: str | Path,
    *,
    user_photos: PhotoSet | None = None,
    model: str | Path | None = None,
    dimension: int | None = None,
    name: str | None = None,
    device: str = CPU,
    cache: bool = True,
    workers: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> AdaptationReport:
    """Fit the head of a model to a shop's photos, without labels, in closed form (no torch).

    Shoppers' photos are made of sellers' photos. Whether a single network is shown sellers' photos
    without their plain borders, and whether the new head is kept, is decided by searching for made
    photos among the sellers'. The report compares before and after on photos that were made of
    others than the head was fitted to. If the 95 % interval of the gain is above `LEAST_GAIN`, a
    new model is written. The old one stays as it is. Made photos are easier than real ones: with
    real queries, expect another gain.

    Nothing but the shop's own photos is used, so searches with the new model are gallery-side.

    Args:
        photos: sellers' photos; of more than `MOST_PHOTOS`, so many are taken.
        output: the new model's folder.
        user_photos: real shoppers' photos, whatever they show; their mean becomes the shoppers'
            centre.
        model: the model to start from, as `shoplens.load_encoder` takes it; None for
            the default model.
        dimension: length of the new model's vectors, at most; None takes the model's.
        name: of the new model; None takes the folder's.
        device: as `shoplens.load_encoder` takes it.
        cache: whether to keep what was computed in the user's cache, also the new model's vectors
            of the photos: then a catalogue of them changes to the model without decoding.
        workers: threads; None for one per usable core.
        force: replace a model that is in `output`.
        progress: told of stages and steps.

    Returns:
        What was found. Without `kept`, nothing was written.

    Raises:
        DataError: there are too few photos.
        MissingError: there is no such model.
        ModelError: the model cannot be adapted (see `freeze`).
        ShoplensError: `output` is there already or cannot be written, or no photo can be used.
    """
    output = Path(output)
    require_room(output, replace=force)
    started = time.perf_counter()
    model_of_shop = whole = freeze(model or DEFAULT_MODEL, device)
    gallery = whole.see(
        _evenly(photos, MOST_PHOTOS), cache=cache, workers=workers, progress=progress
    )
    if len(gallery) < LEAST_PHOTOS:
        raise DataError(
            f"{len(gallery):,} photos can be used; fitting a model to a shop needs at least "
            f"{LEAST_PHOTOS}, and some hundreds are better"
        )
    users = None
    if user_photos is not None:
        shoppers = PhotoSet([replace(photo, domain="user") for photo in user_photos], numbered=True)
        users = whole.see(shoppers, cache=cache, workers=workers, progress=progress)
    failures = (*gallery.failures, *(() if users is None else users.failures))
    shop = _with_made(whole, gallery, workers, progress)
    before = _found(shop)
    if (trimmed := whole.without_borders()) is not None:
        cut = trimmed.see(gallery.photos, cache=cache, workers=workers, progress=progress)
        shop_cut = replace(shop, gallery=cut.features, gallery_vectors=cut.vectors)
        if len(cut) == len(gallery) and _found(shop_cut).mean() > before.mean():
            model_of_shop, gallery, shop = trimmed, cut, shop_cut
    embedded = time.perf_counter()
    dimension = dimension or whole.dimension
    gain = Gain.of(before, _cross_validate(shop, dimension, progress), shop.sources)
    written = None
    if gain.exceeds(LEAST_GAIN):
        head = fit_shop(shop, dimension, None if users is None else users.features)
        adapted = model_of_shop.adapted(
            head,
            name=name or output.resolve().name,
            source=f"head fitted to {len(gallery):,} sellers' photos of a shop, without labels",
        )
        written = write_adapted(output, adapted, head, (gallery,), cache=cache, force=force)
    return AdaptationReport(
        model=whole.name,
        fingerprint=whole.fingerprint,
        output=None if written is None else output,
        new_fingerprint=None if written is None else written.fingerprint,
        settings=Settings(SHRINKAGE, dimension),
        trim=model_of_shop.trim,
        gain=gain,
        network_gain=None,
        least_gain=LEAST_GAIN,
        n_products=len(np.unique(shop.sources)),
        n_queries=len(shop.made),
        n_gallery=len(gallery),
        n_cached=0 if written is None else written.n_cached,
        failures=failures,
        seconds={"embed": embedded - started, "fit": time.perf_counter() - embedded},
    )


def _with_made(model: Frozen, gallery: Seen, workers: int | None, progress: Progress) -> ShopPhotos:
    """Make shoppers' photos of some of the gallery's, and look at them."""
    side = model.input_size
    clutter = [
        picture
        for picture in parallel_map(_small, _evenly(gallery.photos, CLUTTER), workers)
        if picture is not None
    ]
    rows = _spaced(len(gallery), MOST_SOURCES)

    def made(row: int) -> tuple[Vectors, Vectors] | None:
        try:
            with decoded_photo(gallery.photos[row], 4 * side) as photo:
                views = [
                    shopper_view(photo, side, np.random.default_rng((row, view)), clutter)
                    for view in range(VIEWS)
                ]
                return model.look(views, "user")
        except PhotoError:  # A view may be as blank as the wall behind the product.
            return None

    found: list[tuple[Vectors, Vectors]] = []
    sources: list[int] = []
    for done, (row, looks) in enumerate(
        zip(rows, parallel_map(made, rows, workers), strict=True), start=1
    ):
        if looks is not None:
            found.append(looks)
            sources += [row] * VIEWS
        progress("made photos", done, len(rows))
    if not found:
        raise DataError("no shopper's photo could be made of the photos")
    return ShopPhotos(
        gallery=gallery.features,
        gallery_vectors=gallery.vectors,
        made=np.concatenate([features for _, features in found]),
        made_vectors=np.concatenate([vectors for vectors, _ in found]),
        sources=np.array(sources, dtype=np.int64),
    )


def _small(photo: Photo) -> Image.Image | None:
    try:
        with decoded_photo(photo, _CLUTTER_SIDE) as decoded:
            picture = decoded.image.copy()
    except PhotoError:
        return None
    picture.thumbnail((_CLUTTER_SIDE, _CLUTTER_SIDE))
    return picture


def _found(shop: ShopPhotos) -> PerQuery:
    """Return how well made photos find the photo that they were made of, by the model's vectors."""
    places = np.arange(len(shop.gallery))
    return precisions_of(shop.made_vectors, shop.gallery_vectors, shop.sources, places)


def _cross_validate(shop: ShopPhotos, dimension: int, progress: Progress) -> PerQuery:
    """Return the same with heads that do not know what was made of the photos searched for.

    Of each made photo, the mean over several splits.
    """
    values = np.zeros(len(shop.made))
    places = np.arange(len(shop.gallery))
    sources = np.unique(shop.sources)
    parts = [
        part
        for split in range(SPLITS)
        for part in np.array_split(np.random.default_rng(split).permutation(sources), FOLDS)
    ]
    for done, part in enumerate(parts, start=1):
        head = fit_shop(shop.without(part), dimension)
        searched = np.isin(shop.sources, part)
        values[searched] += precisions_of(
            head.vectors(shop.made[searched], "user"),
            head.vectors(shop.gallery, "seller"),
            shop.sources[searched],
            places,
        )
        progress("validate", done, len(parts))
    return values / SPLITS


def _evenly(photos: PhotoSet, most: int) -> PhotoSet:
    return PhotoSet([photos[row] for row in _spaced(len(photos), most)], numbered=photos.numbered)


def _spaced(n: int, most: int) -> list[int]:
    """Return rows, evenly spaced, at most so many."""
    rows: list[int] = np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()
    return rows
