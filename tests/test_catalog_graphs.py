"""The approximate index, against the exact answer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from shoplens.catalog.embedded.graphs import (
    Calibration,
    Graph,
    build_graph,
    calibrate,
    graph_available,
)
from shoplens.errors import CatalogError, MissingError

N, D = 3000, 24

needs_faiss = pytest.mark.skipif(
    not graph_available(), reason="FAISS is not installed, or has no wheel for this platform"
)


def made(n: int = N, seed: int = 0) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 10, D))
    vectors = np.repeat(centres, 10, axis=0) + 0.5 * rng.standard_normal((n, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def matrix() -> npt.NDArray[np.float16]:
    return made()


@pytest.fixture(scope="module")
def folder(matrix: npt.NDArray[np.float16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "graph"
    build_graph(matrix, path)
    return path


@pytest.fixture
def graph(folder: Path) -> Iterator[Graph]:
    graph = Graph.open(folder, N, D)
    yield graph
    graph.close()


@needs_faiss
def test_every_vector_finds_itself(graph: Graph, matrix: npt.NDArray[np.float16]) -> None:
    wide = matrix.astype(np.float32)
    n_first = sum(int(graph.search(query, 1, 100)[0]) == row for row, query in enumerate(wide))
    assert n_first == N


@needs_faiss
def test_the_nearest_are_found_best_first(graph: Graph, matrix: npt.NDArray[np.float16]) -> None:
    wide = matrix.astype(np.float32)
    n_found = 0
    for query in wide[:50]:
        scores = wide @ query
        found = graph.search(query, 20, 200)
        assert found.dtype == np.int64
        assert len(found) == len(set(found.tolist())) == 20
        assert (np.diff(scores[found]) <= 1e-6).all()
        n_found += len(np.intersect1d(found, np.argsort(-scores)[:20]))
    assert n_found / (50 * 20) > 0.98


@needs_faiss
def test_k_can_be_more_than_ef_and_than_there_are(
    graph: Graph, matrix: npt.NDArray[np.float16]
) -> None:
    query = matrix[0].astype(np.float32)
    assert len(graph.search(query, 500, 1)) == 500
    assert N * 0.99 < len(graph.search(query, 2 * N, 1)) <= N


@needs_faiss
def test_a_mapped_matrix_and_progress(matrix: npt.NDArray[np.float16], tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", matrix)
    told = []
    build_graph(
        np.load(tmp_path / "vectors.npy", mmap_mode="r"),
        tmp_path / "graph",
        lambda *step: told.append(step),
    )
    assert told[-1] == ("index", N, N)
    graph = Graph.open(tmp_path / "graph", N, D)
    assert graph.search(matrix[7].astype(np.float32), 1, 50).tolist() == [7]
    graph.close()


@needs_faiss
def test_other_processes_read_the_same_unchanging_file(
    graph: Graph, folder: Path, matrix: npt.NDArray[np.float16]
) -> None:
    [file] = folder.iterdir()
    before = file.read_bytes()
    program = f"""
import numpy as np
from pathlib import Path
from shoplens.catalog.embedded.graphs import Graph
graph = Graph.open(Path({str(folder)!r}), {N}, {D})
print(graph.search(np.array({matrix[11].astype(float).tolist()}, np.float32), 5, 100).tolist())
graph.close()
"""
    ours = graph.search(matrix[11].astype(np.float32), 5, 100).tolist()
    readers = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for reader in readers:
        output, _ = reader.communicate()
        assert reader.returncode == 0
        assert json.loads(output) == ours
    assert file.read_bytes() == before


@needs_faiss
def test_threads_search_at_the_same_time(graph: Graph, matrix: npt.NDArray[np.float16]) -> None:
    queries = matrix[:100].astype(np.float32)
    expected = [graph.search(query, 10, 50).tolist() for query in queries]
    wrong = []

    def search() -> None:
        found = [graph.search(query, 10, 50).tolist() for query in queries]
        wrong.extend(pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1])

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_faiss
@pytest.mark.parametrize("damage", ["no folder", "no file", "empty", "cut", "another file"])
def test_a_damaged_folder_is_refused(damage: str, folder: Path, tmp_path: Path) -> None:
    [file] = folder.iterdir()
    copy = tmp_path / "graph"
    if damage != "no folder":
        copy.mkdir()
        content = file.read_bytes()
        changed = {
            "empty": b"",
            "cut": content[: len(content) // 2],
            "another file": b"not an index at all" * 1000,
        }
        if damage in changed:
            (copy / file.name).write_bytes(changed[damage])
    with pytest.raises(CatalogError, match="cannot be read"):
        Graph.open(copy, N, D)


@needs_faiss
def test_the_index_of_other_vectors_is_refused(folder: Path) -> None:
    for n, d in ((N + 1, D), (N, D + 1)):
        with pytest.raises(CatalogError, match=f"holds 3,000 vectors of {D} dimensions"):
            Graph.open(folder, n, d)


@needs_faiss
def test_a_closed_index_says_so(folder: Path, matrix: npt.NDArray[np.float16]) -> None:
    graph = Graph.open(folder, N, D)
    graph.close()
    graph.close()
    with pytest.raises(CatalogError, match="closed"):
        graph.search(matrix[0].astype(np.float32), 1, 10)


@needs_faiss
def test_what_cannot_be_written_says_so(matrix: npt.NDArray[np.float16], tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be written"):
        build_graph(matrix[:10], tmp_path / "nowhere" / "graph")


@needs_faiss
def test_calibration_measures_recall_and_time(
    graph: Graph, matrix: npt.NDArray[np.float16]
) -> None:
    calibration = calibrate(graph, matrix)
    assert calibration.n_rows == N
    assert list(calibration.efs) == sorted(calibration.efs)
    assert len(calibration.efs) == len(calibration.recalls) == len(calibration.milliseconds)
    assert calibration.recalls[-1] > 0.98
    assert calibration.exact_nanoseconds > 0
    assert min(calibration.milliseconds) > 0
    assert json.loads(json.dumps(asdict(calibration)))["n_rows"] == N


@needs_faiss
@pytest.mark.parametrize("n", [1, 10, 40])
def test_an_index_of_few_vectors(n: int, tmp_path: Path) -> None:
    few = made(50)[:n]
    build_graph(few, tmp_path / "graph")
    graph = Graph.open(tmp_path / "graph", n, D)
    assert sorted(graph.search(few[0].astype(np.float32), 100, 10).tolist()) == list(range(n))
    assert calibrate(graph, few).ef_for(0.99) == 100
    graph.close()


def test_ef_is_chosen_from_a_calibration() -> None:
    calibration = Calibration(5000, (100, 200, 400), (0.9, 0.95, 0.99), (1.0, 2.0, 4.0), 50.0)
    assert calibration.ef_for(0.9) == 100
    assert calibration.ef_for(0.91) == 200
    assert calibration.ef_for(0.99) == 400
    assert calibration.ef_for(0.999) == 5000
    assert calibration.milliseconds_at(50) == 1.0
    assert calibration.milliseconds_at(300) == 3.0
    assert calibration.milliseconds_at(5000) == 50.0


def test_without_the_extra_it_is_named(
    monkeypatch: pytest.MonkeyPatch, matrix: npt.NDArray[np.float16], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingError, match=r"shoplens\[ann\]"):
        build_graph(matrix, tmp_path / "graph")
    with pytest.raises(MissingError, match=r"shoplens\[ann\]"):
        Graph.open(tmp_path / "graph", N, D)
