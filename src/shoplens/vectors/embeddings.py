"""Vectors of a photo set, made by shoplens or by you, and their files.

A Parquet file (extra `shoplens[parquet]`) has one row per photo, with ids, failures and the model's
fingerprint. A Lance dataset (`shoplens[lance]`) holds the same table. A `.npy` file, with rows in
table order, is for vectors made elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplens.arrow import arrow
from shoplens.errors import MissingError, RankingError, reason_of
from shoplens.json_text import parse_object
from shoplens.records import Failure, PhotoSet, Vectors
from shoplens.vectors.lance import SUFFIX as LANCE
from shoplens.vectors.lance import read_lance
from shoplens.vectors.matching import find_rows, has_changed
from shoplens.vectors.part_folder import PartFolder
from shoplens.vectors.region_columns import read_regions
from shoplens.vectors.regions import RegionVectors
from shoplens.vectors.writing import METADATA_KEY, VectorFileInfo, VectorRow, writing_vectors

_UNIT_TOLERANCE = 1e-6
"""Rows this close to unit length are not changed, so loading saved vectors gives the same
ranking."""


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """One vector per photo, in the order of the photo set.

    Raises `RankingError` if the shapes do not match.
    """

    ids: npt.NDArray[np.int32]
    """(n,) int32, unique."""
    vectors: Vectors
    """(n, d) float32, rows of unit length; zero if the photo failed."""
    failures: tuple[Failure, ...] = ()
    model_name: str | None = None
    fingerprint: str | None = None
    """Fingerprint of the model that made them; None if unknown."""
    sha256: tuple[str | None, ...] = ()
    """SHA-256 of each photo's file, in hex; None if it could not be read. Empty if unknown."""
    n_clipped: int = 0
    """Number of photos whose box was partly outside and was clipped."""
    n_cached: int = 0
    """Number of photos whose vectors came from the cache."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds in total (`embed`), and core seconds of each stage."""
    photos: PhotoSet | None = None
    """The photos that the vectors belong to; None if only their ids are known."""
    regions: RegionVectors | None = None
    """Vectors of regions of the photos; None if there are none."""
    views: int = 1
    """Of how many views of its photo a vector is the mean."""

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise RankingError(
                f"{len(self.ids)} ids need vectors of shape (n, d); got {self.vectors.shape}"
            )
        if self.regions is not None and (
            len(self.regions.starts) != len(self.ids) + 1
            or self.regions.vectors.shape[1:] != self.vectors.shape[1:]
        ):
            raise RankingError(
                f"the regions are of {len(self.regions.starts) - 1} photos with vectors of "
                f"{self.regions.vectors.shape[1:]}; there are {len(self.ids)} photos, and their "
                f"vectors are {self.vectors.shape[1:]}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_vector(self) -> npt.NDArray[np.bool_]:
        """(n,) bool: False if the photo failed."""
        mask = np.ones(len(self.ids), dtype=np.bool_)
        mask[[failure.row for failure in self.failures]] = False
        return mask

    @property
    def n_regions(self) -> int:
        """How many regions a photo has at most; 0 if there are none."""
        return 0 if self.regions is None else self.regions.limit

    def failures_by_reason(self) -> dict[str, int]:
        """Return the number of photos that failed for each reason, most frequent first."""
        return dict(Counter(failure.reason for failure in self.failures).most_common())

    @classmethod
    def load(cls, path: str | Path, photos: PhotoSet) -> Embeddings:
        """Read the vectors of a photo set.

        Args:
            path: a `.parquet` or `.lance` in shoplens' format, with rows in any order, or a folder
                of parts that `shoplens embed --engine ray` wrote. Rows are matched to photos by
                `photo_id`, or by `path` for the photos of a folder, whose ids only count them. Or
                a `.npy`, float16/32/64 (n, d), with one row per photo in table order, and a row of
                NaN for a photo without a vector.
            photos: the photos that the vectors belong to. Photos that are missing in a Parquet file
                are failures (`no_vector`), and so are files that no longer match the row's
                `sha256`. Rows of photos that are not in the set are ignored.

        Returns:
            `Embeddings` in the order of `photos`. Rows are scaled to unit length.

        Raises:
            MissingError: there is no such file, or the extra for Parquet or Lance is missing.
            RankingError: the file does not match the photo set.
        """
        path = Path(path)
        if path.is_dir():
            return _from_table(path, photos)
        if not path.is_file():
            raise MissingError(f"vectors {path} do not exist")
        if path.suffix == ".npy":
            return _from_npy(path, photos)
        if path.suffix == ".parquet":
            return _from_table(path, photos)
        raise RankingError(f"{path}: vectors are read from .parquet, .lance or .npy")

    def save(self, path: str | Path, photos: PhotoSet) -> None:
        """Write vectors as `.parquet`, `.lance` or `.npy`; an earlier file is replaced in one step.

        A `.npy` holds float32 (n, d) in table order, with a row of NaN if the photo failed. It has
        no place for regions.

        Raises:
            RankingError: the suffix is unknown, the vectors belong to other photos, or there are
                regions that the file cannot hold.
            MissingError: the extra for Parquet or Lance is missing.
        """
        _require_ids(photos, self.ids, str(path))
        dimension = self.vectors.shape[1]
        info = VectorFileInfo(
            len(photos),
            dimension,
            self.model_name,
            self.fingerprint,
            views=self.views,
            regions=self.n_regions,
        )
        reasons = {failure.row: failure.reason for failure in self.failures}
        with writing_vectors(path, info) as writer:
            for row, photo in enumerate(photos):
                reason = reasons.get(row, "")
                sha256 = self.sha256[row] if self.sha256 else None
                regions = None if self.regions is None or reason else self.regions.of_photo(row)
                vector = None if reason else self.vectors[row]
                writer.add(VectorRow(photo, vector, sha256, reason, regions))


def check_same_model(queries: Embeddings, gallery: Embeddings) -> None:
    """Refuse to compare vectors of different models.

    Raises `RankingError` if dimensions or known fingerprints differ.
    """
    if queries.vectors.shape[1] != gallery.vectors.shape[1]:
        raise RankingError(
            f"query vectors have {queries.vectors.shape[1]} dimensions, gallery vectors "
            f"{gallery.vectors.shape[1]}; they come from different models"
        )
    if queries.fingerprint and gallery.fingerprint and queries.fingerprint != gallery.fingerprint:
        raise RankingError(
            f"query vectors were made by {queries.model_name} ({queries.fingerprint}), gallery "
            f"vectors by {gallery.model_name} ({gallery.fingerprint}); embed both with one model"
        )


def _from_npy(path: Path, photos: PhotoSet) -> Embeddings:
    try:
        with path.open("rb") as stream:
            rows = np.load(stream, allow_pickle=False)
    except Exception as error:  # A damaged header can raise almost anything.
        raise RankingError(f"{path} is not a .npy array: {reason_of(error)}") from error
    if not isinstance(rows, np.ndarray):
        raise RankingError(f"{path} is not a .npy array, but an archive of several (.npz)")
    if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) != len(photos):
        raise RankingError(
            f"{path} holds {rows.dtype} {rows.shape}; it must be a float array of "
            f"{len(photos)} rows, one per photo in table order"
        )
    absent = np.asarray(np.isnan(rows).all(axis=1))
    return _checked(path, photos, rows, absent, None, None, {})


