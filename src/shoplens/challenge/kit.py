"""Writing a new submission: a folder that runs as it is, and is changed from there.

Its parts are the plain files in `starter_kit/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from shoplens.errors import ShoplensError
from shoplens.folders import writing_folder

Ranker = Literal["shoplens", "random"]
RANKERS: tuple[Ranker, ...] = get_args(Ranker)

_KIT = Path(__file__).parent / "starter_kit"
_CONFIG = "my_submission/user_config.py"
_CHOSEN = ("shoplens_ranker", "MyShoplensRanker")
"""Module and class that the kit's `user_config.py` names."""
_RANDOM = ("random_ranker", "RandomRanker")
_RENAMED = {"gitignore.txt": ".gitignore"}
"""Files that would have an effect in the package under their own names."""


def write_submission(folder: Path, *, name: str | None = None, ranker: Ranker) -> tuple[str, ...]:
    """Write a working submission.

    Args:
        folder: where to write it; it is made, with the folders above it, and must be empty.
        name: the title of its README and the description in its `aicrowd.json`; None takes the
            folder's name.
        ranker: which of the kit's rankers is `My_Ranker`.

    Returns:
        The files written, relative to the folder, sorted.

    Raises:
        ShoplensError: the folder holds something, or cannot be written.
    """
    folder = folder.resolve()
    name = folder.name if name is None else name
    if not name.strip() or not name.isprintable():
        raise ShoplensError(f"name {name!r} must be one line of text")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ShoplensError(f"{folder} exists and is not empty: name a new folder")
    files = _kit_files()
    files["README.md"] = files["README.md"].replace("# My submission", f"# {name}", 1)
    config = {**json.loads(files["aicrowd.json"]), "description": name}
    files["aicrowd.json"] = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    if ranker == "random":
        for kit, random in zip(_CHOSEN, _RANDOM, strict=True):
            files[_CONFIG] = files[_CONFIG].replace(kit, random)
    try:
        if folder.exists():  # Somebody's shell may be in it, so it stays where it is.
            _write(files, folder)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with writing_folder(folder) as part:
                _write(files, part)
    except OSError as error:
        raise ShoplensError(f"cannot write {folder}: {error.strerror or error}") from error
    return tuple(sorted(files))


def sample_folder() -> Path:
    """Return the sample dataset that comes with the package, to try a submission on."""
    return Path(__file__).parents[1] / "sample"


def _kit_files() -> dict[str, str]:
    """Return the texts of the kit's files by their paths; what Python compiled is left out."""
    files = {}
    for file in sorted(_KIT.rglob("*")):
        if file.is_file() and file.parent.name != "__pycache__":
            path = file.relative_to(_KIT).with_name(_RENAMED.get(file.name, file.name))
            files[path.as_posix()] = file.read_text(encoding="utf-8")
    return files


def _write(files: Mapping[str, str], folder: Path) -> None:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
