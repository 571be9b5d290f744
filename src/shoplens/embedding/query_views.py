"""Several views of a query: the mean of their vectors depends less on how the box was drawn.

A box in a shopper's photo is a little too tight or too wide, and the product may face the other way
than in the seller's photo. Mirror images and a margin around the box even that out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.models.encoder import Encoder
from shoplens.models.unit_length import unit
from shoplens.models.views import Prepared, Target
from shoplens.pixels.crops import with_margin
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain, Vectors

MARGIN = 0.1
"""Share of a box's width and height that is added on each side."""
MOST = 4
"""Views of a photo at most."""


class ViewEncoder:
    """An encoder whose vector of a photo is the mean of the vectors of several views of it.

    The views are the photo as it is given, its mirror image, the photo with a margin around the
    box, and the mirror image of that. A photo without a box has no margin: these views show it
    whole, too. Vectors can be compared with those of the encoder that it is made of.

    Args:
        encoder: embeds each view.
        n: how many views, the first of those above.

    Raises `ShoplensError` when there cannot be so many.
    """

    def __init__(self, encoder: Encoder, n: int) -> None:
        require_views(n)
        self._encoder = encoder
        self._n = n
        self.name = encoder.name
        self.dimension = encoder.dimension
        self.nested: tuple[int, ...] = ()
        kind = f"{n} views with a margin of {MARGIN}"
        text = f"{encoder.fingerprint} from {kind}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.recipes = encoder.recipes
        self.preparation = f"{kind}: {encoder.preparation}"
        self.concurrency = encoder.concurrency

    @property
    def batch_size(self) -> int:
        """So many photos that their views are one batch."""
        return max(1, self._encoder.batch_size // self._n)

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return what the given view needs; those with a margin need less."""
        return self._encoder.decode_target(domain)

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Make what the encoder wants to be shown of each view, one view after the other."""
        views = list(self._views(photo, domain))[: self._n]
        return tuple(np.concatenate(each) for each in zip(*views, strict=True))

    def embed(self, prepared: Sequence[Prepared], domains: Sequence[Domain]) -> Vectors:
        """Embed prepared photos (see `Encoder.embed`): of each, the mean over its views."""
        if not prepared:
            return np.empty((0, self.dimension), dtype=np.float32)
        views = [
            view
            for photo in prepared
            for view in zip(*(np.split(each, self._n) for each in photo), strict=True)
        ]
        vectors = self._encoder.embed(views, [one for one in domains for _ in range(self._n)])
        return unit(vectors.reshape(len(prepared), self._n, -1).mean(axis=1))

    def _views(self, photo: Decoded, domain: Domain) -> Iterator[Prepared]:
        given = self._encoder.prepare(photo, domain)
        yield given
        yield _mirrored(given)
        if self._n > 2 and photo.box is not None:
            box = with_margin(photo.box, MARGIN, photo.size)
            given = self._encoder.prepare(replace(photo, box=box), domain)
        yield given
        yield _mirrored(given)


def require_views(n: int) -> None:
    """Raise `ShoplensError` for a number of views that no photo can have."""
    if not 1 <= n <= MOST:
        raise ShoplensError(f"a photo can be embedded from 1 to {MOST} views, not {n}")


def _mirrored(prepared: Prepared) -> Prepared:
    return tuple(views[:, :, ::-1] for views in prepared)
