"""The scan against brute force in float64."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.catalog.embedded import scan
from shoplens.catalog.embedded.scan import Block, candidates, candidates_each
from shoplens.similarities import exact_scores


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def block_of(vectors: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_] | None) -> Block:
    matrix = vectors.astype(np.float16)
    missed = np.linalg.norm(vectors.astype(np.float64) - matrix, axis=1)
    return Block(matrix, allowed, float(missed.max(initial=0)))


def pairs(found: scan.Candidates) -> set[tuple[int, int]]:
    return {(block, row) for block, positions, _ in found for row in positions.tolist()}


def best_pairs(
    query: npt.NDArray[np.float32],
    parts: list[npt.NDArray[np.float32]],
    masks: list[npt.NDArray[np.bool_] | None],
    k: int,
    *,
    rounded: bool = False,
) -> set[tuple[int, int]]:
    """Return the k best rows, and all that score the same as the last of them."""
    scored = []
    for block, (vectors, mask) in enumerate(zip(parts, masks, strict=True)):
        wide = vectors.astype(np.float64) @ query.astype(np.float64)
        scores = exact_scores(query[None], vectors)[0] if rounded else wide
        rows = range(len(vectors)) if mask is None else np.flatnonzero(mask).tolist()
        scored += [(float(scores[row]), (block, row)) for row in rows]
    scored.sort(reverse=True)
    worst = scored[min(k, len(scored)) - 1][0] if scored else 0
    return {row for score, row in scored if score >= worst}


@pytest.fixture(params=["simd", "numpy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "numpy":
        monkeypatch.setattr(scan, "_SIMD", False)
    elif not scan._SIMD:
        pytest.skip("simsimd has no wheel here")
    return request.param


@st.composite
def searches(draw: st.DrawFn):
    """A query, rows in blocks with duplicates, near-ties and zeros, masks, and k."""
    d = draw(st.sampled_from([1, 2, 3, 8, 31, 64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    query = unit(rng.standard_normal(d))
    parts, masks = [], []
    for _ in range(draw(st.integers(0, 3))):
        n = draw(st.integers(0, 60))
        kind = draw(st.sampled_from(["random", "duplicates", "near-ties", "rising"]))
        vectors = rng.standard_normal((n, d))
        if kind == "duplicates" and n:
            vectors = vectors[rng.integers(0, max(1, n // 8), n)]
        elif kind == "near-ties":
            vectors = query + draw(st.sampled_from([1e-7, 1e-4, 1e-3])) * vectors
        elif kind == "rising":
            vectors = query + np.linspace(2, 0, n)[:, None] * vectors
        vectors[rng.random(n) < draw(st.sampled_from([0, 0.3]))] = 0
        parts.append(unit(vectors))
        share = draw(st.sampled_from([None, 0, 0.03, 0.5, 1]))
        masks.append(None if share is None else rng.random(n) < share)
    return query, parts, masks, draw(st.integers(1, 40))


@given(searches(), st.sampled_from([1, 7, 32, 16_384]), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=200)
def test_the_k_best_are_found(search, chunk: int, simd: bool, many: bool) -> None:
    query, parts, masks, k = search
    blocks = [block_of(*part) for part in zip(parts, masks, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_CHUNK", chunk)
        patch.setattr(scan, "_PICKED", chunk)
        patch.setattr(scan, "_n_threads", lambda: 3)
        patch.setattr(scan, "_HELPER_BYTES", 1)
        if not simd:
            patch.setattr(scan, "_SIMD", False)
        if many:
            patch.setattr(scan, "_FEW_QUERIES", 0)
            patch.setattr(scan, "_GROUP", 2)
            other = np.roll(query, 1)
            found, _, again = candidates_each(np.stack([query, other, query]), blocks, k)
            assert pairs(again) == pairs(found)
        else:
            found = candidates(query, blocks, k)
    assert best_pairs(query, parts, masks, k) <= pairs(found)
    assert best_pairs(query, parts, masks, k, rounded=True) <= pairs(found)
    assert [block for block, _, _ in found] == sorted({block for block, _, _ in found})
    for block, positions, scores in found:
        assert positions.dtype == np.int64
        assert scores.dtype == np.float32
        assert len(positions) == len(scores) > 0
        assert (np.diff(positions) > 0).all()
        mask = masks[block]
        assert mask is None or mask[positions].all()
        exact = parts[block][positions].astype(np.float64) @ query.astype(np.float64)
        assert np.abs(exact - scores).max() < 2e-3


def test_few_rows_more_than_k(engine: str) -> None:
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((40_000, 64)))
    allowed = rng.random(40_000) < 0.5
    for mask in (None, allowed):
        found = candidates(vectors[7], [block_of(vectors, mask)], 100)
        assert 100 <= len(pairs(found)) < 115


def test_all_rows_where_there_are_fewer_than_k(engine: str) -> None:
    vectors = unit(np.random.default_rng(4).standard_normal((9, 5)))
    found = candidates(vectors[0], [block_of(vectors, None), block_of(vectors[:4], None)], 50)
    assert len(pairs(found)) == 13
    assert candidates(vectors[0], [], 5) == []
    assert candidates(vectors[0], [block_of(vectors[:0], None)], 5) == []
    assert candidates_each(vectors[:0], [block_of(vectors, None)], 5) == []


def test_slack_holds_for_long_vectors(engine: str) -> None:
    """Products of one sign are the worst case for adding up in float32."""
    rng = np.random.default_rng(5)
    vectors = unit(1 + 0.01 * rng.standard_normal((300, 4096)))
    query = unit(np.ones(4096))
    [(_, positions, scores)] = candidates(query, [block_of(vectors, None)], 300)
    assert len(positions) == 300
    block = block_of(vectors, None)
    exact = vectors.astype(np.float64) @ query.astype(np.float64)
    used = query if engine == "numpy" else query.astype(np.float16).astype(np.float32)
    assert np.abs(exact - scores).max() <= scan._slack(query, used, block)


def test_mapped_files_and_many_threads(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_HELPER_BYTES", 1)
    vectors = unit(np.random.default_rng(6).standard_normal((50_000, 16)))
    np.save(tmp_path / "vectors.npy", vectors.astype(np.float16))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    block = Block(mapped, None, block_of(vectors, None).error)
    expected = [pairs(candidates(query, [block], 10)) for query in vectors[:8]]
    found: dict[int, set[tuple[int, int]]] = {}

    def search(row: int) -> None:
        for _ in range(5):
            found[row] = pairs(candidates(vectors[row], [block], 10))

    threads = [threading.Thread(target=search, args=(row,)) for row in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Which rows beyond the k best are kept may depend on the order of the chunks.
    for row in range(8):
        best = best_pairs(vectors[row], [vectors], [None], 10)
        assert best <= found[row]
        assert best <= expected[row]
