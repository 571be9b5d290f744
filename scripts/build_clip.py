"""Fit the head of clip-b16 again and write its model folder; anyone can run this.

    python scripts/build_clip.py --tables FOLDER [--from FILE] [-o FOLDER --precision int8]

FOLDER holds `train-photos/train.csv` with its photos, of which the sources grocery (MIT), clothing
(CC0), gso and dreambooth (CC BY 4.0) are used. Needs the extra `[clip]`. CLIP's weights stay as
they are: what is fitted is a linear projection and a mean for each domain, in closed form.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from shoplens.cache import VectorCache, cache_folder
from shoplens.datasets.tagged_table import read_tagged_table
from shoplens.embedding import embed
from shoplens.models import unit
from shoplens.models.clip.build import build_clip
from shoplens.models.clip.head import Head
from shoplens.models.clip.source import CLIP_B16, download, read_source
from shoplens.models.hub.precision import halve
from shoplens.models.model_folder import write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.records import Domain, Photo, PhotoSet

ROOT = Path(__file__).resolve().parents[1]
HEAD = ROOT / "src" / "shoplens" / "models" / "clip" / "head.npz"
SOURCES = ("grocery", "clothing", "gso", "dreambooth")
PER_GROUP = 250
"""Photos of a source and domain that are looked at, at most, evenly spaced."""
DIMENSION = 384
WHITENING = 0.5
"""As of the built-in model."""

Floats = npt.NDArray[np.float32]
Group = tuple[str, Domain]


def kept_out(source: str, product: str, share: float = 0.15) -> bool:
    """Say whether a product of groceries is one that no model of ours has seen.

    The rule of `shoplens.training.photos.split`.
    """
    digest = hashlib.sha256(f"0/{source}/{product}".encode()).digest()
    return source == "grocery" and int.from_bytes(digest[:8], "big") / 2**64 < share


def read_photos(tables: Path) -> list[Photo]:
    """Return all photos of the training table."""
    path = tables / "train-photos" / "train.csv"
    table = read_tagged_table(path, needed=("img_path", "source", "domain", "product_id"))
    if table.faults:
        raise SystemExit(f"{path}: {table.faults[0]}")
    return list(table.photos)


def groups(photos: list[Photo]) -> dict[Group, list[Photo]]:
    """Return the photos to fit to, by source and domain."""
    found: dict[Group, list[Photo]] = {}
    for photo in photos:
        source = str(photo.attributes["source"])
        if source in SOURCES and not kept_out(source, str(photo.product_id)):
            found.setdefault((source, photo.domain), []).append(photo)
    for group, of in found.items():
        places = np.linspace(0, len(of) - 1, min(PER_GROUP, len(of))).round()
        found[group] = [of[int(place)] for place in places]
    return dict(sorted(found.items()))


def fit(
    tokens: dict[Group, Floats], dimension: int = DIMENSION, whitening: float = WHITENING
) -> Head:
    """Return the partly whitened principal components of class tokens, and centres.

    Each group is centred on itself and weighs the same, as in `shoplens.training.fitted`.
    """
    units = list(tokens.values())
    centre = np.mean([of.mean(axis=0) for of in units], axis=0)
    centred = [unit(of - of.mean(axis=0)) / len(of) ** 0.5 for of in units]
    _, spread, components = np.linalg.svd(
        np.concatenate(centred).astype(float), full_matrices=False
    )
    components, spread = components[:dimension], spread[:dimension]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    scales = (spread / spread[0]) ** -whitening
    # Rounded as it is stored, so that centres are those of what is computed.
    weight = (components * (signs * scales)[:, None]).astype(np.float16).astype(np.float32)
    bias = -(weight @ centre).astype(np.float32)
    centres: dict[Domain, Floats] = {}
    domains: tuple[Domain, ...] = ("user", "seller")
    for domain in domains:
        means = [
            unit(of @ weight.T + bias).mean(axis=0)
            for (_, of_domain), of in tokens.items()
            if of_domain == domain
        ]
        centres[domain] = np.mean(means, axis=0).astype(np.float32)
    return Head(weight, bias, centres)


def main() -> None:
    """Embed training photos, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--from", dest="file", type=Path, help="the wheel, or the file in it")
    parser.add_argument("--head", type=Path, default=HEAD, help="where the head is written")
    parser.add_argument("-o", "--output", type=Path, help="a model folder to write as well")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="int8")
    arguments = parser.parse_args()

    path = arguments.file or download(CLIP_B16, cache_folder() / "downloads")
    file = read_source(CLIP_B16, path)
    encoder = OnnxEncoder(*build_clip(CLIP_B16, file, None))
    tokens: dict[Group, Floats] = {}
    for group, photos in groups(read_photos(arguments.tables)).items():
        with VectorCache(encoder.fingerprint) as cache:
            embeddings = embed(PhotoSet(photos), encoder, cache=cache)
        if embeddings.failures:
            raise SystemExit(f"{group}: {embeddings.failures[0]}")
        tokens[group] = embeddings.vectors
        print(*group, len(photos), flush=True)
    head = fit(tokens)
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
