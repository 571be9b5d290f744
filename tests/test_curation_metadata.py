from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from conftest import picture
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from pillow_heif import from_pillow

from shoplens.curation.metadata import strip
from shoplens.errors import PhotoError
from shoplens.pixels.decoding import decode

SECRET = b"Ann Onymous"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"


def exif(orientation: int | None = None) -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Artist] = SECRET.decode()
    block.get_ifd(ExifTags.IFD.GPSInfo)[2] = (55.0, 45.0, 7.0)
    if orientation is not None:
        block[ExifTags.Base.Orientation] = orientation
    return block


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    image = image or picture(1, (61, 45))
    if kind == "HEIF":
        from_pillow(image).save(stream, **options)
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def assert_clean_and_alike(before: bytes, after: bytes, orientation: int = 1) -> None:
    assert SECRET not in after
    assert np.array_equal(decode(before).image, decode(after).image)
    entries = dict(opened(after).getexif())
    assert entries == ({} if orientation == 1 else {ExifTags.Base.Orientation: orientation})


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("orientation", [None, 1, *range(2, 9)])
def test_a_jpeg_loses_its_metadata_and_keeps_turn_profile_and_pixels(
    options: dict[str, Any], orientation: int | None
) -> None:
    data = saved(
        "JPEG",
        exif=exif(orientation),
        icc_profile=PROFILE,
        xmp=XMP,
        comment=SECRET,
        quality=90,
        **options,
    )
    assert data.count(SECRET) == 3
    stripped = strip(data)
    assert (stripped.suffix, stripped.converted_from) == (".jpg", None)
    assert_clean_and_alike(data, stripped.data, orientation or 1)
    assert opened(stripped.data).info["icc_profile"] == PROFILE


def test_a_jpegs_picture_is_not_encoded_again() -> None:
    data = saved("JPEG", exif=exif(6), quality=90)
    scan = data[data.index(b"\xff\xda") :]
    assert strip(data).data.endswith(scan)


def test_what_follows_a_jpegs_end_is_cut_off() -> None:
    data = saved("JPEG") + b"ftypmp42" + SECRET
    assert strip(data).data == strip(saved("JPEG")).data


def test_a_second_picture_and_thumbnails_are_cut_off() -> None:
    first, second = picture(1, (61, 45)), picture(2, (61, 45))
    data = saved("MPO", first, save_all=True, append_images=[second], exif=exif(3))
    stripped = strip(data)
    assert_clean_and_alike(data, stripped.data, 3)
    assert stripped.data.count(b"\xff\xd8\xff") == 1
    plain = saved("JPEG", first)
    thumbnail = b"JFIF\0\1\1\0\0\1\0\1\2\2" + SECRET + b"\0"
    with_thumbnail = plain[:2] + b"\xff\xe0" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert strip(with_thumbnail + plain[2:]).data.count(b"JFIF") == 2
    assert SECRET not in strip(with_thumbnail + plain[20:]).data


def test_a_jpeg_of_ink_colours_keeps_how_they_are_meant() -> None:
    data = saved("JPEG", picture(1).convert("CMYK"), exif=exif())
    assert_clean_and_alike(data, strip(data).data)


@pytest.mark.parametrize("orientation", [None, 6])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "I;16"])
def test_a_png_loses_its_texts(mode: str, orientation: int | None) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", SECRET.decode())
    texts.add_text("Comment", SECRET.decode(), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    image = picture(1).convert("L").convert(mode) if mode == "I;16" else picture(1).convert(mode)
    profile = {"icc_profile": PROFILE} if mode == "RGB" else {}
    data = saved("PNG", image, pnginfo=texts, exif=exif(orientation), **profile)
    stripped = strip(data)
    assert stripped.suffix == ".png"
    assert_clean_and_alike(data, stripped.data, orientation or 1)
    assert opened(stripped.data).info.get("icc_profile") == profile.get("icc_profile")
    for chunk in (b"tEXt", b"zTXt", b"iTXt"):
        assert chunk not in stripped.data


def test_a_pngs_transparent_colour_stays() -> None:
    data = saved("PNG", picture(1).convert("P"), transparency=3)
    assert opened(strip(data).data).info["transparency"] == 3


@pytest.mark.parametrize("orientation", [None, 8])
@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_a_webp_loses_its_metadata(options: dict[str, Any], orientation: int | None) -> None:
    data = saved("WEBP", exif=exif(orientation), xmp=XMP, icc_profile=PROFILE, **options)
    stripped = strip(data)
    assert stripped.suffix == ".webp"
    assert_clean_and_alike(data, stripped.data, orientation or 1)
    assert opened(stripped.data).info["icc_profile"] == PROFILE
    assert int.from_bytes(stripped.data[4:8], "little") == len(stripped.data) - 8


def test_a_webp_with_nothing_to_lose_is_not_changed() -> None:
    data = saved("WEBP")
    assert strip(data).data == data


def test_a_turn_that_only_xmp_tells_is_not_lost() -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
        b'22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/'
        b'1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    data = saved("JPEG", xmp=xmp)
    assert decode(data).size == (45, 61)
    assert decode(strip(data).data).size == (45, 61)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_other_formats_become_png_with_the_same_pixels(kind: str) -> None:
    options: dict[str, Any] = {
        "GIF": {"comment": SECRET},
        "BMP": {},
        "TIFF": {"exif": exif(6), "icc_profile": PROFILE},
        "AVIF": {"exif": exif(6), "icc_profile": PROFILE},
        "HEIF": {"exif": exif(6).tobytes(), "icc_profile": PROFILE},
    }[kind]
    data = saved(kind, **options)
    stripped = strip(data)
    assert (stripped.suffix, stripped.converted_from) == (".png", kind)
    assert_clean_and_alike(data, stripped.data)
    assert ("icc_profile" in opened(stripped.data).info) == ("icc_profile" in options)


def test_a_damaged_photo_is_refused() -> None:
    data = saved("JPEG")
    with pytest.raises(PhotoError, match="truncated"):
        strip(data[:-100])
    with pytest.raises(PhotoError):
        strip(b"no photo")
