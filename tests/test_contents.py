"""What a submission may hold, and removing what one may have left."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_folders import make_deep

from shoplens.challenge import contents as bounds
from shoplens.challenge.contents import contents, require_bounded
from shoplens.challenge.removal import remove_folder
from shoplens.errors import DataError


def test_a_folder_comes_before_what_is_in_it_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/c/d.txt", "b/a.txt", "a.txt", ".git/HEAD", "b/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "c").symlink_to("b")
    (tmp_path / "b" / ".git").write_text("gitdir: ../.git")  # A file of this name is kept.
    names = [path.relative_to(tmp_path).as_posix() for path in contents(tmp_path)]
    assert names == ["a.txt", "b", "c", "b/.git", "b/a.txt", "b/c", "b/c/d.txt"]


@pytest.mark.parametrize(
    ("bound", "value", "problem"),
    [
        ("MAX_DEPTH", 2, "more than 2 deep"),
        ("MAX_FILES", 3, "more than 3 files"),
        ("MAX_BYTES", 9, "larger than"),
        ("MAX_PATH_BYTES", 7, "longer than 7 bytes"),
    ],
)
def test_each_bound_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, problem: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(5))
    (tmp_path / "more").write_bytes(bytes(5))
    require_bounded(tmp_path)
    monkeypatch.setattr(bounds, bound, value)
    with pytest.raises(DataError, match=problem):
        require_bounded(tmp_path)


def test_a_sparse_file_counts_with_its_whole_size(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as stream:
        stream.truncate(bounds.MAX_BYTES + 1)
    with pytest.raises(DataError, match="larger than 20 GB"):
        require_bounded(tmp_path)


def test_the_deepest_folder_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        make_deep(folder / name, 1100)
    (folder / "one" / "inner").chmod(0)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    (folder / "link").symlink_to(outside)
    remove_folder(folder)
    assert not folder.exists()
    assert (outside / "kept").exists()


def test_only_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "nothing"):
        remove_folder(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
