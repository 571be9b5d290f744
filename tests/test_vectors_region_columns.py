from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalog_engines import MODEL, shop, units, with_regions
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import shoplens
from shoplens import Box, Embeddings, Photo, PhotoSet, open_catalog
from shoplens.catalog import export_catalog
from shoplens.errors import RankingError
from shoplens.records import Failure
from shoplens.regions.embedding import first_regions
from shoplens.vectors.regions import PhotoRegions, RegionVectors

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")


def made(counts: Sequence[int], seed: int = 0) -> Embeddings:
    """Return n photos of four dimensions, with so many regions each."""
    photos = PhotoSet(Photo(n, f"{n}.jpg", Path(f"{n}.jpg"), "seller") for n in range(len(counts)))
    vectors = units(len(counts) + sum(counts), seed, dimension=4)
    rest = iter(vectors[len(counts) :])
    regions = [
        PhotoRegions(
            3,
            tuple(Box(place, n, place + 5, n + 7) for place in range(count)),
            np.array([next(rest) for _ in range(count)], np.float32).reshape(-1, 4),
        )
        for n, count in enumerate(counts)
    ]
    return Embeddings(
        photos.ids,
        vectors[: len(counts)],
        model_name="toy",
        fingerprint="f",
        photos=photos,
        regions=RegionVectors.of(3, 4, regions),
    )


def assert_same_regions(found: Embeddings, expected: Embeddings) -> None:
    assert found.regions is not None
    assert expected.regions is not None
    assert found.regions.limit == expected.regions.limit
    np.testing.assert_array_equal(found.regions.starts, expected.regions.starts)
    np.testing.assert_array_equal(found.regions.boxes, expected.regions.boxes)
    np.testing.assert_array_equal(found.regions.vectors, expected.regions.vectors)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms())
def test_a_file_keeps_the_regions_of_any_photos(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], random: object
) -> None:
    gallery = made(counts)
    assert gallery.photos is not None
    file = tmp_path_factory.mktemp("vectors") / "v.parquet"
    gallery.save(file, gallery.photos)
    assert_same_regions(Embeddings.load(file, gallery.photos), gallery)
    # Some of the photos, in another order, with one that the file does not know.
    rows = list(range(len(counts)))
    random.shuffle(rows)  # type: ignore[attr-defined]
    rows = rows[: max(1, len(rows) // 2)]
    stranger = Photo(99, "99.jpg", Path("99.jpg"), "seller")
    some = PhotoSet([*(gallery.photos[row] for row in rows), stranger])
    found = Embeddings.load(file, some).regions
    assert found is not None
    assert gallery.regions is not None
    for place, row in enumerate(rows):
        assert found.of_photo(place) == gallery.regions.of_photo(row)
    assert found.of_photo(len(rows)).boxes == ()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 4))
def test_the_first_regions_are_those_of_each_photo(counts: list[int], n: int) -> None:
    gallery = made(counts)
    found = first_regions(gallery, n)
    assert found.n_regions == min(n, 3)
    for row, count in enumerate(counts):
        if found.regions is not None:
            assert gallery.regions is not None
            own, all_of_it = found.regions.of_photo(row), gallery.regions.of_photo(row)
            assert own.boxes == all_of_it.boxes[:n]
            assert len(own.boxes) == min(n, count)
            np.testing.assert_array_equal(own.vectors, all_of_it.vectors[:n])


def test_a_photo_that_failed_has_none(tmp_path: Path) -> None:
    gallery = made([1, 0, 2])
    assert gallery.photos is not None
    failed = Failure(1, 1, "1.jpg", "corrupt", "")
    gallery = replace(gallery, failures=(failed,))
    gallery.save(tmp_path / "v.parquet", gallery.photos)
    loaded = Embeddings.load(tmp_path / "v.parquet", gallery.photos)
    assert [failure.row for failure in loaded.failures] == [1]
    assert_same_regions(loaded, gallery)


def test_a_bare_array_has_no_place_for_them(tmp_path: Path) -> None:
    gallery = made([1, 2])
    assert gallery.photos is not None
    with pytest.raises(RankingError, match=r"a \.npy has no place for vectors of regions"):
        gallery.save(tmp_path / "v.npy", gallery.photos)
    assert not (tmp_path / "v.npy").exists()
    first_regions(gallery, 0).save(tmp_path / "v.npy", gallery.photos)


