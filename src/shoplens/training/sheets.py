"""Contact sheets: what a network will see, for a person to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoplens.errors import PhotoError
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.records import Box, Domain
from shoplens.training.augment import Augmenter
from shoplens.training.backbones import load_backbone
from shoplens.training.config import Config
from shoplens.training.photos import TrainingPhoto, read_products

_VIEWS = 4
"""Of each domain."""
_OF_EACH = 4
"""Photos of each source and domain."""
_TILE = 160
_GAP = 4
_HEAD = 18


def write_contact_sheet(
    path: str | Path,
    photos: Sequence[tuple[Path, Domain] | tuple[Path, Domain, Box | None]],
    augmenter: Augmenter,
    seed: int = 0,
) -> None:
    """Write a picture with a row for each photo: itself, then views as a user's and a seller's.

    A photo that cannot be read has the reason in its row.

    Args:
        path: the picture to write; its ending says in which format.
        photos: files, who took them, and where the product is; no box means the whole photo.
        augmenter: makes the views.
        seed: of the views.
    """
    step = _TILE + _GAP
    columns, font = 1 + _VIEWS * len(get_args(Domain)), ImageFont.load_default(12)
    sheet = Image.new("RGB", (columns * step, _HEAD + len(photos) * (step + _HEAD)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, domain in enumerate(get_args(Domain)):
        draw.text((step * (1 + number * _VIEWS), 2), f"as a {domain}'s", "black", font)
    for row, (file, taken_by, *boxes) in enumerate(photos):
        top = _HEAD + row * (step + _HEAD)
        draw.text((2, top + 2), f"{taken_by}: {file.parent.name}/{file.name}", "black", font)
        try:
            tiles = _row(file, taken_by, boxes[0] if boxes else None, augmenter, (seed, row))
        except PhotoError as error:
            draw.text((2, top + _HEAD + 2), str(error), "red", font)
            continue
        for column, tile in enumerate(tiles):
            tile.thumbnail((_TILE, _TILE))
            sheet.paste(tile, (column * step, top + _HEAD))
    sheet.save(path)


def _row(
    file: Path, taken_by: Domain, box: Box | None, augmenter: Augmenter, seed: tuple[int, int]
) -> list[Image.Image]:
    photo = decode(read_bytes(file), box=box, target=_TILE)
    if photo.box is not None:
        region = photo.box.scaled(photo.scale)
        corners = (region.x0, region.y0, region.x1 - 1, region.y1 - 1)
        line = max(1, round(max(photo.image.size) * 2 / _TILE))
        if region.width > 2 * line and region.height > 2 * line:
            ImageDraw.Draw(photo.image).rectangle(corners, outline="red", width=line)
    tiles = [photo.image]
    for domain in get_args(Domain):
        rng = np.random.default_rng((*seed, get_args(Domain).index(domain)))
        tiles += [
            Image.fromarray(augmenter.view(file, taken_by, domain, rng, box=box))
            for _ in range(_VIEWS)
        ]
    return tiles


def write_sheet(config: Config, path: str | Path) -> None:
    """Write a contact sheet of what a run would be shown: a few photos of each source and domain.

    Photos whose table tells that they cannot be used are left out.

    Raises as `shoplens.training.photos.read_products` and
    `shoplens.training.backbones.load_backbone` do.
    """
    products = read_products(config.photos)
    photos = [photo for product in products for photo in product.photos if photo.problem is None]
    groups: dict[tuple[str, Domain], list[TrainingPhoto]] = {}
    for photo in photos:
        groups.setdefault((photo.source, photo.domain), []).append(photo)
    rng = np.random.default_rng(config.seed)
    shown: list[tuple[Path, Domain, Box | None]] = []
    for group in groups.values():
        for place in sorted(rng.choice(len(group), min(_OF_EACH, len(group)), replace=False)):
            shown.append((group[place].path, group[place].domain, group[place].box))
    backbone = load_backbone(config.network.backbone, random_weights=True)
    augmenter = Augmenter(
        config.views.augmentation,
        size=config.views.input_size,
        pad_colour=backbone.pad_colour,
        clutter=[photo.path for photo in photos if photo.domain == "user"],
    )
    write_contact_sheet(path, shown, augmenter, config.seed)
