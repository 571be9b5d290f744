"""Migration to another model: complete, resumable, and switched at once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from conftest import picture

from shoplens import (
    CatalogError,
    Encoder,
    Photo,
    PhotoSet,
    embed,
    load_encoder,
    open_catalog,
)
from shoplens.catalog import Catalog, Entry, FailedPhoto, ModelStamp
from shoplens.catalog.migration import migrate
from shoplens.errors import ModelError

N = 8

MakeModel = Callable[..., Path]


@pytest.fixture
def old(make_model: MakeModel) -> Encoder:
    return load_encoder(make_model("old"))


@pytest.fixture
def new(make_model: MakeModel) -> Encoder:
    return load_encoder(make_model("new", mean=[90.0, 120.0, 150.0]))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number in range(N):
        picture(number).save(folder / name_of(number))
    return folder


def name_of(number: int) -> str:
    return f"sub/{number}.png" if number % 2 else f"{number}.png"


def embedded(folder: Path, numbers: range, encoder: Encoder) -> list[Entry]:
    names = [name_of(number) for number in numbers]
    taken = PhotoSet(
        Photo(number, name, folder / name, "seller")
        for number, name in zip(numbers, names, strict=True)
    )
    made = embed(taken, encoder, cache=False)
    return [
        Entry(
            name,
            vector,
            f"p{number // 2}",
            name,
            str(folder),
            hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            attributes={"number": number, "colour": None},
            stamp="as it was",
        )
        for number, name, vector in zip(numbers, names, made.vectors, strict=True)
    ]


@pytest.fixture
def shop(tmp_path: Path, photos: Path, old: Encoder) -> Path:
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(stamp(old))
        catalog.upsert(embedded(photos, range(N), old))
        catalog.record_failures([FailedPhoto("torn.png", "torn.png", str(photos), "corrupt", "x")])
    return tmp_path / "shop"


def stamp(encoder: Encoder) -> ModelStamp:
    return ModelStamp(encoder.name, encoder.fingerprint, encoder.dimension)


def held(catalog: Catalog) -> tuple[object, ...]:
    return (
        catalog.model,
        [(entry.facts(), entry.stamp, entry.vector.tobytes()) for entry in catalog.entries()],
        list(catalog.failures()),
    )


def test_every_photo_is_embedded_again_and_nothing_else_changes(
    shop: Path, photos: Path, old: Encoder, new: Encoder
) -> None:
    with open_catalog(shop) as catalog:
        before = list(catalog.entries())
        report = migrate(catalog, new)
        after = list(catalog.entries())
        assert catalog.model == stamp(new)
        assert [e.facts() for e in after] == [e.facts() for e in before]
        assert [e.stamp for e in after] == [e.stamp for e in before]
        expected = embedded(photos, range(N), new)
        assert [e.vector.tolist() for e in after] == [e.vector.tolist() for e in expected]
        assert [failed.photo_id for failed in catalog.failures()] == ["torn.png"]
        assert catalog.search(vector=expected[3].vector)[0].photo_id == name_of(3)
        with pytest.raises(ModelError, match="cannot be compared"):
            catalog.require_model(old)
        assert catalog.verify().ok
    assert report.to_json() == {
        "switched": True,
        "old": {"name": "old", "fingerprint": old.fingerprint},
        "new": {"name": "new", "fingerprint": new.fingerprint},
        "n_photos": N,
        "n_cached": 0,
        "n_changed": 0,
        "n_failed": 0,
        "failed_photos": [],
    }


def test_a_photo_that_is_gone_stops_the_switch(shop: Path, photos: Path, new: Encoder) -> None:
    (photos / name_of(3)).unlink()
    with open_catalog(shop) as catalog:
        before = held(catalog)
        report = migrate(catalog, new)
        assert not report.switched
        assert [(f.photo_id, f.reason) for f in report.failed] == [(name_of(3), "missing")]
        assert held(catalog) == before
        # When it is back, the others come from the cache.
        picture(3).save(photos / name_of(3))
        report = migrate(catalog, new)
        assert (report.switched, report.n_photos, report.n_cached) == (True, N, N - 1)


def test_failures_can_be_allowed(shop: Path, photos: Path, new: Encoder) -> None:
    (photos / name_of(3)).write_bytes(b"no image")
    with open_catalog(shop) as catalog:
        report = migrate(catalog, new, allow_failures=True)
        assert report.switched
        assert (report.n_photos, len(report.failed)) == (N - 1, 1)
        assert catalog.get(name_of(3)) is None
        failed = {one.photo_id: one for one in catalog.failures()}
        assert failed.keys() == {"torn.png", name_of(3)}
        assert failed[name_of(3)].reason == "not_an_image"
        assert failed[name_of(3)].product_id == "p1"
        assert dict(failed[name_of(3)].attributes) == {"number": 3, "colour": None}


def test_other_bytes_are_counted(shop: Path, photos: Path, new: Encoder) -> None:
    picture(99).save(photos / name_of(2))
    with open_catalog(shop) as catalog:
        assert migrate(catalog, new).n_changed == 1
        entry = catalog.get(name_of(2))
        assert entry is not None
        digest = hashlib.sha256((photos / name_of(2)).read_bytes()).hexdigest()
        assert (entry.sha256, entry.stamp) == (digest, "")


def test_what_was_stopped_resumes(shop: Path, new: Encoder) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with open_catalog(shop) as catalog:
        before = held(catalog)
        with pytest.raises(KeyboardInterrupt):
            migrate(catalog, new, progress=stop, workers=1)
        assert held(catalog) == before
        report = migrate(catalog, new, workers=1)
        assert report.switched
        assert report.n_cached >= 5


def test_searches_go_on_with_the_old_model_until_the_switch(
    shop: Path, old: Encoder, new: Encoder
) -> None:
    stages = set()

    with open_catalog(shop) as catalog, open_catalog(shop, read_only=True) as reader:
        first = next(reader.entries())

        def look(stage: str, done: int, total: int) -> None:
            stages.add(stage)
            assert reader.model == stamp(old)
            assert reader.search(vector=first.vector)[0].score == pytest.approx(1)

        migrate(catalog, new, progress=look)
        assert stages == {"embed", "switch"}
        assert reader.model == stamp(new)


def test_photos_that_were_put_in_meanwhile_are_embedded(
    shop: Path, photos: Path, old: Encoder, new: Encoder
) -> None:
    picture(N).save(photos / name_of(N))
    more = embedded(photos, range(N, N + 1), old)

    with open_catalog(shop) as catalog:

        def put_in(stage: str, done: int, total: int) -> None:
            if stage == "embed" and done == total == N:
                catalog.upsert(more)
                catalog.delete([name_of(0)])

        report = migrate(catalog, new, progress=put_in)
        assert catalog.ids() == [name_of(number) for number in range(1, N + 1)]
        [expected] = embedded(photos, range(N, N + 1), new)
        assert catalog.get(name_of(N)) == expected
    assert report.n_photos == N


def test_a_photo_that_vanishes_just_before_the_switch_changes_nothing(
    shop: Path, photos: Path, new: Encoder
) -> None:
    def remove(stage: str, done: int, total: int) -> None:
        if stage == "embed" and done == total:
            (photos / name_of(5)).unlink()

    with open_catalog(shop) as catalog:
        before = held(catalog)
        with pytest.raises(CatalogError, match="Nothing was changed"):
            migrate(catalog, new, progress=remove)
        assert held(catalog) == before


def test_a_kill_during_the_switch_changes_nothing(shop: Path, new: Encoder, tmp_path: Path) -> None:
    code = """
        import os, sys
        from shoplens import load_encoder, open_catalog
        from shoplens.catalog.migration import migrate

        def die(stage, done, total):
            if stage == "switch" and done == 6:
                os._exit(9)

        migrate(open_catalog(sys.argv[1]), load_encoder(sys.argv[2]), progress=die)
        """
    model = tmp_path / "models" / "new"
    with open_catalog(shop, read_only=True) as reader:
        before = held(reader)
        done = subprocess.run(
            [sys.executable, "-c", dedent(code), str(shop), str(model)], check=False
        )
        assert done.returncode == 9
        assert held(reader) == before
    with open_catalog(shop) as catalog:
        assert catalog.verify().ok
        assert migrate(catalog, new).switched
        assert catalog.verify().ok


def test_photos_without_a_source_cannot_be_found(shop: Path, new: Encoder) -> None:
    with open_catalog(shop) as catalog:
        entry = next(catalog.entries())
        catalog.upsert([replace(entry, photo_id="loose", path="loose.png", source="")])
        report = migrate(catalog, new)
        assert not report.switched
        assert [(f.photo_id, f.reason) for f in report.failed] == [("loose", "missing")]


def test_photos_of_a_table_of_columns_are_found(
    tmp_path: Path, photos: Path, old: Encoder, new: Encoder
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = [name_of(number) for number in range(N)]
    columns = {
        "photo_id": list(range(N)),
        "path": names,
        "image": [(photos / name).read_bytes() for name in names],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "table.parquet")
    entries = [
        replace(entry, photo_id=number, source=str(tmp_path / "table.parquet"))
        for number, entry in enumerate(embedded(photos, range(N), old))
    ]
    with open_catalog(tmp_path / "shop", create=True) as catalog:
        catalog.set_model(stamp(old))
        catalog.upsert(entries)
        report = migrate(catalog, new)
        assert (report.switched, report.n_photos, report.n_changed) == (True, N, 0)
        expected = embedded(photos, range(N), new)
        found = np.stack([entry.vector for entry in catalog.entries()])
        np.testing.assert_array_equal(found, np.stack([entry.vector for entry in expected]))


def test_there_must_be_something_to_migrate(
    tmp_path: Path, shop: Path, old: Encoder, new: Encoder
) -> None:
    with open_catalog(shop) as catalog, pytest.raises(CatalogError, match=r"is of old .* already"):
        migrate(catalog, old)
    with (
        open_catalog(tmp_path / "empty", create=True) as empty,
        pytest.raises(CatalogError, match="is empty"),
    ):
        migrate(empty, new)
