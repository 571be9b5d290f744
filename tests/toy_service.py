"""A server with a small catalogue and a model of a few nodes: a search costs little more than its
photo's decoding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from conftest import TOY_RECIPE, picture, toy_graph
from server_process import ServerProcess, serving

from shoplens.catalog.indexing import index
from shoplens.models import load_encoder


@contextmanager
def toy_service(
    folder: Path, *flags: object, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run a server in a process of its own; `folder` is empty before.

    `flags` and `environment` are those of `serving`.
    """
    model, photos = folder / "model", folder / "photos"
    model.mkdir()
    (model / "model.onnx").write_bytes(toy_graph())
    (model / "recipe.json").write_text(json.dumps(TOY_RECIPE), encoding="utf-8")
    photos.mkdir()
    lines = ["seller_img_id,img_path,product_id,colour,price"]
    for number in range(6):
        picture(number).save(photos / f"{number}.png")
        colour = ("red", "green")[number % 2]
        lines.append(f"{number},{number}.png,p{number // 2},{colour},{10 * number}")
    (photos / "gallery.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    index(photos, str(folder / "shop"), encoder=load_encoder(str(model)))
    words = ("--catalog", folder / "shop", "--model", model, *flags)
    with serving(*words, environment=environment) as server:
        yield server
