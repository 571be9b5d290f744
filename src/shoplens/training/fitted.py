"""What is fitted in closed form, on training photos as they are: the head and the centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoplens.parallel import parallel_map
from shoplens.progress import Progress, silent
from shoplens.records import Domain
from shoplens.training.network import Network
from shoplens.training.photo_views import EarlyStages
from shoplens.training.photos import Product
from shoplens.training.validation import PlainViews, spread_out

_BATCH = 64
_LEAST_SPREAD = 1e-3
"""Of the first component's: what varies less is rounding."""

Group = tuple[str, Domain]
"""A source and a domain."""


@torch.no_grad()
def pooled_features(
    network: Network,
    products: Sequence[Product],
    plain: PlainViews,
    early: EarlyStages,
    *,
    most: int,
    progress: Progress = silent,
) -> dict[Group, Tensor]:
    """Return what the network pools from photos as they are, apart by source and domain.

    Args:
        network: left in evaluation mode.
        products: whose photos are looked at.
        plain: makes their pixels.
        early: the network's frozen stages.
        most: photos of a group to take at most, evenly spaced.
        progress: told how many photos are done.

    Returns:
        (n, channels) float32, rows of unit length, for each group that has photos.
    """
    network.eval()
    groups: dict[Group, Tensor] = {}
    for source in sorted({product.source for product in products}):
        of_source = [product for product in products if product.source == source]
        domains: tuple[Domain, ...] = ("user", "seller")
        for domain in domains:
            photos = spread_out([p for of in of_source for p in of.taken_by(domain)], most)
            parts = []
            for first in range(0, len(photos), _BATCH):
                batch = photos[first : first + _BATCH]
                rows = parallel_map(lambda photo: early(plain(photo)[None])[0], batch)
                features = torch.from_numpy(np.stack(list(rows)).astype(np.float32))
                parts.append(network.pooled(features.to(network.mean.device)))
                progress(f"fit {source} {domain}", first + len(batch), len(photos))
            if parts:
                groups[source, domain] = torch.cat(parts)
    return groups


@torch.no_grad()
def fit_head(network: Network, groups: Mapping[Group, Tensor], whitening: float) -> None:
    """Make the head the principal components of pooled features, centred and partly whitened.

    Training then starts from the geometry of the start weights instead of a random view of it.
    Each group is centred on itself, so that no component is spent on telling snapshots from studio
    photos or one source from another, and each weighs the same. Partial whitening keeps what varies
    most among the training photos, their few kinds of product, from ruling the similarities of all
    others (cf. Jegou and Chum, ECCV 2012).

    Args:
        network: whose head is set.
        groups: (n, channels) pooled features by source and domain. Few photos have few components:
            then the head's remaining rows stay as they are.
        whitening: power by which components are divided by their spread, 0 to 1.
    """
    units = list(groups.values())
    centre = torch.stack([unit.mean(dim=0) for unit in units]).mean(dim=0)
    centred = [functional.normalize(unit - unit.mean(dim=0)) / len(unit) ** 0.5 for unit in units]
    _, spread, components = torch.linalg.svd(torch.cat(centred), full_matrices=False)
    # Centring leaves directions in which nothing varies: dividing by that would blow up noise.
    n_used = min(network.head.out_features, int((spread > _LEAST_SPREAD * spread[0]).sum()))
    used = components[:n_used]
    # Signs of singular vectors are arbitrary: fix them so that runs agree.
    signs = used.gather(1, used.abs().argmax(dim=1, keepdim=True)).sign()
    scales = (spread[:n_used] / spread[0]) ** -whitening
    used = used * signs * scales[:, None]
    network.head.weight[:n_used] = used
    network.head.bias[:n_used] = -(used @ centre)


@torch.no_grad()
def fit_centres(
    network: Network, groups: Mapping[Group, Tensor]
) -> dict[Domain, tuple[float, ...]]:
    """Return the mean unit vector of each domain, sources weighing equally within a domain."""
    means: dict[Domain, list[Tensor]] = {}
    for (_, domain), features in groups.items():
        vectors = functional.normalize(network.head(features))
        means.setdefault(domain, []).append(vectors.mean(dim=0))
    # Seven digits are all a float32 has; more would only make the file longer.
    return {
        domain: tuple(float(f"{v:.7g}") for v in torch.stack(of_domain).mean(dim=0).tolist())
        for domain, of_domain in means.items()
    }
