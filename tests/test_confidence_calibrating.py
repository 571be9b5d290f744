"""Calibrations of made vectors, whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoplens import Calibration, Embeddings, Photo, PhotoSet, calibrate, rank, rerank
from shoplens.confidence.estimator import Estimator, Line
from shoplens.confidence.fitting import fit_estimator, folds_by_product
from shoplens.confidence.measuring import CategoryMeasured
from shoplens.confidence.samples import searched_samples
from shoplens.confidence.searched import search_labelled
from shoplens.errors import DataError, MissingError, ModelError, RankingError
from shoplens.hits import Hit
from shoplens.records import Domain
from shoplens.reranking import parse_chain
from shoplens.vectors.selecting import rows_of


def units(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def side(
    products: list[str], vectors: np.ndarray, domain: Domain, categories: list[str] | None = None
) -> Embeddings:
    from shoplens.attributes import AttributeColumns

    columns = None if categories is None else AttributeColumns({"kind": categories})
    photos = PhotoSet(
        Photo(
            row,
            f"{row}.jpg",
            Path(f"{row}.jpg"),
            domain,
            product_id=product,
            **({} if columns is None else {"attributes": columns[row]}),
        )
        for row, product in enumerate(products)
    )
    return Embeddings(
        photos.ids, units(vectors), model_name="made", fingerprint="sha256:made", photos=photos
    )


def made(
    n_products: int = 120, noise: float = 1.2, seed: int = 0, *, categories: bool = False
) -> tuple[Embeddings, Embeddings]:
    """Return queries and gallery: two seller photos and two user photos of each product."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(n_products, 24))
    products = [f"p{number // 2}" for number in range(2 * n_products)]
    gallery = np.repeat(centres, 2, axis=0) + 0.4 * generator.normal(size=(2 * n_products, 24))
    spread = noise * generator.normal(size=(2 * n_products, 24))
    if categories:  # Every second product is hard to find.
        spread[::4] *= 2
        spread[1::4] *= 2
    queries = np.repeat(centres, 2, axis=0) + spread
    names = ["hard" if number // 2 % 2 == 0 else "easy" for number in range(2 * n_products)]
    return (
        side(products, queries, "user"),
        side(products, gallery, "seller", names if categories else None),
    )


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(*made())


def test_confidences_mean_what_they_say(calibration: Calibration) -> None:
    """Of other products, made in the same way."""
    queries, gallery = made(seed=1)
    samples = searched_samples(
        search_labelled(queries, gallery), gallery.photos or PhotoSet([]), None
    )
    first = (samples.place == 0) & ~samples.is_open
    said = calibration.estimator.probabilities(samples.features[first])
    assert abs(said.mean() - samples.truth[first].mean()) < 0.06
    sure, unsure = said > np.median(said), said <= np.median(said)
    truth = samples.truth[first]
    assert abs(said[sure].mean() - truth[sure].mean()) < 0.08
    assert abs(said[unsure].mean() - truth[unsure].mean()) < 0.08


@pytest.mark.parametrize("chain", ["aqe:k=3,gap=2", "product-score+dba:k=1"])
def test_a_search_without_the_product_is_re_ranked_without_it(chain: str) -> None:
    queries, gallery = made(20)
    searched = search_labelled(queries, gallery, parse_chain(chain))
    assert gallery.photos is not None
    assert queries.photos is not None
    for query in (0, 7, 39):
        own = queries.photos[query].product_id
        others = [row for row, photo in enumerate(gallery.photos) if photo.product_id != own]
        for without_own, rows in ((False, range(len(gallery))), (True, others)):
            among = rows_of(gallery, np.array(rows))
            asked = rows_of(queries, np.array([query]))
            expected = rerank(rank(asked, among), asked, among, chain)
            at, scores = searched.found(query, without_own=without_own)
            np.testing.assert_array_equal(gallery.ids[at], expected.ids[0])
            assert expected.scores is not None
            np.testing.assert_array_equal(scores, expected.scores[0])


def test_confidences_of_re_ranked_searches_mean_what_they_say() -> None:
    found = calibrate(*made(), rerank="product-score")
    assert found.chain == ("product-score:weight=0.9,temperature=0.05",)
    assert found.measured.calibration_error < 0.08
    queries, gallery = made(seed=1)
    samples = searched_samples(
        search_labelled(queries, gallery, parse_chain("product-score")),
        gallery.photos or PhotoSet([]),
        None,
    )
    first = (samples.place == 0) & ~samples.is_open
    said = found.estimator.probabilities(samples.features[first])
    assert abs(said.mean() - samples.truth[first].mean()) < 0.06


def test_what_was_measured(calibration: Calibration) -> None:
    measured = calibration.measured
    assert (measured.n_queries, measured.n_products, measured.n_gallery) == (240, 120, 240)
    assert 0.3 < measured.right < 0.99
    assert measured.calibration_error < 0.08
    assert sum(one.n for one in measured.bins) == 240
    # Each fold is decided by the others, so the rate is near what was asked for, not exactly it.
    assert measured.false_accepts < 0.12
    assert measured.true_matches_kept > 0.3
    assert 0 < calibration.no_match_below < 1


def test_more_false_accepts_keep_more_true_matches() -> None:
    queries, gallery = made()
    strict, loose = (calibrate(queries, gallery, false_accepts=rate) for rate in (0.01, 0.3))
    assert strict.no_match_below > loose.no_match_below
    assert strict.measured.true_matches_kept <= loose.measured.true_matches_kept


def test_absent_products_lower_confidences(calibration: Calibration) -> None:
    queries, gallery = made()
    doubtful = calibrate(queries, gallery, absent=0.5)
    features = np.array([[0.6, 0.1, 0.0, 0.3, 0.1]])
    assert doubtful.estimator.probabilities(features) < calibration.estimator.probabilities(
        features
    )
    assert doubtful.measured.right < calibration.measured.right


def test_categories_differ_where_there_are_enough_data() -> None:
    queries, gallery = made(200, categories=True)
    found = calibrate(queries, gallery, category="kind")
    assert set(found.estimator.categories) == {"easy", "hard"}
    told = {one.name: one for one in found.measured.categories}
    assert sum(one.n for one in told.values()) == found.measured.n_queries
    assert told["easy"].right > told["hard"].right
    for one in told.values():  # Of products that had no part in the fit.
        assert abs(one.confidence - one.right) < 0.1
    features = np.array([[0.6, 0.1, 0.0, 0.3, 0.1]] * 3)
    easy, hard, unknown = found.estimator.logits(features, ["easy", "hard", None])
    assert easy > hard
    assert found.estimator.logits(features)[2] == unknown
    few = calibrate(*made(12, categories=True), category="kind")
    assert not few.estimator.categories
    with pytest.raises(DataError, match=r"no column 'colour'.*it has kind"):
        calibrate(queries, gallery, category="colour")


def test_folds_keep_products_together() -> None:
    queries, gallery = made(30)
    samples = searched_samples(
        search_labelled(queries, gallery), gallery.photos or PhotoSet([]), None
    )
    folds = folds_by_product(samples)
    for product in np.unique(samples.group):
        assert len(np.unique(folds[samples.group == product])) == 1
    assert len(np.unique(folds)) == 5
    # Every query is searched with its product and without; without, nothing found is right.
    assert samples.truth[samples.is_open].sum() == 0
    assert len(np.unique(samples.search[samples.is_open])) == 60


def test_isotonic_probabilities_rise_with_logits() -> None:
    queries, gallery = made(60)
    samples = searched_samples(
        search_labelled(queries, gallery), gallery.photos or PhotoSet([]), None
    )
    weights = np.where(samples.is_open, 0.0, 1.0)
    found = fit_estimator(samples, weights, "isotonic")
    order = np.argsort(found.logits(samples.features))
    said = found.probabilities(samples.features)[order]
    assert (np.diff(said) >= 0).all()
    assert 0 < said.min() < said.max() < 1


def test_a_file_gives_the_same_calibration(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    with_lines = replace(
        calibration,
        category="kind",
        estimator=Estimator((1, 2, 3, 4, 5), 0.5, {"a": Line(1.5, -0.25)}, ((-1.0, 0.1), (2, 0.9))),
    )
    with_lines.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == with_lines
    of_shoes = CategoryMeasured("shoes", 30, 0.5, 0.6)
    told = replace(calibration, measured=replace(calibration.measured, categories=(of_shoes,)))
    told.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == told
    # Files of versions that did not tell of categories are read.
    values = json.loads((tmp_path / "c.json").read_text())
    del values["measured"]["categories"]
    (tmp_path / "c.json").write_text(json.dumps(values))
    assert Calibration.load(tmp_path / "c.json") == calibration


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"estimator": {"weights": [1, 2], "constant": 0}},
        {"estimator": {"weights": [1, 2, 3, 4, 5], "constant": 0, "steps": [[1, 0.5], [0, 0.9]]}},
        {"no_match_below": "high"},
        {"measured": None},
    ],
)
def test_other_files_are_refused(
    calibration: Calibration, tmp_path: Path, change: dict[str, object]
) -> None:
    calibration.save(tmp_path / "c.json")
    values = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(ModelError, match="no calibration"):
        Calibration.load(tmp_path / "c.json")


