"""The photo ids of a segment, as hashes.

SQLite finds a photo by an index that has no checksum: one flipped bit there, and the photo seems
not to be here, or another one is taken for it. Hashes in the checksummed segments tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from shoplens.catalog.entry import PhotoId

_HASHES = "ids.npy"
_ORDER = "ids-order.npy"


def hashed(photo_ids: Sequence[PhotoId]) -> npt.NDArray[np.uint64]:
    """Return a hash of each photo id."""
    return np.array(
        [
            xxhash.xxh3_64_intdigest(f"{type(one).__name__} {one}".encode(errors="surrogatepass"))
            for one in photo_ids
        ],
        dtype=np.uint64,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PhotoIds:
    """The ids of n rows."""

    hashes: npt.NDArray[np.uint64]
    """(n,) in order of the rows."""
    order: npt.NDArray[np.int64]
    """(n,) the positions in rising order of the hashes."""

    @classmethod
    def of_hashes(cls, hashes: npt.NDArray[np.uint64]) -> PhotoIds:
        """Return the ids of rows with these hashes."""
        return cls(hashes, np.argsort(hashes, kind="stable"))

    def find(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the positions of rows with one of some hashes."""
        if not len(self.hashes):
            return np.empty(0, dtype=np.int64)
        first = np.searchsorted(self.hashes, hashes, side="left", sorter=self.order)
        last = np.searchsorted(self.hashes, hashes, side="right", sorter=self.order)
        found = first < last
        # An id that was put in again is here twice: its earlier row is gone.
        spans = [
            self.order[start:stop]
            for start, stop in zip(first[found].tolist(), last[found].tolist(), strict=True)
        ]
        return np.concatenate(spans) if spans else np.empty(0, dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write the ids into the folder of a segment."""
        np.save(folder / _HASHES, self.hashes)
        np.save(folder / _ORDER, self.order)

    @classmethod
    def load(cls, folder: Path) -> PhotoIds:
        """Open the ids of a segment, mapped into memory."""
        return cls(
            np.load(folder / _HASHES, mmap_mode="r"), np.load(folder / _ORDER, mmap_mode="r")
        )
