"""Models: weights with their recipe, found by name or path."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from shoplens.errors import MissingError, ModelError
from shoplens.models.encoder import Encoder, LeadingEncoder, OnnxEncoder
from shoplens.models.recipe import Recipe

__all__ = ["DEFAULT_MODEL", "Encoder", "ModelInfo", "Recipe", "list_models", "load_encoder"]

DEFAULT_MODEL = "lite2-products"
"""The built-in model that is used when none is named."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be used by name."""

    recipe: Recipe
    fingerprint: str
    megabytes: float
    """Size of the weights, in 10^6 bytes."""
    default: bool


def list_models() -> list[ModelInfo]:
    """Return the models that ship with the package, in order of their names."""
    infos = []
    for name in _builtin_names():
        weights, recipe = _read_model(name)
        infos.append(
            ModelInfo(
                recipe, recipe.fingerprint(weights), len(weights) / 1e6, name == DEFAULT_MODEL
            )
        )
    return infos


def load_encoder(model: str | Path = DEFAULT_MODEL, *, dimension: int | None = None) -> Encoder:
    """Load a model for embedding.

    Args:
        model: the name of a built-in (`shoplens models` lists them), or the path of a model
            folder, or of a zip of one, holding `model.onnx` and `recipe.json`.
        dimension: length of the vectors, one that the model was trained to be cut to
            (`Recipe.nested`); None takes them whole.

    Returns:
        An `Encoder`; its `encode` may be called from several threads at once.

    Raises:
        MissingError: no such name or path, or a file of the model is not there.
        ModelError: the recipe is faulty or does not belong to the weights, or the model cannot be
            cut to `dimension`.
    """
    encoder = OnnxEncoder(*_read_model(model))
    if dimension is None or dimension == encoder.recipe.dimension:
        return encoder
    return LeadingEncoder(encoder, dimension)


def _read_model(model: str | Path) -> tuple[bytes, Recipe]:
    """Return the weights and the checked recipe."""
    try:
        with _model_folder(model) as folder:
            weights = _read(folder, "model.onnx")
            text = _read(folder, "recipe.json")
        return weights, Recipe.from_json(text.decode(), weights)
    except (ModelError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        # RuntimeError: an encrypted zip.
        raise ModelError(f"model {model}: {error}") from error


# What both a Path and a folder inside a zip offer.
_Folder = Path | zipfile.Path


@contextmanager
def _model_folder(model: str | Path) -> Iterator[_Folder]:
    builtin = resources.files(__name__) / "builtin"
    if isinstance(model, str) and model in _builtin_names():
        with resources.as_file(builtin / model) as folder:
            yield folder
        return
    path = Path(model)
    if path.is_dir():
        yield path
    elif path.is_file():
        if not zipfile.is_zipfile(path):
            raise ModelError("neither a folder nor a zip of one")
        with zipfile.ZipFile(path) as archive:
            yield _root_of(archive)
    else:
        names = _builtin_names()
        close = difflib.get_close_matches(str(model), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise MissingError(
            f"no model {str(model)!r}: neither a built-in name ({', '.join(names)}) nor a folder "
            f"or zip with model.onnx and recipe.json.{hint}"
        )


def _root_of(archive: zipfile.ZipFile) -> zipfile.Path:
    """Return the folder in a zip that holds the recipe: its root, or its only folder.

    What macOS adds to a zip (`__MACOSX`, `.DS_Store`) does not count.
    """
    root = zipfile.Path(archive)
    entries = [e for e in root.iterdir() if not e.name.startswith((".", "__MACOSX"))]
    if len(entries) == 1 and entries[0].is_dir():
        return entries[0]
    return root


def _read(folder: _Folder, name: str) -> bytes:
    file = folder / name
    if not file.is_file():
        raise MissingError(
            f"model {folder} has no {name}; a model folder holds model.onnx and recipe.json"
        )
    return file.read_bytes()


def _builtin_names() -> list[str]:
    folder = resources.files(__name__) / "builtin"
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and (entry / "recipe.json").is_file()
    )
