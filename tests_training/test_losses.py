"""Loss terms against direct formulas and hand-made vectors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from shoplens.training.config import Loss
from shoplens.training.losses import ProductLoss, build_losses

KINDS = ("supcon", "arcface", "triplet", "smooth_ap", "roadmap", "keep")


def make(*losses: dict[str, Any], counts: tuple[int, ...] = (4, 4, 4), **more: Any) -> ProductLoss:
    torch.manual_seed(0)
    more = {"dimension": 8, **more}
    return build_losses([Loss(**loss) for loss in losses], labels_per_product=counts, **more)


def at_degrees(*angles: float) -> Tensor:
    radians = torch.tensor(angles) * math.pi / 180
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def unit(n: int, dimension: int = 8, seed: int = 0) -> Tensor:
    made = torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(made)


def value(loss: ProductLoss, vectors: Tensor, labels: Tensor, start: Tensor | None = None) -> float:
    with torch.no_grad():
        terms = loss(vectors, labels, start)
    return float(sum(terms.values()))


LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])


def supcon_directly(
    vectors: Tensor, labels: Tensor, temperature: float, earlier: Tensor, earlier_labels: Tensor
) -> float:
    everything = torch.cat([vectors, earlier])
    all_labels = torch.cat([labels, earlier_labels])
    rows = []
    for i in range(len(vectors)):
        others = [j for j in range(len(everything)) if j != i]
        logits = {j: float(vectors[i] @ everything[j]) / temperature for j in others}
        total = math.log(sum(math.exp(logit) for logit in logits.values()))
        hits = [j for j in others if all_labels[j] == labels[i]]
        if hits:
            rows.append(sum(total - logits[j] for j in hits) / len(hits))
    return sum(rows) / len(rows)


def test_supcon_is_its_formula() -> None:
    vectors = unit(8)
    loss = make({"kind": "supcon", "temperature": 0.2, "weight": 3})
    expected = 3 * supcon_directly(vectors, LABELS, 0.2, vectors[:0], LABELS[:0])
    assert value(loss, vectors, LABELS) == pytest.approx(expected, rel=1e-5)


def test_supcon_leaves_out_views_without_a_positive() -> None:
    vectors, labels = unit(3), torch.tensor([0, 0, 1])
    loss = make({"kind": "supcon", "temperature": 0.2})
    expected = supcon_directly(vectors, labels, 0.2, vectors[:0], labels[:0])
    assert value(loss, vectors, labels) == pytest.approx(expected, rel=1e-5)


def test_memory_adds_earlier_batches_and_not_the_batch_itself() -> None:
    loss = make({"kind": "supcon", "temperature": 0.2, "memory": 100})
    first, second = unit(8, seed=1), unit(8, seed=2)
    alone = supcon_directly(first, LABELS, 0.2, first[:0], LABELS[:0])
    assert value(loss, first, LABELS) == pytest.approx(alone, rel=1e-5)
    both = supcon_directly(second, LABELS, 0.2, first, LABELS)
    assert value(loss, second, LABELS) == pytest.approx(both, rel=1e-5)
    assert both > alone  # more to tell apart


def test_memory_keeps_the_latest_whatever_the_batch_size() -> None:
    loss = make({"kind": "supcon", "temperature": 0.2, "memory": 6})
    value(loss, unit(4, seed=1), LABELS[:4])
    value(loss, unit(3, seed=2), LABELS[:3])  # wraps round
    third = unit(8, seed=3)  # more than it holds
    earlier = torch.cat([unit(4, seed=1)[1:], unit(3, seed=2)])
    their_labels = torch.cat([LABELS[1:4], LABELS[:3]])
    expected = supcon_directly(third, LABELS, 0.2, earlier, their_labels)
    assert value(loss, third, LABELS) == pytest.approx(expected, rel=1e-5)
    expected = supcon_directly(third, LABELS, 0.2, third[2:], LABELS[2:])
    assert value(loss, third, LABELS) == pytest.approx(expected, rel=1e-5)


def test_memory_survives_a_checkpoint_and_does_not_grow_in_validation() -> None:
    term = {"kind": "supcon", "memory": 10}
    loss, resumed = make(term), make(term)
    value(loss, unit(8, seed=1), LABELS)
    resumed.load_state_dict(loss.state_dict())
    for _ in range(2):
        batch = unit(8, seed=2)
        assert value(resumed, batch, LABELS) == value(loss, batch, LABELS)
    loss.eval()
    assert value(loss, batch, LABELS) == value(loss, batch, LABELS)


def test_memory_takes_no_gradient() -> None:
    loss = make({"kind": "triplet", "memory": 10, "margin": 2}, {"kind": "supcon", "memory": 10})
    first = unit(8, seed=1).requires_grad_()
    for vectors in (first, unit(8, seed=2).requires_grad_()):
        terms = loss(vectors, LABELS)
        torch.stack(list(terms.values())).sum().backward()
    once = make({"kind": "triplet", "margin": 2}, {"kind": "supcon"})
    again = unit(8, seed=1).requires_grad_()
    torch.stack(list(once(again, LABELS, LABELS > 0).values())).sum().backward()
    assert torch.equal(first.grad, again.grad)


def test_triplet_takes_the_farthest_positive_and_the_nearest_negative() -> None:
    vectors = at_degrees(0, 20, 50, 90, 180)
    labels = torch.tensor([0, 0, 0, 1, 1])
    margin = 0.3
    loss = make({"kind": "triplet", "margin": margin}, dimension=2)

    def cosine(i: int, j: int) -> float:
        return float(vectors[i] @ vectors[j])

    hardest = [(0, 2, 3), (1, 2, 3), (2, 0, 3), (3, 4, 2), (4, 3, 2)]
    losses = [cosine(a, n) - cosine(a, p) + margin for a, p, n in hardest]
    broken = [item for item in losses if item > 0]
    assert 0 < len(broken) < len(losses)
    assert value(loss, vectors, labels) == pytest.approx(sum(broken) / len(broken), rel=1e-4)


def test_triplet_mines_the_memory_too() -> None:
    loss = make({"kind": "triplet", "margin": 0.1, "memory": 8}, dimension=2)
    apart = at_degrees(0, 0, 180, 180)
    labels = torch.tensor([0, 0, 1, 1])
    assert value(loss, apart, labels) == 0
    assert value(loss, at_degrees(10, 10), torch.tensor([2, 2])) == pytest.approx(
        math.cos(math.radians(10)) + 0.1 - 1, rel=1e-4
    )


def test_arcface_margin_falls_from_the_rarest_product() -> None:
    loss = make({"kind": "arcface", "margin": 0.5}, counts=(1000000, 2, 32))
    (margins,) = (value for name, value in loss.named_buffers() if name.endswith("margins"))
    assert margins.argmax() == 1
    assert margins[1] == pytest.approx(0.5)
    assert margins[2] == pytest.approx(0.5 * (0.1 + 0.9 / 2))  # (2 / 32) ** 0.25 == 1 / 2
    assert 0.05 < margins[0] < 0.08


def test_arcface_is_its_formula() -> None:
    loss = make({"kind": "arcface", "margin": 0.4, "sub_centres": 2}, counts=(5, 5), dimension=2)
    (centres,) = loss.parameters()
    assert centres.shape == (2, 2, 2)
    centres.data = torch.stack([at_degrees(0, 90), at_degrees(180, 270)]) * 7
    # The nearer centre of product 0 is at 90 degrees, that of product 1 at 180.
    logits = [30 * math.cos(math.radians(50) + 0.4), 30 * math.cos(math.radians(40))]
    expected = math.log(sum(math.exp(logit) for logit in logits)) - logits[0]
    assert value(loss, at_degrees(140), torch.tensor([0])) == pytest.approx(expected, rel=1e-4)


def test_arcface_falls_as_a_view_nears_its_centre() -> None:
    loss = make({"kind": "arcface", "margin": 0.5, "sub_centres": 1}, counts=(5, 5), dimension=2)
    (centres,) = loss.parameters()
    centres.data = at_degrees(0, 180).unsqueeze(1)
    values = [value(loss, at_degrees(angle), torch.tensor([0])) for angle in range(0, 181, 5)]
    assert values == sorted(values)


def average_precision(vectors: Tensor, labels: Tensor) -> float:
    """Return the mAP of each vector among the others, by sorting."""
    found = []
    for i in range(len(vectors)):
        others = [j for j in range(len(vectors)) if j != i]
        others.sort(key=lambda j: -float(vectors[i] @ vectors[j]))
        ranks = [rank for rank, j in enumerate(others, 1) if labels[j] == labels[i]]
        if ranks:
            found.append(sum(hit / rank for hit, rank in enumerate(ranks, 1)) / len(ranks))
    return sum(found) / len(found)


@pytest.mark.parametrize("seed", range(5))
def test_smooth_ap_nears_the_true_one(seed: int) -> None:
    vectors = unit(8, seed=seed).double()
    loss = make({"kind": "smooth_ap", "temperature": 1e-6})
    expected = 1 - average_precision(vectors, LABELS)
    assert value(loss, vectors, LABELS) == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(seed=st.integers(0, 10**6), temperature=st.floats(0.001, 0.2))
def test_roadmap_is_an_upper_bound(seed: int, temperature: float) -> None:
    vectors = unit(8, seed=seed)
    loss = make({"kind": "roadmap", "temperature": temperature})
    assert 2 * value(loss, vectors, LABELS) >= 1 - average_precision(vectors, LABELS) - 1e-5


def test_roadmap_of_separate_products_is_nothing() -> None:
    vectors, labels = at_degrees(0, 1, 180, 181), torch.tensor([0, 0, 1, 1])
    loss = make({"kind": "roadmap", "temperature": 0.01}, dimension=2)
    assert value(loss, vectors, labels) == pytest.approx(0, abs=1e-6)


def test_roadmap_calibrates_what_ranks_right() -> None:
    axes = torch.eye(8)
    vectors = functional.normalize(axes[0] + axes[1:5])  # all at 60 degrees from each other
    loss = make({"kind": "roadmap", "temperature": 0.01})
    expected = (0.9 - 0.5) / 2
    assert value(loss, vectors, LABELS[:1].repeat(4)) == pytest.approx(expected, rel=1e-4)


def test_roadmap_is_its_formula() -> None:
    vectors, labels = at_degrees(0, 90, 45), torch.tensor([0, 0, 1])
    loss = make({"kind": "roadmap", "temperature": 0.01}, dimension=2)
    lead = math.sqrt(0.5)  # of the miss, in both queries that have a hit
    misses = 1 / (1 + math.exp(-5)) + 0.5 + (lead - 0.05) * 100
    bound = 1 - 1 / (1 + misses)
    calibration = 0.9 + (lead - 0.6)
    assert value(loss, vectors, labels) == pytest.approx((bound + calibration) / 2, rel=1e-4)


def test_keep_is_nothing_for_what_was_kept() -> None:
    loss = make({"kind": "keep", "temperature": 0.1})
    start = unit(8, dimension=5)
    rotated = functional.pad(start, (3, 0)).flip(1)  # other vectors, the same relations
    assert value(loss, rotated, LABELS, start) == pytest.approx(0, abs=1e-6)
    assert value(loss, unit(8, seed=3), LABELS, start) > 0.1


def test_keep_is_its_formula_and_takes_whole_vectors() -> None:
    vectors, start = unit(3, seed=1), unit(3, seed=2)
    expected = 0.0
    for i in range(3):
        others = [j for j in range(3) if j != i]
        was = (torch.stack([start[i] @ start[j] for j in others]) / 0.5).softmax(0)
        now = (torch.stack([vectors[i] @ vectors[j] for j in others]) / 0.5).softmax(0)
        expected += float((was * (was / now).log()).sum()) / 3
    for nested in ((), (2, 4)):
        loss = make({"kind": "keep", "temperature": 0.5}, nested=nested)
        assert value(loss, vectors, LABELS[:3], start) == pytest.approx(expected, rel=1e-4)


def test_keep_needs_a_start() -> None:
    with pytest.raises(ValueError, match="start weights"):
        value(make({"kind": "keep"}), unit(8), LABELS)


@pytest.mark.parametrize("kind", ["supcon", "triplet", "smooth_ap", "roadmap"])
def test_nested_is_the_mean_over_leading_parts(kind: str) -> None:
    vectors = unit(8)
    alone = [
        value(make({"kind": kind}, dimension=part.shape[1]), part, LABELS)
        for part in (vectors, *(functional.normalize(vectors[:, :width]) for width in (2, 4)))
    ]
    together = value(make({"kind": kind}, nested=(2, 4)), vectors, LABELS)
    assert together == pytest.approx(sum(alone) / 3, rel=1e-5)


def test_nested_parts_have_their_own_view_of_the_memory() -> None:
    loss = make({"kind": "supcon", "temperature": 0.2, "memory": 8}, nested=(4,))
    first, second = unit(8, seed=1), unit(8, seed=2)
    value(loss, first, LABELS)
    parts = [(first, second), tuple(functional.normalize(v[:, :4]) for v in (first, second))]
    expected = sum(supcon_directly(now, LABELS, 0.2, was, LABELS) for was, now in parts) / 2
    assert value(loss, second, LABELS) == pytest.approx(expected, rel=1e-5)


def test_terms_are_told_apart_by_kind_and_those_of_one_kind_added() -> None:
    vectors = unit(8)
    loss = make(
        {"kind": "supcon", "temperature": 0.1},
        {"kind": "triplet"},
        {"kind": "supcon", "temperature": 0.5, "weight": 2},
    )
    terms = loss(vectors, LABELS)
    assert list(terms) == ["supcon", "triplet"]
    parts = [{"kind": "supcon", "temperature": 0.1}]
    parts += [{"kind": "supcon", "temperature": 0.5, "weight": 2}]
    expected = sum(value(make(part), vectors, LABELS) for part in parts)
    assert float(terms["supcon"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["usual", "all alike", "no positives", "one product"])
def test_gradients_are_finite(kind: str, case: str) -> None:
    labels = {"no positives": torch.tensor([0, 1, 2]), "one product": torch.tensor([1, 1, 1])}.get(
        case, LABELS
    )
    vectors = unit(len(labels))
    if case == "all alike":
        vectors = vectors[:1].repeat(len(labels), 1)
    vectors.requires_grad_()
    loss = make({"kind": kind}, nested=(2, 4))
    terms = loss(vectors, labels, start=unit(len(labels), 5, seed=4))
    terms[kind].backward()
    assert terms[kind].isfinite()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_lead_downhill(kind: str) -> None:
    raw = unit(8, seed=5).requires_grad_()
    start = unit(8, seed=6)
    loss = make({"kind": kind}, nested=(4,))
    optimiser = torch.optim.SGD([raw], lr=0.05)
    values = []
    for _ in range(20):
        terms = loss(functional.normalize(raw), LABELS, start)
        values.append(float(terms[kind].detach()))
        optimiser.zero_grad()
        terms[kind].backward()
        optimiser.step()
    assert values[-1] < 0.99 * values[0]


@settings(deadline=None, derandomize=True, max_examples=10)
@given(order=st.permutations(range(8)), seed=st.integers(0, 10**6))
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_views_does_not_matter(kind: str, order: list[int], seed: int) -> None:
    vectors, start = unit(8, seed=seed), unit(8, 5, seed=seed + 1)
    loss = make({"kind": kind}, nested=(4,))
    there = value(loss, vectors, LABELS, start)
    assert value(loss, vectors[order], LABELS[order], start[order]) == pytest.approx(
        there, rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_around_it_changes_nothing(kind: str) -> None:
    loss, vectors, start = make({"kind": kind}), unit(8), unit(8, seed=1)
    plain = value(loss, vectors, LABELS, start)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert value(loss, vectors, LABELS, start) == plain


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="8 vectors and 3 labels"):
        value(make({"kind": "supcon"}), unit(8), LABELS[:3])


def test_distil_is_zero_where_views_resemble_each_other_as_the_teachers_say() -> None:
    torch.manual_seed(0)
    targets = functional.normalize(torch.randn(6, 8))
    turned = targets @ torch.linalg.qr(torch.randn(8, 8))[0]
    losses = build_losses([Loss(kind="distil")], dimension=8, labels_per_product=[2, 2, 2])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    same = losses(turned, labels, targets=targets)["distil"]
    other = losses(functional.normalize(torch.randn(6, 8)), labels, targets=targets)["distil"]
    assert same == pytest.approx(0, abs=1e-5)
    assert other > 0.01


def test_distil_without_targets_is_an_error() -> None:
    losses = build_losses([Loss(kind="distil")], dimension=8, labels_per_product=[2])
    with pytest.raises(ValueError, match="targets of the teachers"):
        losses(functional.normalize(torch.randn(2, 8)), torch.tensor([0, 0]))
