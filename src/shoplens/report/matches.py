"""Why queries match what was found: heat maps over pictures of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from shoplens.errors import PhotoError
from shoplens.looking import decoded_photo
from shoplens.models import builtin_names
from shoplens.parallel import parallel_map
from shoplens.patches.explanation import Heat, explain
from shoplens.records import Photo
from shoplens.report.strips import Match, own_photos, results_line
from shoplens.report.study import Study
from shoplens.report.thumbnails import RESULT_SIDE, Thumbnail, as_source

_HOT = (213, 94, 0)
"""Orange, over a grey picture: it is seen on dark and on light photos, whatever their colour."""
_COVER = 0.75
"""How much of the picture the hottest place hides."""


def can_explain(study: Study) -> bool:
    """Whether the ranking is known to be one of the network whose maps are shown."""
    return study.ranking.model_name in builtin_names()


def matches_of(study: Study, rows: Sequence[int]) -> Mapping[int, Sequence[Match]]:
    """Explain for some queries their first result and, where that is wrong, their first right one.

    Photos that cannot be used have no match.
    """
    wanted: list[tuple[int, str, Photo]] = []
    # Of few queries, some are both among the worst and among the best.
    for row in dict.fromkeys(rows):
        for first in results_line(study, row, 1).pictures:
            wanted.append((row, "why the first: orange where they match", first.photo))
            if first.mark != "hit":
                own = own_photos(study, row, 1)
                wanted += [(row, f"and the right one ({p.caption})", p.photo) for p in own]
    found: dict[int, list[Match]] = {row: [] for row in rows}

    def made(one: tuple[int, str, Photo]) -> Match | None:
        row, title, result = one
        return match_of(study.dataset.queries[row], result, title)

    for (row, _, _), match in zip(wanted, parallel_map(made, wanted), strict=True):
        if match is not None:
            found[row].append(match)
    return found


def matches_beside(query: Photo, results: Sequence[tuple[str, Photo]]) -> list[Match]:
    """Explain a query and each of some photos, which have titles.

    Photos that cannot be used have no match.
    """
    made = parallel_map(lambda one: match_of(query, one[1], one[0]), results)
    return [match for match in made if match is not None]


def match_of(query: Photo, result: Photo, title: str) -> Match | None:
    """Explain a query and a photo that was found; None if one of them cannot be used."""
    try:
        found = explain(query, result)
        return Match(title, heated(query, found.query.heat), heated(result, found.result.heat))
    except PhotoError:
        return None


def heated(photo: Photo, heat: Heat) -> Thumbnail:
    """Return a picture of a photo's region, grey, with the heat over it in orange.

    Raises `PhotoError` if the photo cannot be used.
    """
    with decoded_photo(photo, RESULT_SIDE) as decoded:
        image = decoded.image.copy()
        if decoded.box is not None:
            box = decoded.box.scaled(decoded.scale)
            # A box may be less than a pixel.
            corner = max(round(box.x1), int(box.x0) + 1), max(round(box.y1), int(box.y0) + 1)
            image = image.crop((int(box.x0), int(box.y0), *corner))
    image.thumbnail((RESULT_SIDE, RESULT_SIDE), Image.Resampling.BICUBIC)
    places = Image.fromarray(np.asarray(255 * heat, dtype=np.uint8))
    cover = places.resize(image.size, Image.Resampling.BICUBIC).point(lambda v: _COVER * v)
    grey = image.convert("L").convert("RGB")
    grey.paste(_HOT, mask=cover)
    return Thumbnail(as_source(grey))
