"""What is minimised: weighted terms over the vectors of a batch.

Each term is the mean over whole vectors and over their leading parts, so that these can be used
alone (Matryoshka; Kusupati et al., NeurIPS 2022); only `keep` looks at whole vectors alone. Any two
views of one product are a positive pair, whichever domain they are of.

Supervised contrast, triplets, batch-hard mining and calibration come from pytorch-metric-learning.
Three things it has too are written here, because its own do not fit: its SmoothAP wants equally
many views of every product, in order, and counts a query as its own first hit; its sub-centre
ArcFace knows one margin for all classes; its cross-batch memory loses its place in a checkpoint and
compares a batch with copies of itself that carry no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss, SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn
from torch.nn import functional

from shoplens.training.config import Loss

ARCFACE_SCALE = 30.0
NARROWEST = 0.1
"""Of the margin for the rarest product: what is left of it for a product with endless photos."""
CALIBRATION = (0.9, 0.6)
"""Similarity that positives shall reach and negatives stay below, as in the ROADMAP paper."""


class ProductLoss(nn.Module):
    """All terms of a run; made by `build_losses`.

    Memories are part of its state: a run that goes on from a checkpoint goes on exactly.
    """

    def __init__(self, terms: Sequence[_Weighted]) -> None:
        super().__init__()
        self._kinds = [term.kind for term in terms]
        self.terms = nn.ModuleList(terms)

    def forward(
        self,
        vectors: Tensor,
        labels: Tensor,
        start: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return each term times its weight, by kind; what is minimised is their sum.

        Args:
            vectors: (n, dimension) rows of unit length.
            labels: (n,) int64 product of each row.
            start: (n, s) what the start weights make of the same views, rows of unit length.
            targets: (n, dimension) what the teachers make of the clean photos, rows of unit length.

        Raises:
            ValueError: there is a `keep` term and no `start`, or a `distil` term and no `targets`.
        """
        if vectors.shape[0] != len(labels):
            raise ValueError(f"{vectors.shape[0]} vectors and {len(labels)} labels")
        totals: dict[str, Tensor] = {}
        # Differences of similarities are too fine for half precision.
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            for kind, term in zip(self._kinds, self.terms, strict=True):
                value: Tensor = term(vectors, labels, start, targets)
                totals[kind] = totals[kind] + value if kind in totals else value
        return totals


