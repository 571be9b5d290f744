"""A test set without labels, to hand to participants, and the key that maps their answers back.

Names, numbers and order are drawn from a secret seed, so they do not reveal which photos show the
same product. Tables keep only paths and boxes. Files have no metadata and all the same time stamp.
The pictures themselves are unchanged: a photo that is public elsewhere can be recognised.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from shoplens.curation.layout import FOLDERS, write_tables
from shoplens.curation.metadata import Stripped, strip
from shoplens.datasets.dataset import Dataset
from shoplens.datasets.format import TABLE_NAMES
from shoplens.errors import DataError, PhotoError, RankingError
from shoplens.files import read_text, require_folder, write_text
from shoplens.folders import require_new_folder, writing_folder
from shoplens.json_text import parse_json
from shoplens.looking import look_at, photo_bytes
from shoplens.pixels.decoding import decode
from shoplens.progress import Progress, silent
from shoplens.ranking import Ranking
from shoplens.records import Domain, Fault, Photo, PhotoSet
from shoplens.report.counts import counted

TIME = 946_684_800
"""Time stamp of every file: 2000-01-01, in seconds since 1970."""

_FORMAT = 1

_Id = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class _KeyFile(msgspec.Struct):
    """The key as JSON. Rows are id, original id, path, original path."""

    format: int
    seed: str
    original_queries: list[_Id]
    gallery: list[tuple[_Id, _Id, str, str]]
    queries: list[tuple[_Id, _Id, str, str]]


Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """The key to an anonymised set: what its ids mean. Whoever made the set keeps it secret."""

    seed: str
    gallery: Ids
    """(n,) int32: the original id of each row of the anonymised gallery. Its own id is its row."""
    queries: Ids
    """(q,) int32: the same of the queries."""
    original_queries: Ids
    """(q,) int32: ids of the original queries, in the order of their table."""
    names: Mapping[str, str]
    """Original path of each photo, by its path in the anonymised set."""

    def restore(self, answer: Ranking) -> Ranking:
        """Return an answer to the anonymised set as one to the original.

        Args:
            answer: an answer to the anonymised set: rows in the order of its queries, with its ids.

        Raises:
            RankingError: it is for other queries, or contains an id that is not in the anonymised
                gallery.
        """
        if not np.array_equal(answer.query_ids, np.arange(len(self.queries))):
            raise RankingError("the answer is for other queries than those of the anonymised set")
        unknown = (answer.ids < 0) | (answer.ids >= len(self.gallery))
        known = np.where(unknown, 0, answer.ids)
        if answer.blank is not None:
            unknown &= ~answer.blank
        if unknown.any():
            row, column = (int(i) for i in np.argwhere(unknown)[0])
            raise RankingError(
                f"{int(unknown.sum())} ids of the answer are not in the anonymised gallery; "
                f"the first is {answer.ids[row, column]} in row {row}, column {column} (from 0). "
                "Does the key belong to another export?"
            )
        row_of = {query: row for row, query in enumerate(self.queries.tolist())}
        rows = np.array([row_of[query] for query in self.original_queries.tolist()], dtype=np.int64)
        return replace(
            answer,
            query_ids=self.original_queries,
            ids=self.gallery[known[rows]],
            scores=None if answer.scores is None else answer.scores[rows],
            blank=None if answer.blank is None else answer.blank[rows],
        )


@dataclass(frozen=True, slots=True)
class Anonymised:
    """What came of an anonymised export."""

    folder: Path
    key: Path
    n_gallery: int
    n_queries: int
    n_bytes_removed: int
    """Bytes of metadata cut out of photos that were not converted."""
    converted: Mapping[str, int]
    """Photos that were converted to PNG, by format: formats from which metadata cannot be cut
    out."""

    def to_json(self) -> dict[str, Any]:
        """Return the values as `shoplens dataset anonymise --json` writes them."""
        return {
            "output": str(self.folder),
            "key": str(self.key),
            "n_gallery": self.n_gallery,
            "n_queries": self.n_queries,
            "n_bytes_removed": self.n_bytes_removed,
            "converted": dict(self.converted),
        }


def anonymise(
    dataset: Dataset,
    folder: str | Path,
    key: str | Path,
    *,
    seed: str | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Anonymised:
    """Write a test set without labels, and the key to it.

    Photos get random names and rows a random order; the id is the row. Metadata is cut out without
    encoding the photo again (see `shoplens.curation.metadata`). Every photo is decoded before and
    after, to verify that it looks the same.

    Args:
        dataset: the test set; labels are not needed.
        folder: where to; must be new.
        key: file of the key; must be new and outside of `folder`.
        seed: the secret that decides on names and order; None draws one. The same seed gives the
            same export.
        workers: threads; None takes one for each usable core.
        progress: told how many photos are done.

    Raises:
        MissingError: a folder to write to is not there.
        DataError: `folder` or `key` is there already, or one is in the other; or a photo cannot be
            used (all of them are named).
    """
    folder, key = Path(folder), Path(key)
    _require_apart(folder, key)
    if not dataset.gallery or not dataset.queries:
        raise DataError(f"{dataset.root} has no gallery photos or no queries: nothing to hand out")
    seed = secrets.token_hex(16) if seed is None else seed
    sides: dict[Domain, list[Photo]] = {
        "seller": _shuffled(dataset.gallery, seed),
        "user": _shuffled(dataset.queries, seed),
    }
    names: dict[tuple[Domain, int], str] = {}
    removed = 0
    converted: Counter[str] = Counter()
    faults: list[Fault] = []
    with writing_folder(folder) as made:
        for domain, photos in sides.items():
            (made / FOLDERS[domain]).mkdir()
            upright: list[Photo] = []
            stage = f"strip {FOLDERS[domain]}"
            for photo, worked in look_at(
                photos, _strip, workers=workers, progress=progress, stage=stage
            ):
                if isinstance(worked, PhotoError):
                    value, problem = f"{photo.id} {photo.name}", f"{worked.reason}: {worked}"
                    faults.append(Fault(TABLE_NAMES[domain], 0, "", value, problem))
                    continue
                stripped, boxed, n_removed = worked
                name = f"{FOLDERS[domain]}/{_code(seed, photo)[:16]}{stripped.suffix}"
                (made / name).write_bytes(stripped.data)
                names[domain, photo.id] = name
                upright.append(boxed)
                if stripped.converted_from is None:
                    removed += n_removed
                else:
                    converted[stripped.converted_from] += 1
            sides[domain] = upright
        if faults:
            raise DataError(
                f"{dataset.root}: {counted(len(faults), 'photo')} cannot be used, so nothing was "
                "written. Remove their rows (see `shoplens check`)",
                faults,
            )
        write_tables(made, sides, names, labels=False)
        _same_time(made)
        _write_key(key, seed, dataset, sides, names)
    return Anonymised(
        folder, key, len(sides["seller"]), len(sides["user"]), removed, dict(converted)
    )


def read_key(path: str | Path) -> Key:
    """Read the key of an anonymised export.

    Raises `MissingError` when it is not there, `DataError` when it is not such a file.
    """
    file = parse_json(read_text(path), _KeyFile, f"{path}, as the key of an anonymised test set")
    if file.format != _FORMAT:
        raise DataError(f"{path} is a key of format {file.format}; this version reads {_FORMAT}")
    rows = (*file.gallery, *file.queries)
    return Key(
        file.seed,
        gallery=np.array([row[1] for row in file.gallery], dtype=np.int32),
        queries=np.array([row[1] for row in file.queries], dtype=np.int32),
        original_queries=np.array(file.original_queries, dtype=np.int32),
        names={new: old for _, _, new, old in rows},
    )


def _require_apart(folder: Path, key: Path) -> None:
    require_new_folder(folder)
    if key.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"the key {key} would be handed out with {folder}; put it elsewhere")
    require_folder(key)
    if key.exists():
        raise DataError(f"{key} exists already; replacing a key would lose it")


def _code(seed: str, photo: Photo) -> str:
    """Return the code that a photo is named and sorted by; it depends on the secret seed."""
    text = f"{photo.domain} {photo.id}"
    return hmac.new(seed.encode(), text.encode(), hashlib.sha256).hexdigest()


def _shuffled(photos: PhotoSet, seed: str) -> list[Photo]:
    return sorted(photos, key=lambda photo: _code(seed, photo))


def _strip(photo: Photo) -> tuple[Stripped, Photo, int]:
    """Return a photo's bytes without metadata, the photo with an upright box, and bytes removed."""
    data = photo_bytes(photo)
    stripped = strip(data)
    if photo.box is not None and photo.box_frame == "stored":
        found = decode(data, box=photo.box, box_frame="stored", target=1)
        photo = replace(photo, box=found.box, box_frame="upright")
    return stripped, photo, len(data) - len(stripped.data)


def _same_time(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for path in (*(Path(parent, file) for file in files), Path(parent)):
            os.utime(path, (TIME, TIME))


def _write_key(
    path: Path,
    seed: str,
    dataset: Dataset,
    sides: Mapping[Domain, Sequence[Photo]],
    names: Mapping[tuple[Domain, int], str],
) -> None:
    rows = {
        FOLDERS[domain]: [
            [number, photo.id, names[domain, photo.id], photo.name]
            for number, photo in enumerate(photos)
        ]
        for domain, photos in sides.items()
    }
    values = {
        "format": _FORMAT,
        "about": "rows are [id, original id, path, original path]; keep this file secret",
        "seed": seed,
        "dataset": str(dataset.root),
        "original_queries": dataset.queries.ids.tolist(),
        **rows,
    }
    write_text(path, json.dumps(values, indent=None, separators=(",", ":")) + "\n", mode=0o600)
