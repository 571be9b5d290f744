"""Model folders: weights with their recipe, in a folder, in a zip of one, or in the package."""

from __future__ import annotations

import difflib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeGuard

from shoplens.errors import MissingError, ModelError, ShoplensError
from shoplens.folders import writing_folder
from shoplens.models.gettable import gettable, list_gettable
from shoplens.models.recipe import Recipe

if TYPE_CHECKING:
    from importlib.abc import Traversable

Folder = Path | zipfile.Path
"""What both a folder on disk and one inside a zip offer."""

ENSEMBLE_FILE = "ensemble.json"
"""What makes a folder an ensemble (see `shoplens.models.ensemble`)."""

_WEIGHTS, _RECIPE = "model.onnx", "recipe.json"


HEAD_FILE = "head.npz"
"""The head of an ensemble that is written here."""
MEMBER = "network-"
"""What the folders of its members are called, before their numbers."""


def builtin_names() -> list[str]:
    """Return the names of the models that ship with the package, in order."""
    folder = resources.files("shoplens.models") / "builtin"
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and any((entry / file).is_file() for file in (_RECIPE, ENSEMBLE_FILE))
    )


def is_builtin(model: object) -> TypeGuard[str]:
    """Whether a model is built in: by its name, or `NAME/MEMBER` for a member of an ensemble."""
    return isinstance(model, str) and _builtin(model) is not None


