"""Scores of parts of the queries: by category, box, blur, number of positives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplens.errors import PhotoError
from shoplens.evaluation.bootstrap import Estimate
from shoplens.looking import decoded_photo, look_at
from shoplens.pixels.sharpness import SIDE, grey_region, sharpness
from shoplens.progress import Progress, silent
from shoplens.records import Photo
from shoplens.report.counts import counted
from shoplens.report.study import Study

_N_CATEGORIES = 20
_POSITIVES = (1, 2, 3, 5, 9, 17)
"""Least number of positives of each class."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Some of the queries and their score."""

    label: str
    n_queries: int
    n_products: int
    score: Estimate
    """mAP@1000."""


@dataclass(frozen=True, slots=True)
class Strata:
    """The queries split by one property."""

    name: str
    meaning: str
    """How the property is measured, in a sentence."""
    rows: tuple[Stratum, ...]
    n_unknown: int = 0
    """Queries that count and whose property is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryTraits:
    """What the queries' photos look like where the product is; NaN where they cannot be read."""

    side: npt.NDArray[np.float64]
    """(q,) root of the box's area, in pixels."""
    share: npt.NDArray[np.float64]
    """(q,) the box's part of the photo's area, 0..1."""
    sharpness: npt.NDArray[np.float64]
    """(q,) variance of the Laplacian of the crop."""


def measure_queries(queries: Sequence[Photo], progress: Progress = silent) -> QueryTraits:
    """Measure the box and the sharpness (`shoplens.pixels.sharpness`) of every query's photo."""
    found = np.full((len(queries), 3), np.nan)
    looked = look_at(queries, _measured, progress=progress, stage="look at queries")
    for row, (_, values) in enumerate(looked):
        if not isinstance(values, PhotoError):
            found[row] = values
    return QueryTraits(*found.T)


def _measured(photo: Photo) -> tuple[float, float, float]:
    with decoded_photo(photo, SIDE) as decoded:
        width, height = decoded.size
        box = decoded.box
        area = float(width * height) if box is None else box.width * box.height
        return area**0.5, area / (width * height), sharpness(grey_region(decoded))


def split(study: Study, traits: QueryTraits | None) -> list[Strata]:
    """Return the scores by every property that is known.

    Args:
        study: the run.
        traits: as `measure_queries` returns them; None leaves out what they tell.
    """
    found = [_by_category(study)] if study.categories else []
    if traits is not None:
        found += [
            _by_quarters(
                study,
                traits.side,
                "box size",
                "square root of the box's area in pixels; each part is a quarter of the queries",
                " px",
            ),
            _by_quarters(
                study,
                traits.share * 100,
                "box share",
                "share of the photo's area inside the box; each part is a quarter of the queries",
                " %",
            ),
            _by_quarters(
                study,
                traits.sharpness,
                "sharpness",
                "variance of the Laplacian of the crop, low if blurred; each part is a quarter of "
                "the queries",
                "",
            ),
        ]
    return [*(strata for strata in found if strata.rows), _by_positives(study)]


def _by_category(study: Study) -> Strata:
    rows = defaultdict(list)
    unknown = 0
    for row in np.flatnonzero(study.scored).tolist():
        category = study.categories.get(study.dataset.queries[row].product_id or "")
        if category is None:
            unknown += 1
        else:
            rows[category].append(row)
    # The largest by themselves, what is left together.
    names = sorted(rows, key=lambda name: (-len(rows[name]), name))
    kept, rest = names[:_N_CATEGORIES], names[_N_CATEGORIES:]
    parts = [(name, np.array(rows[name])) for name in kept]
    if rest:
        together = np.array(sorted(row for name in rest for row in rows[name]))
        parts.append((counted(len(rest), "other"), together))
    return Strata(
        "category",
        "the product's category, from the tables; largest first",
        tuple(_stratum(study, label, of) for label, of in parts),
        unknown,
    )


def _by_positives(study: Study) -> Strata:
    n_positive = study.judged.n_positive
    rows = []
    for low, above in zip(_POSITIVES, (*_POSITIVES[1:], None), strict=True):
        inside = n_positive >= low if above is None else (n_positive >= low) & (n_positive < above)
        if inside.any():
            last = None if above is None else above - 1
            label = (
                f"{low} or more" if last is None else f"{low}" if last == low else f"{low}-{last}"
            )
            rows.append(_stratum(study, label, np.flatnonzero(inside)))
    return Strata("positives", "gallery photos of the query's product", tuple(rows))


def _by_quarters(
    study: Study, values: npt.NDArray[np.float64], name: str, meaning: str, unit: str
) -> Strata:
    known = study.scored & ~np.isnan(values)
    unknown = int(study.scored.sum() - known.sum())
    if not known.any():
        return Strata(name, meaning, (), unknown)
    edges = np.quantile(values[known], [0.25, 0.5, 0.75])
    # Equal values stay together, so that parts may be fewer than four.
    quarter = np.searchsorted(edges, values, side="right")
    rows = []
    for number in range(4):
        inside = np.flatnonzero(known & (quarter == number))
        if len(inside):
            low, high = _short(values[inside].min()), _short(values[inside].max())
            label = f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
            rows.append(_stratum(study, label, inside))
    return Strata(name, meaning, tuple(rows), unknown)


def _stratum(study: Study, label: str, rows: npt.NDArray[np.intp]) -> Stratum:
    n_products = len(np.unique(study.judged.groups[rows]))
    return Stratum(label, len(rows), n_products, study.estimate(rows))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
