from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import picture

from shoplens import PhotoSet, read_gallery
from shoplens.distributed.by_file import cut_by_file
from shoplens.distributed.on_ray import embed_on_ray
from shoplens.distributed.packing import pack_model
from shoplens.distributed.partitions import cut
from shoplens.errors import DataError, MissingError
from shoplens.vectors.part_folder import PartFolder


def write(file: Path, first: int, n_rows: int, id_column: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture(0).save(file.parent / "photo.png")
    data = (file.parent / "photo.png").read_bytes()
    (file.parent / "photo.png").unlink()
    rows = [{"image": data, id_column or "number": 1000 - i} for i in range(first, first + n_rows)]
    pq.write_table(pa.Table.from_pylist(rows), file)


@pytest.mark.parametrize("id_column", ["photo_id", "seller_img_id", "number", ""])
def test_rows_are_numbered_as_those_of_the_whole_folder(tmp_path: Path, id_column: str) -> None:
    write(tmp_path / "b.parquet", 0, 3, id_column)
    write(tmp_path / "a" / "z.parquet", 3, 2, id_column)
    write(tmp_path / "_notes" / "x.parquet", 5, 2, id_column)
    columns = {"seller_img_id": "number"} if id_column == "number" else {}
    pieces = cut_by_file(tmp_path, columns)
    assert [(p.number, p.first_row, p.n_photos) for p in pieces] == [(0, 0, 2), (1, 2, 3)]
    (tmp_path / "_notes" / "x.parquet").unlink()
    ids = [photo.id for piece in pieces for photo in piece.source.photos()]
    assert ids == read_gallery(tmp_path, columns=columns).ids.tolist()


def test_a_folder_without_parquet_files_is_refused(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "0.png")
    with pytest.raises(DataError, match="holds no Parquet file"):
        cut_by_file(tmp_path)
    (tmp_path / "gallery.csv").touch()
    with pytest.raises(DataError, match="is not a folder"):
        cut_by_file(tmp_path / "gallery.csv")
    with pytest.raises(MissingError):
        cut_by_file(tmp_path / "nowhere")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet file"):
        cut_by_file(tmp_path)


def test_without_ray_its_install_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    packed, _ = pack_model()
    with pytest.raises(MissingError, match=r"pip install 'shoplens\[ray\]'"):
        embed_on_ray(cut(PhotoSet([])), packed, 512, PartFolder(tmp_path / "parts"), name="x")
    assert not (tmp_path / "parts").exists()