def _from_table(path: Path, photos: PhotoSet) -> Embeddings:
    table = _read_table(path)
    if missing := [name for name in ("photo_id", "vector") if name not in table.column_names]:
        raise RankingError(f"{path}: columns {missing} are missing; there are {table.column_names}")
    ids = _column_ids(path, table["photo_id"])
    column = table["vector"].combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    stored = _column_vectors(path, column.drop_null())
    texts = {
        name: table[name].to_pylist() if name in table.column_names else [None] * len(ids)
        for name in ("path", "sha256", "failure")
    }
    source = find_rows(path, photos, ids, texts["path"])
    place = np.cumsum(present) - 1
    details: dict[int, tuple[str, str]] = {}
    digests: list[str | None] = [None] * len(photos)
    modified = _modified(path)
    for row, (photo, line) in enumerate(zip(photos, source.tolist(), strict=True)):
        if line < 0:
            continue
        if reason := texts["failure"][line]:
            details[row] = str(reason), f"{path} says that it could not be embedded"
        elif not present[line]:
            source[row] = -1
        elif has_changed(photo, texts["path"][line], texts["sha256"][line], modified):
            details[row] = "no_vector", f"the photo is not the one whose vector {path} holds"
        digests[row] = texts["sha256"][line]
    source[list(details)] = -1
    absent = source < 0
    rows = np.zeros((len(photos), stored.shape[1]), dtype=stored.dtype)
    rows[~absent] = stored[place[source[~absent]]]
    meta = parse_object(
        (table.schema.metadata or {}).get(METADATA_KEY, b"{}"),
        f"{path}: metadata 'shoplens'",
        RankingError,
    )
    found = _checked(
        path, photos, rows, absent, meta.get("model"), meta.get("fingerprint"), details
    )
    views = meta.get("views", 1)
    return replace(
        found,
        sha256=tuple(digests),
        views=views if isinstance(views, int) else 1,
        regions=read_regions(path, table, source, found.vectors.shape[1]),
    )


