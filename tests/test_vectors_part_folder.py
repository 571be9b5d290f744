from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from shoplens import Embeddings, PhotoSet
from shoplens.errors import RankingError, ShoplensError
from shoplens.records import Photo
from shoplens.vectors.part_folder import FailedRow, Manifest, PartFolder, PartRecord
from shoplens.vectors.writing import VectorFileInfo, VectorRow

INFO = VectorFileInfo(2, 3, "toy", "f" * 16)
MANIFEST = Manifest(4, 2, 1, 3, "toy", "f" * 16)


def photo(number: int) -> Photo:
    return Photo(number, f"{number}.jpg", Path(f"{number}.jpg"), "seller")


def write(folder: PartFolder, number: int, info: VectorFileInfo = INFO) -> PartRecord:
    with folder.writing_part(number, info) as writer:
        for i in (2 * number, 2 * number + 1):
            writer.add(VectorRow(photo(i), np.eye(3, dtype=np.float32)[i % 3], "00", ""))
    failed = FailedRow(1, 2 * number + 1, "1.jpg", "corrupt", "how")
    record = PartRecord(
        number, info.fingerprint or "", "rows", 2, folder.size_of_part(number), 0, (failed,)
    )
    folder.put_record(record)
    return record


@pytest.fixture(params=["path", "url"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> PartFolder:
    place = tmp_path / "parts"
    made = PartFolder(place if request.param == "path" else place.as_uri())
    made.begin()
    return made


def test_a_folder_is_complete_once_its_manifest_is_there(
    folder: PartFolder, tmp_path: Path
) -> None:
    for number in range(2):
        write(folder, number)
    with pytest.raises(RankingError, match="Run the same command again"):
        folder.read_all()
    folder.finish(MANIFEST)
    assert folder.manifest() == MANIFEST
    assert folder.read_all()["photo_id"].to_pylist() == [0, 1, 2, 3]
    # A new run makes it incomplete until it is done.
    folder.begin()
    assert folder.manifest() is None


def test_a_record_counts_as_long_as_its_part_is_there(folder: PartFolder, tmp_path: Path) -> None:
    assert folder.record(0) is None
    record = write(folder, 0)
    assert folder.record(0) == record
    folder.drop_record(0)
    folder.drop_record(0)
    assert folder.record(0) is None
    write(folder, 0)
    (tmp_path / "parts" / "part-000000.parquet").write_bytes(b"another")
    assert folder.record(0) is None
    write(folder, 0)
    (tmp_path / "parts" / "part-000000.parquet").unlink()
    assert folder.record(0) is None


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"format": 2}', '{"format": 1}'])
def test_a_damaged_record_is_none(folder: PartFolder, tmp_path: Path, text: str) -> None:
    write(folder, 0)
    (tmp_path / "parts" / "_records" / "part-000000.json").write_text(text)
    assert folder.record(0) is None


def test_a_part_is_there_whole_or_not_at_all(folder: PartFolder, tmp_path: Path) -> None:
    write(folder, 0)
    before = (tmp_path / "parts" / "part-000000.parquet").read_bytes()

    def stopped() -> None:
        with folder.writing_part(0, INFO) as writer:
            writer.add(VectorRow(photo(0), None, None, "missing"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / "parts" / "part-000000.parquet").read_bytes() == before
    assert not list((tmp_path / "parts").glob(".*"))


def test_what_more_partitions_left_is_removed(folder: PartFolder, tmp_path: Path) -> None:
    for number in range(3):
        write(folder, number)
    (tmp_path / "parts" / ".part-000001.parquet.01234567.part").write_bytes(b"of a killed writer")
    folder.begin()
    folder.finish(MANIFEST)
    left = sorted(p.relative_to(tmp_path / "parts").as_posix() for p in tmp_path.rglob("*.*"))
    assert left == [
        "_manifest.json",
        "_records/part-000000.json", "_records/part-000001.json",
        "part-000000.parquet", "part-000001.parquet",
    ]  # fmt: skip


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ShoplensError, match=r"holds letter\.txt"):
        PartFolder(tmp_path).begin()


def test_parts_of_two_models_are_refused(folder: PartFolder, tmp_path: Path) -> None:
    write(folder, 0)
    write(folder, 1, VectorFileInfo(2, 3, "other", "0" * 16))
    folder.finish(MANIFEST)
    with pytest.raises(RankingError, match="from 2 models"):
        folder.read_all()


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    folder = PartFolder(tmp_path / "parts")
    folder.begin()
    write(folder, 0)
    folder.finish(MANIFEST)
    with pytest.raises(RankingError, match=r"part-000001\.parquet cannot be read"):
        Embeddings.load(tmp_path / "parts", PhotoSet([photo(0)]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n_photos": 1}', "missing required field"),
        ('{"model": ' + "[" * 100_000, "nested too deeply|Expected `str`"),
        ('{"n_photos": "1"', "Expected `int`"),
        ("{", "is not JSON"),
    ],
)
def test_a_damaged_manifest_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "_manifest.json").write_text(text)
    with pytest.raises(RankingError, match=rf"_manifest\.json.* ({said})"):
        PartFolder(tmp_path).manifest()


@pytest.mark.parametrize("text", ["{", "[1]", '{"format": 1}', '{"a": ' + "[" * 100_000])
def test_a_damaged_record_is_made_again(folder: PartFolder, tmp_path: Path, text: str) -> None:
    write(folder, 0)
    (record,) = tmp_path.glob("parts/_records/*.json")
    record.write_text(text)
    assert folder.record(0) is None


def test_what_a_killed_writer_left_is_no_stranger(folder: PartFolder, tmp_path: Path) -> None:
    place = tmp_path / "parts"
    for name in (".part-000000.parquet.0123abcd.part", "._manifest.json.0123abcd.part"):
        (place / name).touch()
    folder.begin()
    write(folder, 0)
    write(folder, 1)
    folder.finish(MANIFEST)
    assert not list(place.glob("*.part"))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShoplensError, match="cannot write"):
        PartFolder(tmp_path / "file" / "parts").begin()


def test_it_travels(folder: PartFolder) -> None:
    write(folder, 0)
    assert pickle.loads(pickle.dumps(folder)).record(0) == folder.record(0)