def test_a_file_that_is_no_calibration(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[1, 2")
    with pytest.raises(ModelError, match="no calibration"):
        Calibration.load(tmp_path / "c.json")
    with pytest.raises(MissingError, match="shoplens calibrate"):
        Calibration.load(tmp_path / "missing.json")


def test_another_model_is_refused(calibration: Calibration) -> None:
    calibration.require_fit("sha256:made", "made")
    calibration.require_fit(None, None)
    with pytest.raises(ModelError, match=r"for the model made .* of other \(sha256:other\)"):
        calibration.require_fit("sha256:other", "other")
    with pytest.raises(ModelError, match=r"with 0 regions .* and 3 are compared .*--regions 3"):
        calibration.require_fit("sha256:made", "made", 3)
    assert calibration.fits("sha256:made")
    assert not calibration.fits("sha256:other")
    assert not calibration.fits("sha256:made", 3)


def test_what_cannot_be_learned_from_is_refused() -> None:
    queries, gallery = made(6)
    unknown = replace(gallery, photos=PhotoSet(replace(p, product_id=None) for p in gallery.photos))
    with pytest.raises(DataError, match="12 of 12 gallery photos have no product_id"):
        calibrate(queries, unknown)
    with pytest.raises(DataError, match="nothing to learn"):
        calibrate(*made(1))
    with pytest.raises(RankingError):
        calibrate(queries, replace(gallery, fingerprint="sha256:other"))
    with pytest.raises(ValueError, match="shares"):
        calibrate(queries, gallery, false_accepts=1.5)


def hits(*rows: tuple[float, str | None]) -> list[Hit]:
    return [
        Hit(rank, rank, product, score, f"{rank}.jpg")
        for rank, (score, product) in enumerate(rows, start=1)
    ]


def test_a_search_is_judged(calibration: Calibration) -> None:
    clear = calibration.judge(hits((0.95, "a"), (0.9, "a"), (0.1, "b"), (0.05, None)))
    assert set(clear.products) == {("product", "a"), ("product", "b"), ("photo", 4)}
    assert clear.confidence == clear.products["product", "a"] > 0.8
    assert clear.products["product", "b"] < 0.2
    assert not clear.no_match
    doubtful = calibration.judge(hits((0.2, "a"), (0.2, "b"), (0.2, "c")))
    assert doubtful.confidence < clear.confidence
    assert doubtful.no_match
    nothing = calibration.judge([])
    assert (nothing.confidence, nothing.no_match) == (0.0, True)


def test_hits_are_told_their_products_confidence(calibration: Calibration) -> None:
    found = hits((0.9, "a"), (0.6, "b"), (0.5, "a"))
    judged = calibration.judge(found)
    told = judged.told(found)
    assert told[0].confidence == told[2].confidence == judged.products["product", "a"]
    assert [hit.to_json()["confidence"] for hit in told] == [hit.confidence for hit in told]
    assert "confidence" not in found[0].to_json()
