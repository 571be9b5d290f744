"""What an adaptation came to: before and after, on photos that it was not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.adaptation.closed_form import Labels, Settings
from shoplens.evaluation.bootstrap import Estimate, estimate
from shoplens.evaluation.comparison import Difference, paired_difference
from shoplens.evaluation.formulas import PerQuery
from shoplens.records import Domain, Failure

METRIC = "map@1000"


@dataclass(frozen=True, slots=True)
class Gain:
    """mAP@1000 of two models on the same queries."""

    before: Estimate
    after: Estimate
    difference: Difference
    """After minus before, paired by query, with products as clusters."""

    @classmethod
    def of(cls, before: PerQuery, after: PerQuery, products: Labels) -> Gain:
        """Compare average precisions.

        Args:
            before: (q,) of one model. Queries with NaN here or below are left out.
            after: (q,) of the other.
            products: (q,) a number for each product.
        """
        counted = ~np.isnan(before + after)
        before, after = before[counted], after[counted]
        groups = np.unique(products[counted], return_inverse=True)[1]
        return cls(
            estimate(before, groups),
            estimate(after, groups),
            paired_difference(after, before, groups),
        )

    def exceeds(self, least: float) -> bool:
        """Whether the gain is credible: its 95 % interval is above `least`."""
        return self.difference.low > least

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        before, after, gain = self.before, self.after, self.difference
        return {
            "before": {"value": before.value, "low": before.low, "high": before.high},
            "after": {"value": after.value, "low": after.low, "high": after.high},
            "gain": {
                "value": gain.value,
                "low": gain.low,
                "high": gain.high,
                "p_value": gain.p_value,
            },
        }


@dataclass(frozen=True, slots=True)
class AdaptationReport:
    """What `finetune` or `adapt` did."""

    model: str
    """The model that was adapted, by its own name."""
    fingerprint: str
    output: Path | None
    """The new model's folder; None where nothing was written, because it does not win."""
    new_fingerprint: str | None
    """Of the new model; None where there is none."""
    settings: Settings
    """How the head is fitted."""
    trim: tuple[Domain, ...]
    """Domains whose photos the model is shown without their plain borders (see `Recipe.trim`)."""
    gain: Gain
    """On queries whose products neither the head nor the choice of its settings knew."""
    network_gain: Gain | None
    """What tuning the network gains over the head alone, on the same queries; None where it was
    not tried. It is kept if its 95 % interval is above zero, and is part of `gain` then."""
    least_gain: float
    """The model is kept if the 95 % interval of the gain is above this."""
    n_products: int
    """Products that were searched for."""
    n_queries: int
    n_gallery: int
    n_cached: int
    """Vectors of the new model that were put into the cache: a catalogue of these photos needs no
    photo decoded to change to the model."""
    failures: tuple[Failure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds: `embed`, `fit`, and `tune` where the network was."""

    @property
    def kept(self) -> bool:
        """Whether a model was written."""
        return self.output is not None

    def to_json(self) -> dict[str, Any]:
        """Return the report as the commands' `--json` writes it."""
        return {
            "kept": self.kept,
            "output": None if self.output is None else str(self.output),
            "model": {"name": self.model, "fingerprint": self.fingerprint},
            "new_fingerprint": self.new_fingerprint,
            "settings": {
                "shrinkage": self.settings.shrinkage,
                "dimension": self.settings.dimension,
                "trim": list(self.trim),
            },
            METRIC: self.gain.to_json(),
            "network": None
            if self.network_gain is None
            else {"kept": self.network_gain.exceeds(0), METRIC: self.network_gain.to_json()},
            "least_gain": self.least_gain,
            "n_products": self.n_products,
            "n_queries": self.n_queries,
            "n_gallery": self.n_gallery,
            "n_cached": self.n_cached,
            "n_failed": len(self.failures),
            "failures": [
                {"id": f.id, "path": f.name, "reason": f.reason, "detail": f.detail}
                for f in self.failures
            ],
            "seconds": dict(self.seconds),
        }
