"""Our metrics beside other libraries', where they are installed (docs/metrics.md has the names).

They are no part of the development environment: the dependency group `conventions` has them.
"""

from __future__ import annotations

import numpy as np
import pytest

from shoplens.evaluation.formulas import Counts, PerQuery, Relevance
from shoplens.evaluation.metric_names import per_query

# What ranx and scikit-learn warn of inside (their own uses of NumPy and Numba) is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

N_QUERIES = 40
N_GALLERY = 60
DEPTHS = (1, 3, 10, 60, 100)


@pytest.fixture(scope="module")
def judged() -> tuple[Relevance, Counts]:
    """Rows of 60 of which some hold every positive, some none, some but a few."""
    generator = np.random.default_rng(7)
    relevant = generator.random((N_QUERIES, N_GALLERY)) < generator.random((N_QUERIES, 1)) ** 2 / 2
    relevant[0] = False
    relevant[1] = np.arange(N_GALLERY) < 5
    relevant[2] = True
    missing = np.where(np.arange(N_QUERIES) % 2, 0, generator.integers(1, 9, size=N_QUERIES))
    return relevant, np.maximum(relevant.sum(axis=1) + missing, 1)


Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


def as_trec(relevant: Relevance, n_positive: Counts) -> tuple[Qrels, Run]:
    """Write rows as qrels and a run; positives that are not in the row have names of their own."""
    qrels, run = {}, {}
    for query, row in enumerate(relevant):
        run[f"q{query:03}"] = {f"d{rank}": float(len(row) - rank) for rank in range(len(row))}
        found = {f"d{rank}": 1 for rank in np.flatnonzero(row)}
        qrels[f"q{query:03}"] = found | {
            f"missing{i}": 1 for i in range(n_positive[query] - len(found))
        }
    return qrels, run


def assert_same(found: PerQuery, expected: PerQuery, what: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6, err_msg=what)


PYTREC = {
    "map_cut": "map",
    "P": "precision",
    "recall": "recall",
    "success": "hit",
    "ndcg_cut": "ndcg",
}


def test_trec_eval_agrees(judged: tuple[Relevance, Counts]) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec-eval-terrier is not installed")
    qrels, run = as_trec(*judged)
    cut = {f"{theirs}.{','.join(map(str, DEPTHS))}" for theirs in PYTREC}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {*cut, "map", "Rprec", "recip_rank"})
    results = evaluator.evaluate(run)
    names = {f"{t}_{k}": f"{ours}@{k}" for t, ours in PYTREC.items() for k in DEPTHS}
    names |= {"map": f"map@{N_GALLERY}", "Rprec": "precision@R", "recip_rank": "mrr"}
    for theirs, ours in names.items():
        expected = np.array([results[query][theirs] for query in sorted(run)])
        assert_same(per_query(ours, *judged), expected, f"{ours} is not their {theirs}")


def test_ranx_agrees(judged: tuple[Relevance, Counts], monkeypatch: pytest.MonkeyPatch) -> None:
    # Compiling its metrics takes minutes, computing these few does not.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    ranx = pytest.importorskip("ranx", reason="ranx is not installed")
    qrels, run = as_trec(*judged)
    kinds = {
        "map": "map", "precision": "precision", "recall": "recall", "hit_rate": "hit",
        "mrr": "mrr", "ndcg": "ndcg",
    }  # fmt: skip
    names = {f"{theirs}@{k}": f"{ours}@{k}" for theirs, ours in kinds.items() for k in DEPTHS}
    names |= {"r-precision": "precision@R", "mrr": "mrr", "map": f"map@{N_GALLERY}"}
    results = ranx.evaluate(
        ranx.Qrels(qrels), ranx.Run(run), list(names), return_mean=False, make_comparable=True
    )
    for theirs, ours in names.items():
        assert_same(per_query(ours, *judged), results[theirs], f"{ours} is not their {theirs}")


def test_scikit_learn_agrees(judged: tuple[Relevance, Counts]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    relevant, _ = judged
    full = relevant[relevant.any(axis=1)]
    n_positive = full.sum(axis=1)
    scores = np.linspace(1, 0, N_GALLERY)
    whole = np.array([metrics.average_precision_score(row, scores) for row in full])
    # With the whole gallery in the row all positives are found, and every denominator is the same.
    for name in ("map", "map-found", "map-min"):
        assert_same(per_query(f"{name}@{N_GALLERY}", full, n_positive), whole, name)
    for k in (3, 10):
        some = full[:, :k].any(axis=1)
        first = [metrics.average_precision_score(row[:k], scores[:k]) for row in full[some]]
        found = per_query(f"map-found@{k}", full[some], n_positive[some])
        assert_same(found, np.array(first), f"map-found@{k}")
        gains = [metrics.ndcg_score(row[None].astype(int), scores[None], k=k) for row in full]
        assert_same(per_query(f"ndcg@{k}", full, n_positive), np.array(gains), f"ndcg@{k}")
