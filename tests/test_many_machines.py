from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Run, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture(0).save(folder / "0.png")
    return folder


@pytest.mark.parametrize(
    "words", [["--by-file"], ["--address", "head:6379"], ["--partition-rows", "9"]]
)
def test_options_of_ray_need_it(run: Run, photos: Path, tmp_path: Path, words: list[str]) -> None:
    result = run("embed", photos, "-o", tmp_path / "v.npy", *words)
    assert result.code == 2
    assert f"{words[0]} needs --engine ray" in result.err


def test_files_are_partitions_or_rows_are(run: Run, photos: Path, tmp_path: Path) -> None:
    words = ("--engine", "ray", "--by-file", "--partition-rows", "9")
    assert run("embed", photos, "-o", tmp_path / "parts", *words).code == 2
    words = ("--engine", "ray", "--by-file", "--queries")
    assert run("embed", photos, "-o", tmp_path / "parts", *words).code == 2


@pytest.mark.parametrize("name", ["v.npy", "v.parquet"])
def test_many_machines_write_no_single_file(
    run: Run, photos: Path, tmp_path: Path, name: str
) -> None:
    result = run("embed", photos, "-o", tmp_path / name, "--engine", "ray")
    assert result.code == 2
    assert "name a folder" in " ".join(result.err.split())


def test_many_machines_compute_on_processors(run: Run, photos: Path, tmp_path: Path) -> None:
    words = ("--engine", "ray", "--device", "cuda")
    result = run("embed", photos, "-o", tmp_path / "parts", *words)
    assert result.code == 2
    assert "models run on cpu only" in result.err


def test_without_ray_its_install_line_is_told(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("embed", photos, "-o", tmp_path / "parts", "--engine", "ray")
    assert result.code == 3
    assert "pip install 'shoplens[ray]'" in result.err
    assert not (tmp_path / "parts").exists()