def _modified(path: Path) -> float:
    """Return the modification time of the oldest file that holds the vectors."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return min((file.stat().st_mtime for file in files), default=0.0)


def _read_table(path: Path) -> Any:
    if path.is_dir():
        return read_lance(path) if path.suffix == LANCE else PartFolder(path).read_all()
    try:
        return arrow("pyarrow.parquet").read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these.
        raise RankingError(f"{path} is not a Parquet file: {error}") from error


def _column_ids(path: Path, column: Any) -> npt.NDArray[np.int64]:
    ids = column.to_numpy()
    if ids.dtype.kind not in "iu":
        raise RankingError(
            f"{path}: photo_id holds {column.type} with {column.null_count} nulls; it must "
            "hold integers without nulls"
        )
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise RankingError(f"{path}: photo_id {values[counts > 1][0]} appears twice")
    return np.asarray(ids)


def _column_vectors(path: Path, column: Any) -> npt.NDArray[Any]:
    """Return a list column without nulls as an (n, d) array of floats."""
    try:
        numbers = column.flatten().to_numpy(zero_copy_only=False)
        lengths = np.unique(column.value_lengths().to_numpy())
    except AttributeError:
        raise RankingError(f"{path}: vector holds {column.type}; it must hold lists") from None
    if len(lengths) != 1 or not lengths[0]:
        raise RankingError(
            f"{path}: vectors have lengths {lengths.tolist()}; all must have the same length"
        )
    if numbers.dtype.kind not in "fiu":
        raise RankingError(f"{path}: vector holds {column.type}; it must hold lists of floats")
    if numbers.dtype.kind in "iu":
        numbers = numbers.astype(np.float64)
    return np.asarray(numbers.reshape(len(column), int(lengths[0])))


def _checked(
    path: Path,
    photos: PhotoSet,
    rows: npt.NDArray[np.floating[Any]],
    absent: npt.NDArray[np.bool_],
    model_name: str | None,
    fingerprint: str | None,
    details: Mapping[int, tuple[str, str]],
) -> Embeddings:
    if absent.all() and len(photos):
        raise RankingError(f"{path} holds no vector for any of the {len(photos)} photos")
    rows[absent] = 0
    with np.errstate(over="ignore", invalid="ignore"):  # What overflows is refused below.
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    bad = ~absent & (~np.isfinite(norms) | (norms == 0))
    if bad.any():
        first = photos[int(np.flatnonzero(bad)[0])]
        raise RankingError(
            f"{path}: {int(bad.sum())} vectors are zero or not finite; the first is that of photo "
            f"{first.id} ({first.name})"
        )
    norms[absent | (np.abs(norms - 1) < _UNIT_TOLERANCE)] = 1
    failures = []
    for row in np.flatnonzero(absent).tolist():
        photo = photos[row]
        reason, detail = details.get(row, ("no_vector", f"{path} holds no vector for it"))
        failures.append(Failure(row, photo.id, photo.name, reason, detail))
    vectors = (rows / norms[:, None]).astype(np.float32)
    return Embeddings(photos.ids, vectors, tuple(failures), model_name, fingerprint, photos=photos)


def _require_ids(photos: PhotoSet, ids: npt.NDArray[np.int32], where: str) -> None:
    if not np.array_equal(photos.ids, ids):
        raise RankingError(f"{where}: these vectors belong to other photos")
