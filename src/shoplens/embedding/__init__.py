"""From photos to vectors, in parallel, one failure at a time.

`outcome` says what became of a photo, `single` takes one the whole way on one thread, `batches`
gathers prepared photos for a device that wants many at once, `run` goes through them all.
"""

from __future__ import annotations

from shoplens.embedding.outcome import STAGES, Embedded, Tally
from shoplens.embedding.sets import embed, embed_each, embed_photo

__all__ = ["STAGES", "Embedded", "Tally", "embed", "embed_each", "embed_photo"]
