"""A head in closed form: a linear map of a frozen network's features, fitted to a shop's photos.

What varies between photos of one product is scaled down (cf. within-class covariance
normalisation: Hatch, Kajarekar and Stolcke, Interspeech 2006). With C the covariance within
products, of mean variance m, features x become::

    (C / (2 s m) + I)^-2 x

The shrinkage s says from which variance on a direction counts less. A small covariance is a matter
of chance where there are few photos, so s is large there. Of what comes out, the principal
components are kept. Shoppers' and sellers' photos are centred apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from shoplens.models.linear_head import LinearHead
from shoplens.records import Domain, Vectors

_POWER = 2
"""With a higher power, what varies little is scaled down less, and what varies much more."""
_SELLERS = 0.8
"""Weight of sellers' photos in what decides which components are kept, beside shoppers': similarity
is lost only with what sellers' photos differ in. Shoppers' photos stand in for sellers' to come."""
_LEAST_VARIANCE = 1e-6
"""Of the first component's: what varies less is rounding."""

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a head is fitted."""

    shrinkage: float
    """How many times the mean variance within products a direction must vary to count less than
    half."""
    dimension: int | None = None
    """Length of the vectors, at most; None keeps as many numbers as there are features."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Photos as the network sees them."""

    features: Vectors
    """(n, f) float32, rows of unit length."""
    is_user: npt.NDArray[np.bool_]
    """(n,) whether a shopper took the photo."""
    products: Labels
    """(n,) a number for each product; -1 where it is not known."""

    def of(self, domain: Domain) -> Vectors:
        """Return the features of a domain's photos."""
        rows: Vectors = self.features[self.is_user == (domain == "user")]
        return rows


class ClosedForm:
    """What heads of different settings share when they are fitted to the same photos.

    There must be photos of both domains.
    """

    def __init__(self, examples: Examples) -> None:
        self._space = row_space(examples.features)
        examples = replace(examples, features=examples.features @ self._space.T)
        self._examples = examples
        means = {domain: examples.of(domain).mean(axis=0) for domain in get_args(Domain)}
        self._centre = (means["user"] + means["seller"]) / 2
        self._rows = examples.features - np.where(
            examples.is_user[:, None], means["user"], means["seller"]
        )
        users, sellers = (_covariance(self._rows[examples.is_user == flag]) for flag in (1, 0))
        self._total = (1 - _SELLERS) * users + _SELLERS * sellers
        variances, self._basis = np.linalg.eigh(_covariance(self._apart()))
        self._within = np.maximum(variances, 0)

    def head(self, settings: Settings) -> LinearHead:
        """Fit a head. Without a dimension this takes next to no time."""
        # The mean over all features. Without two photos of a product nothing varies.
        mean = self._within.sum() / self._space.shape[1] or 1.0
        scales = (self._within / (_POWER * settings.shrinkage * mean) + 1) ** _POWER
        weight = (self._basis / scales).T
        if settings.dimension is not None:
            weight = self._components(weight)[: settings.dimension]
        weight = weight.astype(np.float32)
        bias = -weight @ self._centre
        head = LinearHead(weight, bias)
        centres = {
            domain: head.uncentred(self._examples.of(domain)).mean(axis=0)
            for domain in get_args(Domain)
        }
        return LinearHead(weight @ self._space, bias, centres)

    def _components(self, weight: Vectors) -> Vectors:
        """Turn what a map gives to its principal components, descending; what never varies goes."""
        turned: Vectors = principal_components(weight @ self._total @ weight.T) @ weight
        return turned

    def _apart(self) -> Vectors:
        """Return how photos differ from the mean of their product's."""
        known = self._examples.products >= 0
        rows = self._rows[known]
        _, places, counts = np.unique(
            self._examples.products[known], return_inverse=True, return_counts=True
        )
        sums = np.zeros((len(counts), rows.shape[1]), dtype=np.float32)
        np.add.at(sums, places, rows)
        apart: Vectors = (rows - (sums / counts[:, None])[places])[counts[places] > 1]
        return apart


def row_space(*features: Vectors) -> Vectors:
    """Return an orthonormal basis, as rows, of all that features of photos can be combined to.

    With fewer photos than features, a head is fitted to fewer numbers in this basis, in less time
    and to the same result: it keeps none of what never varies.
    """
    rows = np.concatenate(features)
    n_rows, n_features = rows.shape
    if n_rows >= n_features:
        return np.eye(n_features, dtype=np.float32)
    _, lengths, basis = np.linalg.svd(rows, full_matrices=False)
    lasting: Vectors = basis[lengths > _LEAST_VARIANCE**0.5 * lengths[0]]
    return lasting


def principal_components(covariance: Vectors) -> Vectors:
    """Return the directions in which something varies, as rows of length one, most first."""
    variances, components = np.linalg.eigh(covariance)
    lasting = int((variances > _LEAST_VARIANCE * variances[-1]).sum())
    # Signs of eigenvectors are arbitrary: fix them so that runs agree.
    largest = np.abs(components).argmax(axis=0)
    components *= np.sign(np.take_along_axis(components, largest[None], axis=0))
    rows: Vectors = components[:, ::-1].T[:lasting]
    return rows


def _covariance(rows: Vectors) -> Vectors:
    covariance: Vectors = rows.T @ rows / max(len(rows), 1)
    return covariance
