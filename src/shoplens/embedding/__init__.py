"""Embed photos in parallel; a photo that fails does not affect the others.

`outcome` holds the result of a photo. `single` embeds one photo on one thread. `batches` collects
prepared photos for a device that needs many at once. `sets` embeds many photos.
"""

from __future__ import annotations

from shoplens.embedding.outcome import STAGES, Embedded, Tally
from shoplens.embedding.sets import embed, embed_each, embed_photo

__all__ = ["STAGES", "Embedded", "Tally", "embed", "embed_each", "embed_photo"]
