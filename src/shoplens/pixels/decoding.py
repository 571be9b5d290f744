"""From the bytes of a photo to upright RGB pixels.

A damaged file raises a `PhotoError` with a reason that failures are counted by; it never gives a
half-grey picture. (Bytes that were overwritten in place cannot be noticed where the format has no
checksum: WebP, BMP, TIFF, HEIC, AVIF, the middle of a JPEG.)

JPEGs far larger than needed are decoded at a reduced scale (libjpeg's scaled inverse DCT), which
costs a fraction of the time and memory. Very large photos in other formats are reduced as soon as
they are decoded, and all threads share a budget of pixels (`budget`). Thumbnails that files hold
are not used: they may show something else.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from shoplens.errors import PhotoError
from shoplens.pixels.budget import pixel_budget
from shoplens.pixels.damage import (
    load_scaled,
    refuse_cut_boxes,
    refuse_cut_jpeg,
    refuse_damaged_png,
)
from shoplens.pixels.opening import (
    DECODE_ERRORS,
    MAX_PIXELS,
    open_image,
    orientation,
    stored_size,
)
from shoplens.records import Box, BoxFrame

OVERSAMPLING = 2.0
"""A photo is decoded at reduced scale only while the region of interest keeps at least this many
times the pixels per side that it will be resized to; the result then differs from that of a full
decode by less than a grey level on average (`tests/test_pixels_decoding.py`)."""

REDUCED_ABOVE = 2**25
"""Photos that are not JPEGs are reduced only above this many pixels. Below, they fit into memory
easily."""

_STRIP = 2**22
"""Pixels are converted to RGB so many at a time."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a photo of each EXIF orientation upright."""

_MIRROR_X = (2, 3, 7, 8)
_MIRROR_Y = (3, 4, 6, 7)
"""EXIF orientations whose turn mirrors an axis of the pixels as stored."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded photo, upright."""

    image: Image.Image
    """Mode RGB; `size` times `scale`, rounded up."""
    size: tuple[int, int]
    """Width and height in pixels of the upright photo at full scale."""
    scale: float
    """1.0, or 1/2, 1/4, 1/8 where the photo was decoded at reduced scale."""
    box: Box | None
    """The region asked for, in pixels of the upright photo at full scale, clipped to it."""
    clipped: bool
    """Whether a part of the region asked for lay outside the photo."""


def read_bytes(path: Path) -> bytes:
    """Read a photo's file.

    Raises `PhotoError` with reason `missing`, `unreadable` or `empty`.
    """
    try:
        # A pipe or a device would be waited for without end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise PhotoError("unreadable", f"{path} is no regular file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise PhotoError("missing", f"no file {path}") from None
    except OSError as error:
        raise PhotoError("unreadable", f"{path}: {error.strerror or error}") from error
    if not data:
        raise PhotoError("empty", f"{path} has no bytes")
    return data