def build_losses(
    losses: Sequence[Loss],
    *,
    dimension: int,
    labels_per_product: Sequence[int],
    nested: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> ProductLoss:
    """Make the terms that a configuration names.

    Args:
        losses: at least one; terms of one kind are added up.
        dimension: of the vectors.
        labels_per_product: photos of each product; labels count its entries from 0.
        nested: widths of the leading parts that are trained as well.
        device: where parameters and memories lie.
    """
    terms = []
    for loss in losses:
        widths = (dimension,) if loss.kind == "keep" else (dimension, *nested)
        term = _term(loss, dimension, labels_per_product)
        terms.append(_Weighted(loss, term, widths))
    return ProductLoss(terms).to(device)


def _term(loss: Loss, dimension: int, labels_per_product: Sequence[int]) -> _Term:
    if loss.kind == "supcon":
        return _SupCon(loss.temperature)
    if loss.kind == "triplet":
        return _Triplet(loss.margin)
    if loss.kind == "arcface":
        return _ArcFace(labels_per_product, dimension, loss.margin, loss.sub_centres)
    if loss.kind == "smooth_ap":
        return _SmoothAP(loss.temperature)
    if loss.kind == "roadmap":
        return _Roadmap(loss.temperature)
    if loss.kind == "distil":
        return _Distil(loss.temperature)
    return _Keep(loss.temperature)


class _Weighted(nn.Module):
    """A term with its weight, over several widths, with a memory."""

    memory: _Memory

    def __init__(self, loss: Loss, term: _Term, widths: Sequence[int]) -> None:
        super().__init__()
        self.kind: str = loss.kind
        self._weight = loss.weight
        self._widths = tuple(widths)
        self.term = term
        self.memory = _Memory(loss.memory, max(widths))

    def forward(
        self, vectors: Tensor, labels: Tensor, start: Tensor | None, targets: Tensor | None
    ) -> Tensor:
        batch = _Batch(vectors, labels, *self.memory.held(), start, targets)
        parts = [self.term(batch.leading(width)) for width in self._widths]
        if self.training:
            self.memory.add(vectors, labels)
        return self._weight * torch.stack(parts).mean()


class _Batch(NamedTuple):
    """What a term sees."""

    vectors: Tensor
    """(n, d), rows of unit length."""
    labels: Tensor
    """(n,)"""
    earlier: Tensor
    """(m, d), constant: vectors of earlier batches; m is 0 without a memory."""
    earlier_labels: Tensor
    """(m,)"""
    start: Tensor | None
    """(n, s), of the start weights."""
    targets: Tensor | None
    """(n, d), of the teachers."""

    def leading(self, width: int) -> _Batch:
        """Return the batch with the first `width` columns of its vectors, of unit length again."""
        if width == self.vectors.shape[1]:
            return self
        return self._replace(
            vectors=functional.normalize(self.vectors[:, :width]),
            earlier=functional.normalize(self.earlier[:, :width]),
            targets=None if self.targets is None else functional.normalize(self.targets[:, :width]),
        )

    def candidates(self) -> tuple[Tensor, Tensor]:
        """Return what each row is compared with: (n + m, d) vectors and labels, itself at its row.

        Copies, so that a memory may change before the gradient is taken.
        """
        return (
            torch.cat([self.vectors, self.earlier]),
            torch.cat([self.labels, self.earlier_labels]),
        )


class _Memory(nn.Module):
    """Vectors of the latest batches, to compare with more than fit a batch.

    As the weights move slowly, they are still good (Wang et al., "Cross-Batch Memory for Embedding
    Learning", CVPR 2020).
    """

    vectors: Tensor
    labels: Tensor
    n_seen: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("n_seen", torch.zeros((), dtype=torch.int64))

    def held(self) -> tuple[Tensor, Tensor]:
        """Return (m, d) vectors and (m,) labels, in no particular order."""
        held = min(int(self.n_seen), len(self.labels))
        return self.vectors[:held], self.labels[:held]

    @torch.no_grad()
    def add(self, vectors: Tensor, labels: Tensor) -> None:
        """Take in (n, d) vectors and (n,) labels in place of the oldest."""
        size = len(self.labels)
        if size == 0:
            return
        vectors, labels = vectors[-size:], labels[-size:]
        places = (self.n_seen + torch.arange(len(labels), device=labels.device)) % size
        self.vectors[places] = vectors
        self.labels[places] = labels
        self.n_seen += len(labels)


class _Term(nn.Module):
    """A term: a batch to a scalar."""

    def forward(self, batch: _Batch) -> Tensor:
        raise NotImplementedError


class _SupCon(_Term):
    """Supervised contrast (Khosla et al., NeurIPS 2020), the form with the mean outside the log."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.loss = SupConLoss(temperature=temperature)

    def forward(self, batch: _Batch) -> Tensor:
        candidates, their_labels = batch.candidates()
        same = batch.labels.unsqueeze(1) == their_labels
        positive = same.clone().fill_diagonal_(False)
        pairs = (*positive.nonzero(as_tuple=True), *(~same).nonzero(as_tuple=True))
        value: Tensor = self.loss(batch.vectors, batch.labels, pairs, candidates, their_labels)
        return value


class _Triplet(_Term):
    """Each row against its farthest positive and its nearest negative (Hermans et al., 2017)."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.loss = TripletMarginLoss(margin=margin, distance=CosineSimilarity())
        self.miner = BatchHardMiner(distance=CosineSimilarity())

    def forward(self, batch: _Batch) -> Tensor:
        candidates, their_labels = batch.candidates()
        anchor, positive, negative = self.miner(
            batch.vectors, batch.labels, candidates, their_labels
        )
        # A row is its own farthest positive where it has no other.
        paired = anchor != positive
        triplets = (anchor[paired], positive[paired], negative[paired])
        value: Tensor = self.loss(batch.vectors, batch.labels, triplets, candidates, their_labels)
        return value


class _ArcFace(_Term):
    """Products as classes with several centres and a margin of their own.

    Centres: Deng et al., "Sub-center ArcFace", ECCV 2020. Margins that fall with the fourth root of
    a product's photos: Ha et al., "Google Landmark Recognition 2020 Competition Third Place
    Solution", 2020. Leading parts of vectors meet the leading parts of the same centres (MRL-E).
    """

    margins: Tensor

    def __init__(
        self, labels_per_product: Sequence[int], dimension: int, widest: float, sub_centres: int
    ) -> None:
        super().__init__()
        counts = torch.tensor(labels_per_product, dtype=torch.float32).clamp(min=1)
        rarity = (counts.min() / counts) ** 0.25
        self.register_buffer("margins", widest * (NARROWEST + (1 - NARROWEST) * rarity))
        self.centres = nn.Parameter(torch.randn(len(counts), sub_centres, dimension))

    def forward(self, batch: _Batch) -> Tensor:
        products, sub_centres, _ = self.centres.shape
        centres = functional.normalize(self.centres[..., : batch.vectors.shape[1]], dim=2)
        to_all = batch.vectors @ centres.flatten(0, 1).T
        cosines = to_all.view(-1, products, sub_centres).max(dim=2).values
        own = batch.labels.unsqueeze(1)
        cosine, margin = cosines.gather(1, own), self.margins[own]
        sine = (1 - cosine**2).clamp(min=1e-6).sqrt()
        shifted = cosine * margin.cos() - sine * margin.sin()
        # Past pi - margin the shifted cosine would rise again; go on falling instead.
        falling = torch.where(cosine > -margin.cos(), shifted, cosine - margin * margin.sin())
        return functional.cross_entropy(
            ARCFACE_SCALE * cosines.scatter(1, own, falling), batch.labels
        )


class _SmoothAP(_Term):
    """1 - mAP with ranks counted by sigmoids (Brown et al., "Smooth-AP", ECCV 2020)."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, batch: _Batch) -> Tensor:
        return _ap_loss(batch, self._step, self._step)

    def _step(self, lead: Tensor) -> Tensor:
        return torch.sigmoid(lead / self.temperature)


class _Roadmap(_Term):
    """An upper bound of 1 - mAP, and similarities that mean the same in every batch.

    Ramzi et al., "Robust and Decomposable Average Precision for Image Retrieval", NeurIPS 2021:
    half SupAP, half calibration. The paper's temperature is 0.01; its bend (0.05) and slope (100)
    scale with it here.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        positive, negative = CALIBRATION
        self.calibration = ContrastiveLoss(
            pos_margin=positive, neg_margin=negative, distance=CosineSimilarity()
        )

    def forward(self, batch: _Batch) -> Tensor:
        calibration: Tensor = self.calibration(batch.vectors, batch.labels)
        return (_ap_loss(batch, _true_step, self._upper_step) + calibration) / 2

    def _upper_step(self, lead: Tensor) -> Tensor:
        """Bound the step from above, with a slope that never fades for misses far ahead."""
        bend = 5 * self.temperature
        bounded = torch.sigmoid(lead.clamp(max=bend) / self.temperature)
        return bounded + 0.5 * _true_step(lead) + (lead - bend).clamp(min=0) / self.temperature


def _true_step(lead: Tensor) -> Tensor:
    return (lead > 0).to(lead.dtype)


def _ap_loss(
    batch: _Batch,
    hit_step: Callable[[Tensor], Tensor],
    miss_step: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return 1 - mAP of each row as a query among the others; rows without a positive stay out.

    Args:
        batch: (n, d) vectors with p ordered positive pairs; memory is O(p n).
        hit_step: from by how much another hit is more similar than a hit, to how much it counts
            as ranked before it.
        miss_step: the same of a miss.
    """
    similarities = batch.vectors @ batch.vectors.T
    same = batch.labels.unsqueeze(1) == batch.labels
    query, hit = same.clone().fill_diagonal_(False).nonzero(as_tuple=True)
    if len(query) == 0:
        return similarities.sum() * 0
    lead = similarities[query] - similarities[query, hit].unsqueeze(1)
    other_hits = same[query].scatter(1, torch.stack([query, hit], dim=1), False)
    hits_before = (hit_step(lead) * other_hits).sum(dim=1)
    misses_before = (miss_step(lead) * ~same[query]).sum(dim=1)
    precision = (1 + hits_before) / (1 + hits_before + misses_before)
    n_hits = torch.bincount(query, minlength=len(same))
    sums = precision.new_zeros(len(same)).index_add(0, query, precision)
    return 1 - (sums[n_hits > 0] / n_hits[n_hits > 0]).mean()


class _Relations(_Term):
    """Whom each view resembles, and how much, shall be as a reference has it.

    KL divergence of a row's softmax over its similarities to the other rows: distillation of
    relations (Park et al., "Relational Knowledge Distillation", CVPR 2019; Tung and Mori,
    "Similarity-Preserving Knowledge Distillation", ICCV 2019), which leaves the vectors free to
    turn together and to have another width.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def divergence(self, vectors: Tensor, reference: Tensor) -> Tensor:
        """Compare (n, d) with (n, s), rows of unit length."""
        return functional.kl_div(
            self._log_shares(vectors),
            self._log_shares(reference.float()),
            reduction="batchmean",
            log_target=True,
        )

    def _log_shares(self, vectors: Tensor) -> Tensor:
        """Return (n, n - 1) log shares of the other rows in each row's similarity."""
        n = len(vectors)
        others = ~torch.eye(n, dtype=torch.bool, device=vectors.device)
        similarities = (vectors @ vectors.T)[others].view(n, n - 1)
        return functional.log_softmax(similarities / self.temperature, dim=1)


class _Distil(_Relations):
    """Views shall resemble each other as their clean photos do in the eyes of the teachers."""

    def forward(self, batch: _Batch) -> Tensor:
        if batch.targets is None:
            raise ValueError("a distil term needs the targets of the teachers")
        return self.divergence(batch.vectors, batch.targets)


class _Keep(_Relations):
    """Views shall resemble each other as they did under the start weights."""

    def forward(self, batch: _Batch) -> Tensor:
        if batch.start is None:
            raise ValueError("a keep term needs the vectors of the start weights")
        return self.divergence(batch.vectors, batch.start)
