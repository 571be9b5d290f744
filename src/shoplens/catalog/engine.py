"""What an engine does: it keeps entries and finds the nearest ones.

Each engine is a `Catalog` and does what is abstract here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoplens.attributes import Value
from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId
from shoplens.catalog.filters import Filter
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.catalog.neighbours import Neighbours
from shoplens.catalog.stats import CatalogStats
from shoplens.catalog.verification import Verification
from shoplens.errors import CatalogError
from shoplens.progress import Progress, silent
from shoplens.records import Vectors
from shoplens.reranking import Chain


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did."""

    n_added: int = 0
    n_changed: int = 0
    n_unchanged: int = 0
    """Entries that were there already, just as they are."""

    def __add__(self, other: Upserted) -> Upserted:
        return Upserted(
            self.n_added + other.n_added,
            self.n_changed + other.n_changed,
            self.n_unchanged + other.n_unchanged,
        )


class Engine(ABC):
    """What is different in each engine."""

    uri: str
    read_only: bool
    engine: Literal["embedded", "milvus"]

    @property
    @abstractmethod
    def model(self) -> ModelStamp | None:
        """The model of the vectors; None as long as nothing was put in."""

    @abstractmethod
    def close(self) -> None:
        """Give back files and connections. What was acknowledged is safe without it, too."""

    @abstractmethod
    def set_model(self, model: ModelStamp) -> None:
        """State the model of the vectors before the first are put in.

        Raises `ModelError` if the catalogue is of another model.
        """

    @property
    @abstractmethod
    def regions(self) -> int:
        """How many regions of each photo `index` gives vectors of their own; 0 for none."""

    @abstractmethod
    def set_regions(self, n: int) -> None:
        """State how many regions of each photo `index` gives vectors of their own.

        Photos that are here already get them when they are indexed again.

        Raises:
            ShoplensError: there cannot be so many.
            ModelError: the catalogue has no model yet.
            CatalogError: the catalogue cannot be written.
        """

    @property
    @abstractmethod
    def chain(self) -> Chain:
        """The chain that re-ranks every search which names none; without a step if none is kept.

        Raises `CatalogError` if this version of shoplens does not know it.
        """

    @abstractmethod
    def set_chain(self, chain: str | Chain) -> None:
        """Keep a chain of re-ranking methods for every search that names none.

        Args:
            chain: of gallery-side methods that read no photos, such as `alpha-qe:k=4` (see
                docs/reranking.md); `none` for none.

        Raises:
            ChainError: the text is not a chain.
            RankingError: a step uses other queries, or reads photos.
            ModelError: the catalogue has no model yet.
            CatalogError: the catalogue cannot be written.
        """

    @abstractmethod
    def _write(self, entries: Sequence[Entry]) -> Upserted:
        """Put in checked entries, all or none; photo ids are unique. A photo that is here is
        replaced, and its record of failure is removed."""

    @abstractmethod
    def _delete(self, photo_ids: Sequence[PhotoId]) -> int:
        """Remove photos, all at once; return how many were here. Their records of failure go,
        too."""

    @abstractmethod
    def record_failures(self, failed: Iterable[FailedPhoto]) -> None:
        """Keep photos that could not be embedded. An entry of the same id is removed."""

    @abstractmethod
    def replace_vectors(
        self, model: ModelStamp, entries: Iterable[Entry], failed: Iterable[FailedPhoto] = ()
    ) -> None:
        """Replace all entries at once by others, whose vectors are of another model.

        Until this returns, readers go on with what was there. Records of failure stay, except those
        of photos that are among the entries; `failed` adds to them.
        """

    @abstractmethod
    def failures(self) -> Iterator[FailedPhoto]:
        """Yield the photos that could not be embedded, in order of their ids."""

    @abstractmethod
    def _count_failures(self) -> int:
        """Return how many photos could not be embedded."""

    @abstractmethod
    def get_many(self, photo_ids: Sequence[PhotoId]) -> list[Entry | None]:
        """Return the entries of photos, each None where there is none.

        Raises `CatalogError` if a stored entry is damaged.
        """

    @abstractmethod
    def _ids(self, where: Filter | None, product_ids: Sequence[str] | None) -> list[PhotoId]:
        """Return the ids of photos that pass a filter and are of one of the products (None: of
        any), in the order in which they were put in."""

    @abstractmethod
    def _page(self, where: Filter | None, limit: int, after: int) -> list[tuple[int, Entry]]:
        """Return the first entries that pass a filter of those whose places are above `after`.

        Places are positive numbers that grow in the order in which entries were put in. There are
        `limit` entries at least, if there are so many. Raises `CatalogError` if one is damaged.
        """

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were put in, as of one moment.

        Raises `CatalogError` if a stored entry is damaged.
        """

    @abstractmethod
    def _count(self, where: Filter | None) -> int:
        """Return how many photos pass a filter."""

    @abstractmethod
    def stats(self) -> CatalogStats:
        """Return what the catalogue holds."""

    @abstractmethod
    def _facets(self, names: Sequence[str], where: Filter | None) -> dict[str, dict[Value, int]]:
        """Count, for each attribute, the values of the photos that pass a filter."""

    @abstractmethod
    def _nearest(
        self, vectors: Vectors, k: int, where: Filter | None, exact: bool
    ) -> list[Neighbours]:
        """Return the k nearest entries of each query; `exact` forbids approximation."""

    @abstractmethod
    def verify(
        self,
        *,
        repair: bool = False,
        backup: str | Path | None = None,
        progress: Progress = silent,
    ) -> Verification:
        """Check everything that is stored.

        Args:
            repair: mend what can be mended without losing anything.
            backup: with `repair`, a file of `backup`, from which photos that cannot be read any
                more are taken.
            progress: told how far it is.
        """

    @abstractmethod
    def compact(self, *, progress: Progress = silent) -> None:
        """Bring everything into its fastest form: indexes are built, space is given back."""

    @abstractmethod
    def backup(self, path: str | Path, *, progress: Progress = silent) -> None:
        """Write everything to a new file, as of one moment, while the catalogue is in use.

        `shoplens.catalog.restore` makes a catalogue of it.
        """

    def revision(self) -> object | None:
        """Return what is another value after each change of what `stats` says, by any process; None
        where an engine cannot tell."""
        return None

    def _moment(self) -> AbstractContextManager[object]:
        """Let all that is read in the block be of one moment, where the engine can do that."""
        return nullcontext()

    def _entries_of(self, product_ids: Sequence[str], where: Filter | None) -> list[Entry]:
        """Return the entries of products that pass a filter."""
        entries = self.get_many(self._ids(where, product_ids))
        return [entry for entry in entries if entry is not None]

    def _require_writable(self) -> None:
        if self.read_only:
            raise CatalogError(f"{self.uri} is open for reading only")

    def _require_model(self) -> ModelStamp:
        if self.model is None:
            raise CatalogError(f"{self.uri} is empty: put photos in first (shoplens index)")
        return self.model