@contextmanager
def decoding(
    data: bytes,
    *,
    box: Box | None = None,
    box_frame: BoxFrame = "upright",
    target: int | None = None,
    target_side: Literal["longer", "shorter"] = "longer",
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Decoded]:
    """Decode a photo and turn it upright, for the length of a `with` block.

    Until the block ends, its pixels count against the budget that all threads share
    (`shoplens.pixels.budget`): it waits until enough of that is left.

    Args:
        data: the file's bytes.
        box: the region of interest; None means the whole photo.
        box_frame: whether `box` counts pixels after the EXIF turn or as stored.
        target: length in pixels that a side of the region will be resized to; lets large
            photos be decoded at reduced scale. None decodes at full scale.
        target_side: the side that `target` means.
        max_pixels: photos of more pixels are refused.

    Yields:
        A `Decoded` photo: RGB, alpha flattened on white, first frame of an animation, 16-bit
        grey scaled to 8 bits. Colour profiles are not applied.

    Raises:
        PhotoError: reason `empty`, `not_an_image`, `not_installed`, `too_large`, `truncated`,
            `corrupt`, `unsupported`, `bad_box` or `outside_box`.
    """
    image = open_image(data, max_pixels)
    stored = stored_size(image)
    n_pixels = stored[0] * stored[1]
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    with ExitStack() as held:
        if not is_jpeg:
            # Before the orientation is read: for that Pillow may decode a PNG.
            held.enter_context(pixel_budget().hold(n_pixels))
        turn = orientation(image, data)
        size = stored if turn < 5 else (stored[1], stored[0])
        region, clipped = None, False
        if box is not None:
            upright = _turn_box(box, turn, stored) if box_frame == "stored" else box
            region, clipped = upright.clip(size), not upright.is_within(size)
        shrink = 1
        if target is not None and (is_jpeg or n_pixels > REDUCED_ABOVE):
            sides = size if region is None else (region.width, region.height)
            length = max(sides) if target_side == "longer" else min(sides)
            # The shorter side of the picture must keep a pixel: a strip may be 20,000 x 4.
            room = min(length / (target * OVERSAMPLING), *stored)
            shrink = _shrink(room, turn, stored)
        if is_jpeg:
            # libjpeg keeps all of a progressive JPEG, at whatever scale it is wanted.
            share = 1 if "progressive" in image.info else shrink**2
            held.enter_context(pixel_budget().hold(n_pixels // share))
        pixels = _load(image, shrink, data)
        if turn in _TURNS and image.format != "TIFF":  # Pillow turns TIFFs itself.
            pixels = pixels.transpose(_TURNS[turn])
        del image  # Where it was reduced, its own pixels are not needed any more.
        yield Decoded(pixels, size, 1 / shrink, region, clipped)


def decode(
    data: bytes,
    *,
    box: Box | None = None,
    box_frame: BoxFrame = "upright",
    target: int | None = None,
    target_side: Literal["longer", "shorter"] = "longer",
    max_pixels: int = MAX_PIXELS,
) -> Decoded:
    """Decode a photo and turn it upright.

    For the arguments, the result and the errors see `decoding`. The pixels count against the
    budget only until this returns: many threads that keep large photos should use `decoding`.
    """
    with decoding(
        data,
        box=box,
        box_frame=box_frame,
        target=target,
        target_side=target_side,
        max_pixels=max_pixels,
    ) as photo:
        return photo


def read_size(data: bytes, frame: BoxFrame = "upright") -> tuple[int, int]:
    """Return the width and height of a photo in pixels. Only its header is read.

    `frame` chooses between the photo after its EXIF turn (`upright`) and the pixels as `stored`.

    Raises `PhotoError` as `decode` does for headers.
    """
    image = open_image(data)
    width, height = stored_size(image)
    turned = frame == "upright" and orientation(image, data) >= 5
    return (height, width) if turned else (width, height)


def _turn_box(box: Box, turn: int, stored: tuple[int, int]) -> Box:
    """Carry a box in stored pixels over to the upright photo."""
    width, height = stored
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    if turn in _MIRROR_X:
        x0, x1 = width - x1, width - x0
    if turn in _MIRROR_Y:
        y0, y1 = height - y1, height - y0
    return Box(y0, x0, y1, x1) if turn >= 5 else Box(x0, y0, x1, y1)


def _shrink(room: float, turn: int, stored: tuple[int, int]) -> int:
    """Return the largest of libjpeg's scales 8, 4, 2 and 1 that is within `room` and fits.

    A last column that lies partly outside the photo does no harm on the right. If the EXIF turn
    brings it to the left, it would shift the picture, so it must be complete then. The same holds
    for rows.
    """
    axes = zip(stored, (_MIRROR_X, _MIRROR_Y), strict=True)
    mirrored = [length for length, turns in axes if turn in turns]
    scales = (n for n in (8, 4, 2) if n <= room and not any(length % n for length in mirrored))
    return next(scales, 1)


def _load(image: ImageFile.ImageFile, shrink: int, data: bytes) -> Image.Image:
    try:
        size = image.size
        load_scaled(image, shrink)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            refuse_cut_jpeg(image, shrink, data)
        elif image.format == "PNG":
            refuse_damaged_png(data)
        elif image.format in ("HEIF", "AVIF"):
            refuse_cut_boxes(data)
            if image.size != size:
                raise PhotoError("corrupt", f"{image.format} corrupt: not the size of its header")
        return _reduced(image, 1 if image.format in ("JPEG", "MPO") else shrink)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("too_large", "not enough memory to decode it") from error
    except DECODE_ERRORS as error:
        reason = "truncated" if "truncated" in str(error).lower() else "corrupt"
        raise PhotoError(reason, f"{image.format} {reason}: {error}") from error


def _reduced(image: Image.Image, shrink: int) -> Image.Image:
    """Return RGB at 1/`shrink` of the scale. Large photos are converted in strips, to save
    memory."""
    if shrink == 1 and (image.mode == "RGB" or image.width * image.height <= _STRIP):
        return _to_rgb(image)
    result = Image.new("RGB", (-(-image.width // shrink), -(-image.height // shrink)))
    height = max(1, _STRIP // (image.width * shrink)) * shrink
    for top in range(0, image.height, height):
        strip = image.crop((0, top, image.width, min(top + height, image.height)))
        result.paste(_to_rgb(strip).reduce(shrink), (0, top // shrink))
    return result


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip 16-bit grey at 255 instead of scaling it.
        grey = np.asarray(image)
        levels = (grey >> 8).astype(np.uint8)
        if isinstance(transparent := image.info.get("transparency"), int):
            levels[grey == transparent] = 255
        return Image.fromarray(levels).convert("RGB")
    if image.mode == "I":
        raise PhotoError("unsupported", "32-bit integer pixels have no defined way to RGB")
    if image.mode == "F":
        raise PhotoError("unsupported", "floating-point pixels have no defined way to RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, "white")
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    return image.convert("RGB")
