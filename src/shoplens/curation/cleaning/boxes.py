"""The product's box in user photos that have none: the best one that is proposed."""

from __future__ import annotations

from shoplens.boxes.proposals import BoxProposal
from shoplens.boxes.proposing import propose_boxes_of
from shoplens.curation.cleaning.changes import Change, Cleaning
from shoplens.curation.cleaning.tables import DatasetTables
from shoplens.errors import PhotoError
from shoplens.looking import look_at, photo_bytes
from shoplens.pixels.decoding import read_size
from shoplens.progress import Progress, silent
from shoplens.records import Photo

_WHOLE = 0.98
"""A box that covers this share of the photo is none."""


def find_boxes(
    tables: DatasetTables,
    *,
    min_score: float = 0.0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Cleaning:
    """Find the box of the product in each user photo without one, or whose box is the whole photo.

    Args:
        tables: the dataset, its boxes in pixels of the upright photo.
        min_score: a box with a lower score is not taken (see `shoplens.BoxProposal`), 0..1.
        workers: threads; None takes one for each usable core.
        progress: told how many photos are done.
    """
    users = tables.of("user")
    seller = {photo.product_id: photo for photo in reversed(tables.of("seller"))}
    seller.pop(None, None)
    changes: list[Change] = []
    failures: list[tuple[Photo, PhotoError]] = []
    n_with_box = n_below = 0
    looked = look_at(users, _propose, workers=workers, progress=progress, stage="propose boxes")
    for photo, found in looked:
        if isinstance(found, PhotoError):
            failures.append((photo, found))
        elif found is None:
            n_with_box += 1
        elif found.score < min_score:
            n_below += 1
        else:
            beside = seller.get(photo.product_id)
            reason = f"proposed with score {found.score:.3f}"
            changes.append(Change(photo, "box", reason, found.box, beside, found.score))
    changes.sort(key=lambda change: (change.score or 0.0, change.photo.id))
    return Cleaning(
        "boxes",
        tables,
        changes=tuple(changes),
        counts={"n_with_box": n_with_box, "n_below": n_below},
        failures=tuple(failures),
    )


def _propose(photo: Photo) -> BoxProposal | None:
    """Return the best box of a photo; None if it has one already."""
    width, height = read_size(photo_bytes(photo))
    if photo.box is not None:
        inside = photo.box.clip((width, height))
        if inside.width * inside.height < _WHOLE * width * height:
            return None
    return propose_boxes_of(photo, 1)[0]
