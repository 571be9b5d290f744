from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Run

from shoplens import Embeddings, read_gallery
from shoplens.errors import MissingError, RankingError, ShoplensError
from shoplens.vectors.lance import read_lance, require_lance, write_lance


def batch(*ids: int) -> Any:
    schema = pa.schema([("photo_id", pa.int32())], metadata={b"shoplens": b"{}"})
    return pa.RecordBatch.from_arrays([pa.array(ids, pa.int32())], schema=schema)


def test_without_lance_its_install_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(MissingError, match=r"pip install 'shoplens\[lance\]'"):
        require_lance(tmp_path / "v.lance")


@pytest.fixture
def lance() -> Any:
    return pytest.importorskip("lance", reason="needs the extra [lance]; `make.py ray` has it")


@pytest.mark.usefixtures("lance")
def test_batches_come_back_in_order_with_their_metadata(tmp_path: Path) -> None:
    path = tmp_path / "v.lance"
    write_lance(iter([batch(), batch(3, 1), batch(), batch(2)]), path)
    table = read_lance(path)
    assert table["photo_id"].to_pylist() == [3, 1, 2]
    assert table.schema.metadata == {b"shoplens": b"{}"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.lance"]


@pytest.mark.usefixtures("lance")
def test_an_earlier_dataset_is_replaced_or_left(tmp_path: Path) -> None:
    path = tmp_path / "v.lance"
    write_lance(iter([batch(1)]), path)
    write_lance(iter([batch(2), batch(3)]), path)
    assert read_lance(path)["photo_id"].to_pylist() == [2, 3]

    def broken() -> Iterator[Any]:
        yield batch(4)
        raise OSError(28, "No space left on device")

    with pytest.raises(ShoplensError, match=r"cannot write .*No space left"):
        write_lance(broken(), path)
    assert read_lance(path)["photo_id"].to_pylist() == [2, 3]
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.lance"]


@pytest.mark.usefixtures("lance")
def test_what_is_no_dataset_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "v.lance").mkdir()
    (tmp_path / "v.lance" / "letter.txt").write_text("dear")
    with pytest.raises(ShoplensError, match="is not a Lance dataset"):
        write_lance(iter([batch(1)]), tmp_path / "v.lance")
    with pytest.raises(RankingError, match="is not a Lance dataset"):
        read_lance(tmp_path / "v.lance")
    with pytest.raises(MissingError, match="does not exist"):
        require_lance(tmp_path / "nowhere" / "v.lance")


@pytest.mark.usefixtures("lance")
def test_embed_writes_vectors_that_rank_as_those_of_parquet(
    run: Run, make_dataset: Callable[..., Path], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    data, toy = make_dataset(), make_model()
    photos = read_gallery(data)
    photos[1].path.write_bytes(b"no picture")
    loaded = []
    for suffix in ("parquet", "lance"):
        output = tmp_path / f"v.{suffix}"
        assert run("embed", data, "-o", output, "--model", toy).code == 0
        loaded.append(Embeddings.load(output, photos))
    one, other = loaded
    np.testing.assert_array_equal(one.vectors, other.vectors)
    assert one.fingerprint == other.fingerprint
    assert one.failures_by_reason() == other.failures_by_reason() == {"not_an_image": 1}
