"""A head in closed form without labels: from sellers' photos, and shoppers' photos made of them.

The map has two parts, side by side:

- what varies between a photo and the shoppers' photos made of it is scaled down, as in
  `shoplens.adaptation.closed_form`; then the directions in which the shop's photos vary most are
  scaled down a little (cf. Jegou and Chum, ECCV 2012);
- the model's own vectors, as a linear map of the features (ridge regression), for what it learned
  from other products.

Of both together, the principal components of the sellers' photos are kept. The strengths are fixed:
made photos are easier than real ones, and would choose too much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shoplens.adaptation.closed_form import Labels, principal_components, row_space
from shoplens.models.linear_head import LinearHead
from shoplens.records import Vectors

SHRINKAGE = 16.0
"""How many times the mean variance between a photo and what was made of it counts half."""
WHITENING = 0.25
"""Power by which variances of the shop's photos, plus their mean, are divided."""
OWN = 0.5
"""Weight of the model's own vectors beside the first part."""
RIDGE = 0.01
"""Times the mean variance of the features."""


@dataclass(frozen=True, slots=True, eq=False)
class ShopPhotos:
    """A shop's photos as a model sees them, and shoppers' photos made of some of them."""

    gallery: Vectors
    """(n, f) float32, features of unit length of sellers' photos."""
    gallery_vectors: Vectors
    """(n, d) the model's own vectors."""
    made: Vectors
    """(m, f) features of the photos made of them."""
    made_vectors: Vectors
    """(m, d)"""
    sources: Labels
    """(m,) which row of `gallery` each was made of."""

    def without(self, rows: Labels) -> ShopPhotos:
        """Leave out what was made of some of the gallery's rows; the rows themselves stay."""
        kept = ~np.isin(self.sources, rows)
        return ShopPhotos(
            self.gallery,
            self.gallery_vectors,
            self.made[kept],
            self.made_vectors[kept],
            self.sources[kept],
        )


def fit_shop(photos: ShopPhotos, dimension: int, users: Vectors | None = None) -> LinearHead:
    """Fit a head to a shop's photos.

    Args:
        photos: the photos.
        dimension: length of the vectors, at most.
        users: (u, f) features of real shoppers' photos, whose mean becomes the shoppers' centre;
            None takes those that were made.
    """
    space = row_space(photos.gallery, photos.made, *([] if users is None else [users]))
    n_features = space.shape[1]
    photos = replace(photos, gallery=photos.gallery @ space.T, made=photos.made @ space.T)
    users = None if users is None else users @ space.T
    seller = photos.gallery.mean(axis=0)
    gallery, made = photos.gallery - seller, photos.made - photos.made.mean(axis=0)
    weight = np.concatenate(
        [
            _of_length_one(_shop_part(gallery, made, photos.sources, n_features), gallery),
            OWN**0.5 * _of_length_one(_own_part(photos, gallery, made, n_features), gallery),
        ]
    )
    weight = principal_components(weight @ _covariance(gallery) @ weight.T)[:dimension] @ weight
    weight = weight.astype(np.float32)
    shoppers = photos.made if users is None else users
    bias = -weight @ (seller + shoppers.mean(axis=0)) / 2
    head = LinearHead(weight, bias)
    return LinearHead(
        weight @ space,
        bias,
        {
            "user": head.uncentred(shoppers).mean(axis=0),
            "seller": head.uncentred(photos.gallery).mean(axis=0),
        },
    )


def _shop_part(gallery: Vectors, made: Vectors, sources: Labels, n_features: int) -> Vectors:
    """Return (f, f): the part that is fitted to the shop.

    Args:
        gallery: (n, f) in any basis of the features that do vary.
        made: (m, f) likewise.
        sources: as in `ShopPhotos`.
        n_features: how many features there are, over which variances are averaged.
    """
    places, counts = np.unique(sources, return_inverse=True, return_counts=True)[1:]
    rows = np.unique(sources)
    sums = gallery[rows].copy()
    np.add.at(sums, places, made)
    means = sums / (counts + 1)[:, None]
    apart = np.concatenate([gallery[rows] - means, made - means[places]])
    variances, basis = np.linalg.eigh(_covariance(apart))
    variances = _relative(variances, n_features)
    first = (basis / (variances / SHRINKAGE + 1)).T
    variances, basis = np.linalg.eigh(first @ _covariance(gallery) @ first.T)
    variances = _relative(variances, n_features)
    part: Vectors = (basis * (variances + 1) ** -WHITENING).T @ first
    return part


def _own_part(photos: ShopPhotos, gallery: Vectors, made: Vectors, n_features: int) -> Vectors:
    """Return (d, f): from features to the model's own vectors, both centred by domain."""
    features = np.concatenate([gallery, made])
    vectors = np.concatenate(
        [
            photos.gallery_vectors - photos.gallery_vectors.mean(axis=0),
            photos.made_vectors - photos.made_vectors.mean(axis=0),
        ]
    )
    covariance = _covariance(features)
    ridge = RIDGE * (np.trace(covariance) / n_features)
    covariance += ridge * np.eye(len(covariance), dtype=np.float32)
    part: Vectors = np.linalg.solve(covariance, features.T @ vectors / len(features)).T
    return part


def _relative(variances: Vectors, n_features: int) -> Vectors:
    """Divide variances by their mean over all features."""
    above = np.maximum(variances, 0)
    mean = np.float32(above.sum() / n_features)
    relative: Vectors = above / (mean or np.float32(1))
    return relative


def _of_length_one(weight: Vectors, rows: Vectors) -> Vectors:
    """Scale a map so that what it gives has a mean square length of one."""
    length = float(np.sqrt(np.square(rows @ weight.T).sum(axis=1).mean()))
    scaled: Vectors = weight / (length or 1.0)
    return scaled


def _covariance(rows: Vectors) -> Vectors:
    covariance: Vectors = rows.T @ rows / max(len(rows), 1)
    return covariance
