"""Fit the head of clip-b16 to CLIP as it is; anyone can run this.

    python scripts/build_clip.py --tables FOLDER [--from FILE] [-o FOLDER --precision int8]

FOLDER holds `train-photos/` (see `scripts/product_views.py`) and `scans/` with archives of scanned
products and `exclude.txt`. Renders of the scans are made in it where they are not there yet. Needs
the extras `[clip]` and `[train]`, and moderngl.

What is fitted is two linear layers and a mean for each domain, in closed form. From there
scripts/tune_clip.py goes on: it adapts CLIP's last layers to this head. Class tokens are kept in
the cache: stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from product_views import SOURCES, Prepared, Tables, View

from shoplens.cache import Computed, VectorCache, cache_folder
from shoplens.models import unit
from shoplens.models.clip.build import build_clip
from shoplens.models.clip.head import Head, Linear
from shoplens.models.clip.source import CLIP_B16, download, read_source
from shoplens.models.hub.precision import halve
from shoplens.models.model_folder import write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.parallel import parallel_map
from shoplens.records import Domain

ROOT = Path(__file__).resolve().parents[1]
HEAD = ROOT / "src" / "shoplens" / "models" / "clip" / "head.npz"
DIMENSION = 384
WHITENING = 0.5
"""Of the first layer's components; as of the built-in model."""
RENDERED = ("scans", "renders")
"""Sources without photos: the first layer is not fitted to them."""
SHRINKAGE = 4.0
"""How many times the mean spread within products a direction must have to count a quarter."""

Floats = npt.NDArray[np.float32]
Group = tuple[str, Domain]


def render(tables: Path) -> None:
    """Render the scanned products, as far as that was not done."""
    scans = tables / "scans"
    command = [sys.executable, ROOT / "scripts" / "render_bulk" / "make.py"]
    command += [tables / "scan-renders", "--archives", *sorted(scans.glob("*.sh3f"))]
    command += ["--exclude-products", scans / "exclude.txt", "--user-views", "12"]
    if code := subprocess.run([str(word) for word in command], check=False).returncode:
        raise SystemExit(code)


def tokens_of(views: list[View], tables: Tables, encoder: OnnxEncoder) -> Floats:
    """Return (n, d) what a model makes of views, of unit length."""
    recipe = encoder.recipe
    prepared = Prepared(recipe.input_size, recipe.pad_colour)
    with VectorCache(encoder.fingerprint) as cache:

        def token(view: View) -> Floats:
            def compute() -> Computed:
                pixels = tables.pixels(view, prepared)
                return Computed(encoder.encode(pixels[None], [view.domain])[0])

            found, _ = cache.remember(hashlib.sha256(view.key.encode()).digest(), compute)
            if found.vector is None:
                raise SystemExit(f"{view.name}: {found.reason}")
            return found.vector

        return np.stack(list(parallel_map(token, views)))


def by_group(views: list[View]) -> dict[Group, list[int]]:
    """Return the places of views, by source and domain."""
    places: dict[Group, list[int]] = {}
    for place, view in enumerate(views):
        places.setdefault((view.source, view.domain), []).append(place)
    return dict(sorted(places.items()))


def components(vectors: Floats, groups: Mapping[Group, list[int]]) -> Linear:
    """Return the partly whitened principal components of vectors.

    Each group is centred on itself and weighs the same, as in `shoplens.training.fitted`.
    """
    of_groups = [vectors[places] for places in groups.values()]
    centre = np.mean([of.mean(axis=0) for of in of_groups], axis=0)
    centred = [unit(of - of.mean(axis=0)) / len(of) ** 0.5 for of in of_groups]
    _, spread, found = np.linalg.svd(np.concatenate(centred).astype(float), full_matrices=False)
    found, spread = found[:DIMENSION], spread[:DIMENSION]
    signs = np.sign(found[np.arange(len(found)), np.abs(found).argmax(axis=1)])
    return rounded(found * (signs * (spread / spread[0]) ** -WHITENING)[:, None], centre)


