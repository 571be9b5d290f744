"""A model as a value that can be sent to machines without its files."""

from __future__ import annotations

import importlib
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shoplens.errors import ModelError
from shoplens.models import DEFAULT_MODEL, Encoder, load_encoder
from shoplens.models.conversion import converted
from shoplens.models.ensemble import head_file, member_of, read_ensemble_file
from shoplens.models.model_folder import ENSEMBLE_FILE, Folder, is_builtin, model_folder
from shoplens.models.zoo import is_hub_name

_DECIDING = ("shoplens", "numpy", "onnxruntime", "PIL")
"""Packages whose versions can change a vector."""


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model that can be loaded on another machine, with its expected fingerprint."""

    model: str
    """Its name, or the name of its folder among the `files`."""
    files: Mapping[str, bytes]
    """Contents by path; empty for a built-in model."""
    dimension: int | None
    fingerprint: str
    versions: Mapping[str, str]
    """Versions of the packages on the machine where it was packed."""

    def load(self) -> Encoder:
        """Load the model.

        Raises `ModelError` if packages have other versions here, or if the model differs.
        """
        here = installed_versions()
        different = [
            f"{name} {here[name]} instead of {wanted}"
            for name, wanted in self.versions.items()
            if here[name] != wanted
        ]
        if different:
            raise ModelError(
                f"{platform.node()} has {', '.join(different)}, so its vectors could differ from "
                "those of other machines. Install the same versions on all machines."
            )
        with tempfile.TemporaryDirectory(prefix="shoplens") as scratch:
            for name, data in self.files.items():
                file = Path(scratch, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            model = Path(scratch, self.model) if self.files else self.model
            encoder = load_encoder(model, dimension=self.dimension)
        if encoder.fingerprint != self.fingerprint:
            raise ModelError(
                f"on {platform.node()} the model {self.model} is {encoder.fingerprint}, not "
                f"{self.fingerprint}. Install the same shoplens on all machines."
            )
        return encoder


def pack_model(
    model: str | Path = DEFAULT_MODEL, *, dimension: int | None = None
) -> tuple[PackedModel, Encoder]:
    """Return a model as a value, and the loaded model.

    A built-in model is sent by name. Any other model is sent with its files, including those of the
    members of an ensemble.

    Args:
        model: as in `shoplens.models.load_encoder`.
        dimension: as in `load_encoder`.

    Raises the errors of `load_encoder`.
    """
    encoder = load_encoder(model, dimension=dimension)
    files: dict[str, bytes] = {}
    name = _pack(model, "model", files)
    packed = PackedModel(name, files, dimension, encoder.fingerprint, installed_versions())
    return packed, encoder


def installed_versions() -> dict[str, str]:
    """Return the installed versions of the packages that can change a vector."""
    return {name: importlib.import_module(name).__version__ for name in _DECIDING}


def _pack(model: str | Folder, name: str, files: dict[str, bytes]) -> str:
    """Add a model's files below `name`, and return the name to load it by."""
    if isinstance(model, str):
        if is_builtin(model):
            return model
        if is_hub_name(model):
            model = converted(model)
    with model_folder(model) as folder:
        if not (folder / ENSEMBLE_FILE).is_file():
            for file in ("model.onnx", "recipe.json"):
                files[f"{name}/{file}"] = (folder / file).read_bytes()
            return name
        ensemble = read_ensemble_file(folder)
        for number, member in enumerate(ensemble.members):
            source = member_of(folder, member.model)
            place = _pack(source, f"{name}/member-{number}", files)
            member.model = place.removeprefix(f"{name}/")
        if ensemble.head is not None:
            files[f"{name}/{ensemble.head}"] = head_file(folder, ensemble).read_bytes()
        files[f"{name}/{ENSEMBLE_FILE}"] = msgspec.json.encode(ensemble)
    return name
