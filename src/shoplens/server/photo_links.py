"""Where the service shows a photo of its catalogue."""

from __future__ import annotations

from urllib.parse import quote

from shoplens.catalog.entry import PhotoId


def photo_links(photo_id: PhotoId) -> dict[str, str]:
    """Return where a photo and its thumbnail are."""
    name = quote(str(photo_id), safe="")
    return {"photo_url": f"/v1/photos/{name}", "thumbnail_url": f"/v1/thumbnails/{name}"}
