"""A calibration: what `shoplens calibrate` learns, keeps in a file, and says of searches."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shoplens.confidence.estimator import Estimator
from shoplens.confidence.evidence import FEATURES, gather_evidence
from shoplens.confidence.measuring import Measured
from shoplens.confidence.samples import category_of
from shoplens.errors import MissingError, ModelError
from shoplens.files import write_text
from shoplens.hits import Hit, ProductKey
from shoplens.json_text import parse_json
from shoplens.reranking import NONE

_Format = Literal["shoplens-calibration-1"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a calibration says of a search."""

    products: Mapping[ProductKey, float]
    """The probability of each product that was found."""
    confidence: float
    """The largest of them; 0 if nothing was found."""
    no_match: bool
    """Whether that is not sure enough to be a match."""

    def told(self, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """Return hits of the search with the confidences of their products."""
        return tuple(replace(hit, confidence=self.products[hit.product_key]) for hit in hits)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the scores of a model become probabilities.

    A confidence of 0.8 means: of searches whose first product has a confidence of 0.8, four in five
    show the same product as the query. It holds for queries and galleries like those that it was
    fitted on.
    """

    model_name: str | None
    fingerprint: str | None
    """Of the model whose scores it is for; None if unknown."""
    estimator: Estimator
    category: str | None
    """The attribute by which confidences differ; None if they do not."""
    absent: float
    """The share of queries whose product is not in the gallery that was assumed, beyond those of
    the data."""
    no_match_below: float
    """A search whose best product has a lower confidence is a `no_match`."""
    false_accepts: float
    """The rate of false accepts that was asked for."""
    temperature: float
    """Of the product score `logsum`, under which the right products came first most often."""
    measured: Measured
    regions: int = 0
    """How many regions of each gallery photo were compared."""
    query_views: int = 1
    """Of how many views of each query its vector was the mean."""
    chain: tuple[str, ...] = ()
    """The re-ranking steps that gave the scores, as `SearchResult.chain` names them."""
    format: _Format = "shoplens-calibration-1"

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read the file of a calibration.

        Raises:
            MissingError: there is no such file.
            ModelError: it is not the file of a calibration.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(
                f"calibration {path} does not exist: make it with shoplens calibrate"
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"calibration {path} cannot be read: {error}") from error
        found = parse_json(data, Calibration, f"{path} is no calibration", ModelError)
        if len(found.estimator.weights) != len(FEATURES) or not _rise(found.estimator.steps):
            raise ModelError(f"{path} is no calibration that this version of shoplens can use")
        return found

    def save(self, path: str | Path) -> None:
        """Write the calibration to a file, as JSON.

        Raises:
            MissingError: the folder of `path` is not there.
            ShoplensError: the file cannot be written.
        """
        write_text(Path(path), json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")

    def to_json(self) -> dict[str, Any]:
        """Return what `shoplens calibrate --json` writes of it."""
        return {
            "model": {"name": self.model_name, "fingerprint": self.fingerprint},
            "method": "isotonic" if self.estimator.steps else "logistic",
            "category": self.category,
            "categories": sorted(self.estimator.categories),
            "absent": self.absent,
            "regions": self.regions,
            "query_views": self.query_views,
            "chain": list(self.chain),
            "no_match_below": self.no_match_below,
            "temperature": self.temperature,
            "measured": asdict(self.measured),
        }

    def fits(
        self,
        fingerprint: str | None,
        regions: int = 0,
        *,
        query_views: int = 1,
        chain: Sequence[str] = (),
    ) -> bool:
        """Whether it is for scores of this model with so many regions and views, re-ranked by these
        steps, as far as is known."""
        same = not fingerprint or not self.fingerprint or fingerprint == self.fingerprint
        asked = regions, query_views, tuple(chain)
        return same and asked == (self.regions, self.query_views, self.chain)

    def require_fit(
        self,
        fingerprint: str | None,
        name: str | None,
        regions: int = 0,
        *,
        query_views: int = 1,
        chain: Sequence[str] = (),
    ) -> None:
        """Refuse other scores than those it was fitted for.

        Args:
            fingerprint: of the model; None if unknown.
            name: of the model.
            regions: how many regions of each gallery photo are compared.
            query_views: of how many views of each query its vector is the mean.
            chain: the re-ranking steps that give the scores.

        Raises `ModelError`.
        """
        if not self.fits(fingerprint, self.regions, query_views=self.query_views, chain=self.chain):
            raise ModelError(
                f"the calibration is for the model {self.model_name} ({self.fingerprint}), and the "
                f"vectors are of {name} ({fingerprint}). Scores of different models mean different "
                "things. Fit one for this model: shoplens calibrate DATASET --model ... -o FILE"
            )
        if regions != self.regions:
            raise ModelError(
                f"the calibration is for scores with {self.regions} regions of each gallery photo, "
                f"and {regions} are compared here. Fit one for these scores: shoplens calibrate "
                f"DATASET --regions {regions} -o FILE"
            )
        if query_views != self.query_views:
            raise ModelError(
                f"the calibration is for scores of queries from {self.query_views} views, and here "
                f"it is {query_views}. Fit one for these scores: shoplens calibrate DATASET "
                f"--query-views {query_views} -o FILE"
            )
        if tuple(chain) != self.chain:
            raise ModelError(
                f"the calibration is for scores {_reranked(self.chain)}, and these are "
                f"{_reranked(chain)}. Re-ranking changes what scores mean. Fit one for these "
                f"scores: shoplens calibrate DATASET --rerank {'+'.join(chain) or NONE} -o FILE"
            )

    def judge(self, hits: Sequence[Hit]) -> Judgement:
        """Return how likely each product of a search is the query's.

        Args:
            hits: photos that were found, best first: the first 50 (`evidence.DEPTH`) at least, or
                all, if there are fewer. Photos without a product stand for themselves.
        """
        if not hits:
            return Judgement({}, 0.0, no_match=True)
        numbers: dict[ProductKey, int] = {}
        codes = [numbers.setdefault(hit.product_key, len(numbers)) for hit in hits]
        found = gather_evidence(np.array([hit.score for hit in hits], np.float64), codes)
        categories = None
        if self.category is not None:
            first = [hits[place] for place in found.first.tolist()]
            categories = [category_of(hit.attributes, self.category) for hit in first]
        # Products are numbered in the order of their first photos, as those of the evidence.
        likely = self.estimator.probabilities(found.features, categories).tolist()
        best = max(likely)
        return Judgement(
            dict(zip(numbers, likely, strict=True)), best, no_match=best < self.no_match_below
        )


def _reranked(chain: Sequence[str]) -> str:
    return f"re-ranked by {'+'.join(chain)}" if chain else "that are not re-ranked"


def _rise(steps: Sequence[tuple[float, float]]) -> bool:
    return all(a[0] < b[0] and a[1] <= b[1] + 1e-9 for a, b in itertools.pairwise(steps))