def within_products(
    vectors: Floats, views: list[View], groups: Mapping[Group, list[int]]
) -> Linear:
    """Return what makes photos of one product more alike, whoever took them.

    Directions in which photos differ from the mean of their product are scaled down. With C the
    covariance of these differences, averaged over sources, and m its mean variance, the weight is
    (C / (`SHRINKAGE` m) + I)^-2 (after within-class covariance normalisation, Hatch et al.,
    Interspeech 2006, which has the power -1/2). Each group is centred on itself before.
    """
    centred = vectors.copy()
    for places in groups.values():
        centred[places] -= vectors[places].mean(axis=0)
    covariances = []
    for source in SOURCES:
        of: dict[str, list[int]] = {}
        for place, view in enumerate(views):
            if view.source == source:
                of.setdefault(view.product, []).append(place)
        several = [centred[places] for places in of.values() if len(places) > 1]
        if not several:
            continue
        apart = np.concatenate([photos - photos.mean(axis=0) for photos in several]).astype(float)
        covariances.append(apart.T @ apart / len(apart))
    variances, directions = np.linalg.eigh(np.mean(covariances, axis=0))
    scales = (variances / (SHRINKAGE * variances.mean()) + 1) ** -2
    centre = np.mean([vectors[places].mean(axis=0) for places in groups.values()], axis=0)
    return rounded((directions * scales) @ directions.T, centre)


def rounded(weight: npt.NDArray[np.float64], centre: Floats) -> Linear:
    """Return a layer that takes `centre` to zero; its weight is rounded as it is stored."""
    stored = weight.astype(np.float16).astype(np.float32)
    return Linear(stored, -(stored @ centre).astype(np.float32))


def fit(tokens: Floats, views: list[View]) -> Head:
    """Fit the first layer to photos as they are, the second and the centres to all views."""
    groups = by_group(views)
    photos = {
        group: [place for place in places if views[place].made is None]
        for group, places in groups.items()
        if group[0] not in RENDERED
    }
    first = components(tokens, {group: places for group, places in photos.items() if places})
    vectors = unit(tokens @ first.weight.T + first.bias)
    second = within_products(vectors, views, groups)
    vectors = unit(vectors @ second.weight.T + second.bias)
    return Head((first, second), centres(vectors, groups))


def centres(vectors: Floats, groups: Mapping[Group, list[int]]) -> dict[Domain, Floats]:
    """Return the mean of each domain, in which each source weighs the same."""
    found: dict[Domain, Floats] = {}
    domains: tuple[Domain, ...] = ("user", "seller")
    for domain in domains:
        means = [vectors[p].mean(axis=0) for (_, of), p in groups.items() if of == domain]
        found[domain] = np.mean(means, axis=0).astype(np.float32)
    return found


def main() -> None:
    """Render, embed, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--from", dest="file", type=Path, help="the wheel, or the file in it")
    parser.add_argument("--bf16", action="store_true", help="embed by OpenVINO in bfloat16")
    parser.add_argument("--head", type=Path, default=HEAD, help="where the head is written")
    parser.add_argument("-o", "--output", type=Path, help="a model folder to write as well")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="int8")
    arguments = parser.parse_args()

    render(arguments.tables)
    path = arguments.file or download(CLIP_B16, cache_folder() / "downloads")
    file = read_source(CLIP_B16, path)
    openvino = "bf16" if arguments.bf16 else None
    encoder = OnnxEncoder(*build_clip(CLIP_B16, file, None), openvino=openvino)
    tables = Tables(arguments.tables)
    views: list[View] = []
    parts = []
    for source in SOURCES:
        of_source = tables.views(source)
        parts.append(tokens_of(of_source, tables, encoder))
        views += of_source
        print(source, len(of_source), flush=True)
    head = fit(np.concatenate(parts), views)
    arguments.head.write_bytes(head.to_bytes())
    if arguments.output is not None:
        stored = "int8" if arguments.precision == "int8" else "fp32"
        weights, recipe = build_clip(CLIP_B16, file, head, stored)
        if arguments.precision == "fp16":
            model = onnx.load_from_string(weights)
            halve(model)
            weights = bytes(model.SerializeToString(deterministic=True))
        write_model(arguments.output, weights, recipe, replace=True)
        print(arguments.output, f"{len(weights) / 1e6:.0f} MB", recipe.fingerprint(weights))


if __name__ == "__main__":
    main()