@contextmanager
def model_folder(model: str | Folder) -> Iterator[Folder]:
    """Open the folder of a model.

    Args:
        model: a built-in name (of an ensemble's member: `NAME/MEMBER`) or that of a model that was
            brought (`shoplens models get`), a folder, or a zip of one, also one inside a zip.

    Raises:
        MissingError: there is no such model.
        ModelError: the folder or zip is faulty, or what is read in the block is.
    """
    try:
        with _opened(model) as folder:
            yield folder
    except (ModelError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        # RuntimeError: an encrypted zip.
        raise ModelError(f"model {model}: {error}") from error


def read_model(model: str | Folder) -> tuple[bytes, Recipe]:
    """Return the weights of a model, and the recipe, which was checked to belong to them.

    Raises as `model_folder` does; `ModelError` for an ensemble too, which has several of both.
    """
    with model_folder(model) as folder:
        if (folder / ENSEMBLE_FILE).is_file():
            raise ModelError("it is an ensemble of several models, and a single one is needed")
        weights = _read(folder, _WEIGHTS)
        return weights, Recipe.from_json(_read(folder, _RECIPE).decode(), weights)


def write_model(folder: Path, weights: bytes, recipe: Recipe, *, replace: bool = False) -> None:
    """Write a model folder whole or not at all, with the folders above it.

    Raises `ShoplensError` when `require_room` refuses the folder, or it cannot be written.
    """
    with _making(folder, replace) as made:
        _write(made, weights, recipe)


def write_ensemble(
    folder: Path,
    described: bytes,
    members: Mapping[str, tuple[bytes, Recipe]] = MappingProxyType({}),
    head: bytes | None = None,
    *,
    replace: bool = False,
) -> None:
    """Write the folder of an ensemble, as `write_model` does.

    Args:
        folder: its folder.
        described: what `ensemble.json` holds.
        members: weights and recipes of those that are kept in it, by the names of their folders.
        head: the file `HEAD_FILE`; None: it has none.
        replace: as in `require_room`.

    Raises `ShoplensError` when `require_room` refuses the folder, or it cannot be written.
    """
    with _making(folder, replace) as made:
        for name, (weights, recipe) in members.items():
            (made / name).mkdir()
            _write(made / name, weights, recipe)
        if head is not None:
            (made / HEAD_FILE).write_bytes(head)
        (made / ENSEMBLE_FILE).write_bytes(described)


@contextmanager
def _making(folder: Path, replace: bool) -> Iterator[Path]:
    require_room(folder, replace=replace)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShoplensError(f"cannot write {folder}: {error.strerror or error}") from error
    with writing_folder(folder, replace=replace) as made:
        yield made


def _write(folder: Path, weights: bytes, recipe: Recipe) -> None:
    (folder / _WEIGHTS).write_bytes(weights)
    (folder / _RECIPE).write_text(recipe.to_json(weights), encoding="utf-8")


def require_room(folder: Path, *, replace: bool = False) -> None:
    """Check that a model folder can be written.

    Raises `ShoplensError` when there is something already and `replace` is false, or it is no
    model folder.
    """
    if not folder.exists():
        return
    if not replace:
        raise ShoplensError(f"{folder} is there already; name another folder, or use --force")
    if not folder.is_dir() or not _holds_what_is_written_here(folder):
        raise ShoplensError(f"{folder} is not a model folder, so it is not replaced")


def _holds_what_is_written_here(folder: Path) -> bool:
    """Whether all in a folder is what `write_model` and `write_ensemble` write.

    Other members of an ensemble may be the only copy of somebody's models.
    """
    entries = {entry.name: entry for entry in folder.iterdir()}
    if ENSEMBLE_FILE not in entries:
        return entries.keys() <= {_WEIGHTS, _RECIPE}
    members = entries.keys() - {ENSEMBLE_FILE, HEAD_FILE}
    return all(
        re.fullmatch(rf"{MEMBER}\d+", name) and _holds_what_is_written_here(entries[name])
        for name in members
    )


@contextmanager
def _opened(model: str | Folder) -> Iterator[Folder]:
    if isinstance(model, zipfile.Path):
        if model.is_file():
            with _unzipped(io.BytesIO(model.read_bytes())) as folder:
                yield folder
        else:
            yield model
        return
    if isinstance(model, str) and (builtin := _builtin(model)) is not None:
        with resources.as_file(builtin) as folder:
            yield folder
        return
    if (brought := gettable(model)) is not None:
        if not brought.at_hand:
            raise MissingError(
                f"model {model} is not on this machine; `shoplens models get {model}` brings it"
            )
        yield brought.folder
        return
    path = Path(model)
    if path.is_dir():
        yield path
    elif path.is_file():
        with _unzipped(path) as folder:
            yield folder
    else:
        names = [*builtin_names(), *(each.name for each in list_gettable())]
        close = difflib.get_close_matches(str(model), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise MissingError(
            f"no model {str(model)!r}: neither a built-in name or one that `shoplens models get` "
            f"brings ({', '.join(names)}) nor a folder or zip with model.onnx and "
            f"recipe.json.{hint}"
        )


def _builtin(model: str) -> Traversable | None:
    """Return the folder of a built-in model, or of a member of a built-in ensemble."""
    name, _, member = model.partition("/")
    if name not in builtin_names():
        return None
    folder = resources.files("shoplens.models") / "builtin" / name
    if not member:
        return folder if model == name else None
    return next((e for e in folder.iterdir() if e.name == member and e.is_dir()), None)


@contextmanager
def _unzipped(file: Path | io.BytesIO) -> Iterator[zipfile.Path]:
    if not zipfile.is_zipfile(file):
        raise ModelError("neither a folder nor a zip of one")
    with zipfile.ZipFile(file) as archive:
        yield _root_of(archive)


def _root_of(archive: zipfile.ZipFile) -> zipfile.Path:
    """Return the folder in a zip that holds the recipe: its root, or its only folder.

    What macOS adds to a zip (`__MACOSX`, `.DS_Store`) does not count.
    """
    root = zipfile.Path(archive)
    entries = [e for e in root.iterdir() if not e.name.startswith((".", "__MACOSX"))]
    if len(entries) == 1 and entries[0].is_dir():
        return entries[0]
    return root


def _read(folder: Folder, name: str) -> bytes:
    file = folder / name
    if not file.is_file():
        raise MissingError(
            f"model {folder} has no {name}; a model folder holds model.onnx and recipe.json"
        )
    return file.read_bytes()