def test_an_exported_catalogue_has_them(tmp_path: Path) -> None:
    entries = with_regions(shop(30))
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(MODEL)
        catalog.upsert(entries)
        export_catalog(catalog, tmp_path / "all.parquet")
        query = units(1, seed=4)[0]
        expected = catalog.search(vector=query, k=30)
    photos = PhotoSet(
        Photo(int(entry.photo_id), entry.path, Path(entry.path), "seller") for entry in entries
    )
    # Their files are not there, so nothing says that they were changed.
    loaded = Embeddings.load(tmp_path / "all.parquet", photos)
    ranking = shoplens.rank(query, loaded)
    assert ranking.ids[0].tolist() == [hit.photo_id for hit in expected]
    assert ranking.scores is not None
    np.testing.assert_allclose(ranking.scores[0], [hit.score for hit in expected], atol=1e-6)
    assert ranking.chain == ("exact", "regions(3)")


@pytest.mark.parametrize(
    ("column", "change", "problem"),
    [
        ("region_vectors", lambda cell: [2 * number for number in cell], "not of unit length"),
        ("region_vectors", lambda cell: cell[:-1], "must hold lists of 4 numbers"),
        ("region_boxes", lambda cell: cell[:-4], "as many region_boxes as region_vectors"),
    ],
)
def test_a_faulty_file_is_refused(
    tmp_path: Path, column: str, change: Callable[[list[float]], list[float]], problem: str
) -> None:
    import pyarrow

    gallery, file = made([2, 1]), tmp_path / "v.parquet"
    assert gallery.photos is not None
    gallery.save(file, gallery.photos)
    table = parquet.read_table(file)
    cells = table[column].to_pylist()
    cells[0] = change(cells[0])
    place = table.column_names.index(column)
    array = pyarrow.array(cells, table.schema.field(place).type)
    parquet.write_table(table.set_column(place, column, array), file)
    with pytest.raises(RankingError, match=problem):
        Embeddings.load(file, gallery.photos)


def test_saved_vectors_are_ranked_again_with_their_regions(
    run: Run, make_dataset: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    root, model, saved = make_dataset(), make_model(), tmp_path / "saved"
    words = ("rank", root, "--model", model, "--json", "-")
    first = run(*words, "--regions", "2", "--save-vectors", saved, "-o", tmp_path / "a.npz")
    assert first.json["chain"] == ["exact", "regions(2)"]
    one = run(*words, "--regions", "1", "-o", tmp_path / "one.npz")
    assert one.json["chain"] == ["exact", "regions(1)"]
    given = ("--gallery-vectors", saved / "gallery.parquet", "--query-vectors",
             saved / "queries.parquet", "--json", "-")  # fmt: skip
    # Nothing is embedded: a model that is not there is not missed.
    nowhere = ("rank", root, "--model", tmp_path / "none", *given)
    queries = shoplens.read_dataset(root).queries.ids
    for n, name, expected in (("2", "b", "a"), ("1", "c", "one")):
        again = run(*nowhere, "--regions", n, "-o", tmp_path / f"{name}.npz")
        assert again.json["chain"] == ["exact", f"regions({n})"]
        found, same = (
            shoplens.Ranking.load(tmp_path / f"{each}.npz", queries) for each in (name, expected)
        )
        np.testing.assert_array_equal(found.ids, same.ids)
        np.testing.assert_array_equal(found.scores, same.scores)
    plain = run(*nowhere, "-o", tmp_path / "d.npz")
    assert plain.json["chain"] == ["exact"]
    # For more than the file has, photos are embedded.
    more = run("rank", root, "--model", model, *given, "--regions", "3", "-o", tmp_path / "e.npz")
    assert more.json["chain"] == ["exact", "regions(3)"]
    shown = run(
        "search", root / "queries" / "0.png", "--gallery", root, "--model", model, "--json", "-",
        "--gallery-vectors", saved / "gallery.parquet",
    )  # fmt: skip
    assert all("region" not in hit for hit in shown.json["hits"])
