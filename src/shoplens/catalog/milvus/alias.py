"""The name of a catalogue on a server: an alias, which leads to one collection after another.

What a collection says of itself cannot change, nor can the dimension of its vectors. Where they
have to, a new collection takes the place of the old one, from one moment to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shoplens.catalog.milvus.collection import Collection
from shoplens.catalog.milvus.connection import Connection
from shoplens.catalog.milvus.schema import About
from shoplens.errors import CatalogError

KNOWN_SECONDS = 0.5
"""How long a collection is taken to say of itself what it said."""


class Alias:
    """The name of a catalogue. May be used from several threads; one at a time may change it."""

    def __init__(self, connection: Connection, name: str, index: str) -> None:
        """Name an alias; `index` is that of the first collection, if `make` has to make it."""
        self.collection = Collection(connection, name)
        """The one that the name leads to, whichever that is."""
        self._connection = connection
        self._about = About(None, index)
        self._known_until = 0.0

    def about(self) -> About:
        """Return what the collection says of itself."""
        if time.monotonic() > self._known_until:
            # Another process may have changed it.
            self._look()
        return self._about

    def make(self) -> None:
        """Make the first collection."""
        try:
            self._lead(None, self._new_collection(self._about))
        except CatalogError:
            # Another process may have been quicker.
            if not self.collection.exists():
                raise

    def empty(self, about: About) -> None:
        """Let the name lead to a new collection that holds nothing.

        Raises `CatalogError` if another process has changed it meanwhile.
        """
        old = self.collection.real_name()
        self._lead(old, self._new_collection(about))

    def replace(self, about: About, fill: Callable[[Collection], None]) -> None:
        """Let the name lead to a new collection, when `fill` has put in what it holds.

        Raises `CatalogError` as `empty`.
        """
        old, had_place = self.collection.real_name(), self.collection.has_regions
        new = self._new_collection(about)
        try:
            fill(new)
        except BaseException:
            new.drop()
            raise
        self._lead(old, new)
        self.collection.mark()
        if new.has_regions and not had_place:
            # Until they look again, other processes read photos without their regions, and would
            # take those that have some for damaged.
            time.sleep(KNOWN_SECONDS)

    def _look(self) -> None:
        """Read what the collection says of itself."""
        self._about = About.parse(self.collection.description(), self.collection.uri)
        self.collection.has_regions = self._about.regions is not None
        if self._about.model is not None:
            self.collection.dimension = self._about.model.dimension
        self._known_until = time.monotonic() + KNOWN_SECONDS

    def _new_collection(self, about: About) -> Collection:
        made = Collection(self._connection, f"{self.collection.name}_{time.time_ns():x}")
        try:
            made.create(about)
        except BaseException:
            if made.exists():
                made.drop()
            raise
        return made

    def _lead(self, old: str | None, new: Collection) -> None:
        """Let the name lead to another collection, and remove the old one.

        Raises `CatalogError` if another process has done so meanwhile.
        """
        name = self.collection.name
        try:
            if old is None:
                new.create_alias(name)
            elif self.collection.real_name() == old:
                new.take_alias(name)
            else:
                raise CatalogError(
                    f"{self.collection.uri} was changed by another process: try again"
                )
        except BaseException:
            new.drop()
            raise
        self._look()
        if old is not None:
            Collection(self._connection, old).drop()
