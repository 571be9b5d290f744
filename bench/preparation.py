"""What a photo costs before the model sees it: read, decode, crop; and photos of phones.

One thread, core time. Photos of phones are made: renders enlarged to 12 megapixels, with noise.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from catalogues import phone_jpegs, photos_at_hand
from measuring import finish, interleaved, table
from PIL import Image, ImageOps
from stand_ins import Instant

from shoplens import load_encoder
from shoplens.embedding import STAGES, embed_each
from shoplens.models import BASE_MODEL
from shoplens.models.encoder import Encoder
from shoplens.pixels.crops import Interpolation
from shoplens.pixels.decoding import decode
from shoplens.records import Photo

SIZES = (260, 384)
FILTERS: tuple[Interpolation, ...] = ("bicubic", "bilinear")
ROUNDS = 5
TARGET_MS, TARGET_RATIO = 3.0, 4.0


def stages(photos: Sequence[Photo], encoder: Encoder) -> dict[str, float]:
    """Return core milliseconds a photo by stage, on one thread."""
    spent: Counter[str] = Counter()
    for result in embed_each(photos, encoder, workers=1):
        spent.update(result.seconds)
    return {stage: 1e3 * spent[stage] / len(photos) for stage in STAGES if stage != "infer"}


def catalogue_photos(photos: Sequence[Photo]) -> list[dict[str, Any]]:
    """Return the median core milliseconds a photo by stage, for each size and filter, in turn."""
    kinds = [(size, name) for size in SIZES for name in FILTERS]
    encoders = [instant(size, name) for size, name in kinds]
    rounds: list[list[dict[str, float]]] = [[] for _ in kinds]
    for encoder in encoders:
        stages(photos[:50], encoder)  # warm-up
    for _ in range(ROUNDS):
        for encoder, figures in zip(encoders, rounds, strict=True):
            figures.append(stages(photos, encoder))
    found = []
    for (size, name), each in zip(kinds, rounds, strict=True):
        spent = {stage: median(figures[stage] for figures in each) for stage in each[0]}
        spent["all"] = median(sum(figures.values()) for figures in each)
        found.append({"size": size, "interpolation": name, "ms": spent})
    return found


def instant(size: int, interpolation: Interpolation = "bicubic") -> Instant:
    """Return a stand-in for the built-in model at another size and with another filter."""
    recipe = load_encoder(BASE_MODEL).recipe
    return Instant(replace(recipe, input_size=size, interpolation=interpolation))


def ours(jpeg: bytes, encoder: Encoder) -> None:
    """Decode and crop a photo as `embed` does."""
    target, side = encoder.decode_target()
    encoder.prepare(decode(jpeg, target=target, target_side=side), "user")


def full_size(jpeg: bytes, encoder: Encoder) -> None:
    """Do the same with every pixel decoded: Pillow, upright, resized, padded."""
    recipe = encoder.recipe
    with Image.open(io.BytesIO(jpeg)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    size = (recipe.input_size, recipe.input_size)
    np.asarray(ImageOps.pad(upright, size, Image.Resampling.BICUBIC, recipe.pad_colour))


def phones(jpegs: Sequence[bytes]) -> dict[int, dict[str, dict[str, float]]]:
    """Return core milliseconds a phone's photo by input size and way, all in turn."""

    def way(prepare_one: Callable[[bytes, Encoder], None], encoder: Encoder) -> float:
        started = time.thread_time()
        for jpeg in jpegs:
            prepare_one(jpeg, encoder)
        return 1e3 * (time.thread_time() - started) / len(jpegs)

    ways: dict[str, Callable[[], float]] = {}
    for size in SIZES:
        encoder = instant(size)
        ways[f"{size} full size"] = lambda e=encoder: way(full_size, e)
        ways[f"{size} ours"] = lambda e=encoder: way(ours, e)
    figures = interleaved(ways, ROUNDS)
    return {
        size: {name: figures[f"{size} {name}"] for name in ("full size", "ours")} for size in SIZES
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, help="how many photos; all by default")
    parser.add_argument("--phones", type=int, default=8, help="how many photos of phones to make")
    arguments = parser.parse_args()
    name, photos = photos_at_hand(arguments.photos)
    here = catalogue_photos(photos)
    columns = (*(stage for stage in STAGES if stage != "infer"), "all")
    rows = [
        [
            f"{kind['size']} px, {kind['interpolation']}",
            *(f"{kind['ms'][column]:.2f}" for column in columns),
            f"{TARGET_MS:.0f}",
        ]
        for kind in here
    ]
    text = f"{len(photos):,} photos of the {name}, core milliseconds a photo:\n\n"
    text += table(["for a model of", *columns, "target: at most"], rows)
    jpegs = phone_jpegs(arguments.phones)
    large = phones(jpegs)
    rows = [
        [
            f"{size} px",
            f"{ways['full size']['median']:.1f}",
            f"{ways['ours']['median']:.1f}",
            f"{ways['full size']['median'] / ways['ours']['median']:.1f}",
            f"{TARGET_RATIO:.0f}",
        ]
        for size, ways in large.items()
    ]
    megabytes = float(np.mean([len(jpeg) for jpeg in jpegs])) / 1e6
    text += (
        f"\n\n{len(jpegs)} made JPEGs of 4000 x 3000 pixels and {megabytes:.1f} MB on average, "
        "EXIF orientation 6, core milliseconds a photo (median of five rounds):\n\n"
    )
    header = ["for a model of", "full-size Pillow decode", "ours", "ratio", "target: at least"]
    text += table(header, rows)
    values = {"photos": len(photos), "set": name, "stages_ms": here, "phones_ms": large}
    finish("preparation", "python3 make.py bench preparation", values, text)


if __name__ == "__main__":
    main()
