from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import picture
from PIL import Image

from shoplens import load_encoder
from shoplens.datasets.dataset import read_dataset
from shoplens.errors import ModelError, PhotoError
from shoplens.models import Encoder, RecipeEncoder
from shoplens.models.ensemble import Ensemble, Member
from shoplens.pixels.crops import Fit, crop
from shoplens.pixels.decoding import Decoded, decode, read_bytes
from shoplens.records import Box, Domain

MakeModel = Callable[..., Path]
FITS: tuple[Fit, ...] = ("pad", "squash", "crop")


def decoded(image: Image.Image, box: Box | None = None) -> Decoded:
    return Decoded(image, image.size, 1.0, box, False)


def mirrored(photo: Decoded) -> Decoded:
    width, box = photo.size[0], photo.box
    turned = None if box is None else Box(width - box.x1, box.y0, width - box.x0, box.y1)
    image = photo.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return replace(photo, image=image, box=turned)


def vector(photo: Decoded, encoder: Encoder, domain: Domain = "seller") -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = encoder.embed([encoder.prepare(photo, domain)], [domain])[0]
    return found


class Counting(RecipeEncoder):
    """Another encoder, and how many squares each call of it took."""

    def __init__(self, encoder: RecipeEncoder) -> None:
        self.recipe, self.fingerprint = encoder.recipe, encoder.fingerprint
        self.calls: list[int] = []
        self._encoder, self._lock = encoder, threading.Lock()

    def encode(
        self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]
    ) -> npt.NDArray[np.float32]:
        with self._lock:
            self.calls.append(len(pixels))
        return self._encoder.encode(pixels, domains)


# With the defaults nothing changes.


@pytest.mark.parametrize("fit", FITS)
def test_the_default_is_one_plain_crop(sample: Path, make_model: MakeModel, fit: Fit) -> None:
    encoder = load_encoder(make_model(fit=fit, pad_colour=[1, 2, 3]))
    dataset = read_dataset(sample)
    for photo in [*list(dataset.gallery)[:6], *list(dataset.queries)[:6]]:
        image = decode(read_bytes(photo.path), box=photo.box)
        (views,) = encoder.prepare(image, photo.domain)
        pixels = crop(image, size=16, fit=fit, pad_colour=(1, 2, 3))
        np.testing.assert_array_equal(views, pixels[None])
        np.testing.assert_array_equal(
            vector(image, encoder, photo.domain), encoder.encode(pixels[None], [photo.domain])[0]
        )


def test_the_built_in_model_takes_one_view_for_each_network(encoder: Encoder) -> None:
    assert encoder.decode_target("user") == (448, "longer")
    assert encoder.decode_target("seller") == (1792, "longer")  # Borders are cut off.
    views = encoder.prepare(decoded(picture(0)), "user")
    assert [each.shape for each in views] == [(1, 448, 448, 3), (1, 384, 384, 3)]


def test_one_zoom_of_1_is_no_zoom(make_model: MakeModel) -> None:
    photo = decoded(picture(0), Box(5, 7.5, 40, 30))
    plain, zoomed = load_encoder(make_model("a")), load_encoder(make_model("b", zooms=[1]))
    assert plain.fingerprint == zoomed.fingerprint
    np.testing.assert_array_equal(vector(photo, plain), vector(photo, zoomed))


# Flip and zooms.


@pytest.mark.parametrize("box", [None, Box(3, 4, 40, 31), Box(10.5, 3.25, 22.75, 45)])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("zooms", [[1.0], [0.7, 1.0, 1.6]])
def test_with_flip_a_photo_and_its_mirror_image_are_the_same(
    make_model: MakeModel, fit: Fit, box: Box | None, zooms: list[float]
) -> None:
    photo = decoded(picture(1), box)
    once = load_encoder(make_model("once", fit=fit, zooms=zooms))
    both = load_encoder(make_model("both", fit=fit, zooms=zooms, flip=True))
    # A pixel may be rounded the other way.
    np.testing.assert_allclose(vector(photo, both), vector(mirrored(photo), both), atol=1e-3)
    assert np.abs(vector(photo, once) - vector(mirrored(photo), once)).max() > 0.05


def test_the_vector_is_the_mean_of_the_views_vectors(make_model: MakeModel) -> None:
    photo = decoded(picture(2), Box(10, 10, 50, 40))
    encoder = load_encoder(make_model(zooms=[1.0, 0.5], flip=True, centres={"seller": [0.05] * 48}))
    (views,) = encoder.prepare(photo, "seller")
    assert views.shape == (4, 16, 16, 3)
    plain = crop(photo, size=16, fit="squash")
    inner = crop(replace(photo, box=Box(20, 17.5, 40, 32.5)), size=16, fit="squash")
    for view, expected in zip(views, (plain, plain[:, ::-1], inner, inner[:, ::-1]), strict=True):
        np.testing.assert_array_equal(view, expected)
    mean = encoder.encode(views, ["seller"] * 4).mean(axis=0)
    np.testing.assert_allclose(
        vector(photo, encoder), mean / np.linalg.norm(mean), rtol=0, atol=1e-6
    )


def test_crop_share_keeps_the_middle(make_model: MakeModel) -> None:
    photo = decoded(picture(3, (200, 100)))
    encoder = load_encoder(make_model(fit="crop", crop_share=0.8))
    expected = crop(replace(photo, box=Box(60, 10, 140, 90)), size=16, fit="crop")
    (views,) = encoder.prepare(photo, "user")
    assert np.abs(views[0].astype(int) - expected).max() <= 1


def test_the_recipes_filter_is_used(make_model: MakeModel) -> None:
    photo = decoded(picture(3, (200, 100)))
    found = []
    for name in ("bicubic", "bilinear", "hamming", "lanczos"):
        encoder = load_encoder(make_model(name, interpolation=name))
        (views,) = encoder.prepare(photo, "user")
        filtered = photo.image.resize((16, 16), getattr(Image.Resampling, name.upper()))
        assert np.abs(views[0].astype(int) - np.asarray(filtered)).max() <= 2
        found.append(views[0].tobytes())
    assert len(set(found)) == 4


# Margin and trim.


def test_a_box_is_given_its_domains_margin(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model(margin={"user": 0.25}))
    boxed = decoded(picture(4), Box(10, 8, 50, 28))

    def is_crop_of(photo: Decoded, box: Box | None, domain: Domain) -> bool:
        expected = crop(replace(photo, box=box), size=16, fit="squash")
        return np.array_equal(encoder.prepare(photo, domain)[0][0], expected)

    assert is_crop_of(boxed, Box(0, 3, 60, 33), "user")
    assert is_crop_of(boxed, boxed.box, "seller")
    assert is_crop_of(decoded(picture(4)), None, "user")
    # Clipped to the photo of 64 x 48.
    assert is_crop_of(decoded(picture(4), Box(40, 4, 60, 44)), Box(35, 0, 64, 48), "user")


def test_plain_borders_are_cut_from_photos_of_the_domains_named(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model(trim=["seller"]))
    image = Image.new("RGB", (160, 120), (255, 255, 255))
    image.paste(picture(5), (40, 30))
    product = crop(decoded(picture(5)), size=16, fit="squash").astype(int)

    def off(photo: Decoded, domain: Domain) -> int:
        return int(np.abs(encoder.prepare(photo, domain)[0][0] - product).max())

    alone = crop(replace(decoded(image), box=Box(40, 30, 104, 78)), size=16, fit="squash")
    np.testing.assert_array_equal(encoder.prepare(decoded(image), "seller")[0][0], alone)
    assert off(decoded(image), "user") > 50
    assert off(decoded(image, Box(0, 0, 160, 120)), "seller") > 50


def test_the_tolerance_of_borders_is_the_recipes(make_model: MakeModel) -> None:
    image = Image.new("RGB", (160, 120), (255, 255, 255))
    image.paste((235, 235, 235), (40, 30, 104, 78))
    image.paste((10, 10, 10), (60, 40, 104, 78))
    for tolerance, box in ((12, Box(40, 30, 104, 78)), (30, Box(60, 40, 104, 78))):
        encoder = load_encoder(
            make_model(f"t{tolerance}", trim=["seller"], trim_tolerance=tolerance)
        )
        expected = crop(decoded(image, box), size=16, fit="squash")
        np.testing.assert_array_equal(encoder.prepare(decoded(image), "seller")[0][0], expected)


# How large photos must be decoded.


@pytest.mark.parametrize(
    ("recipe", "target", "side"),
    [
        ({}, 16, "shorter"),
        ({"fit": "pad"}, 16, "longer"),
        ({"fit": "crop"}, 16, "shorter"),
        ({"fit": "crop", "crop_share": 0.875}, 19, "shorter"),
        ({"zooms": [0.5, 1.0, 2.0]}, 32, "shorter"),
        ({"zooms": [2.0]}, 16, "shorter"),
        ({"zooms": [0.5], "crop_share": 0.5}, 64, "shorter"),
        ({"flip": True, "margin": {"user": 0.5}}, 16, "shorter"),
        ({"trim": ["seller"]}, 64, "shorter"),
    ],
)
def test_photos_are_decoded_as_large_as_the_views_need(
    make_model: MakeModel, recipe: dict[str, object], target: int, side: str
) -> None:
    encoder = load_encoder(make_model(**recipe))
    assert encoder.decode_target() == (target, side)


def test_only_photos_that_are_trimmed_are_decoded_larger(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model(trim=["seller"]))
    assert encoder.decode_target("seller") == (64, "shorter")
    assert encoder.decode_target("user") == (16, "shorter")


def test_the_member_that_needs_most_decides_for_an_ensemble(make_model: MakeModel) -> None:
    padded = load_encoder(make_model("pad", fit="pad"))
    zoomed = load_encoder(make_model("zoom", fit="pad", zooms=[0.5]))
    squashed = load_encoder(make_model("squash"))
    assert ensemble(padded, zoomed).decode_target() == (32, "longer")
    assert ensemble(zoomed, squashed).decode_target() == (32, "shorter")


# Batches and ensembles.


def ensemble(*encoders: Encoder) -> Ensemble:
    members = [Member(encoder, weight) for weight, encoder in enumerate(encoders, start=1)]
    return Ensemble("several", members)


def test_members_share_the_views_of_a_domain_that_they_prepare_alike(
    make_model: MakeModel,
) -> None:
    trimming = make_model("trims", trim=["seller"], trim_tolerance=20, margin={"seller": 0.1})
    both = ensemble(load_encoder(trimming), load_encoder(make_model("plain")))
    image = Image.new("RGB", (160, 120), (255, 255, 255))
    image.paste(picture(5), (40, 30))
    first, second = both.prepare(decoded(image), "user")
    assert first is second
    first, second = both.prepare(decoded(image), "seller")
    assert np.abs(first.astype(int) - second).max() > 50


def photos_of(n: int) -> list[Decoded]:
    return [
        decoded(picture(seed), Box(4, 3, 40 + seed, 40) if seed % 2 else None) for seed in range(n)
    ]


def test_a_batch_gives_the_vectors_of_one_by_one(make_model: MakeModel) -> None:
    centres = {"seller": np.linspace(-0.1, 0.1, 48).tolist()}
    several = load_encoder(make_model("several", flip=True, zooms=[1, 1.2], centres=centres))
    small = load_encoder(
        make_model("small", input_size=8, graph_size=8, fit="pad", trim=["seller"])
    )
    domains: list[Domain] = ["user", "seller", "seller", "user"]
    for encoder in (several, small, ensemble(several, small)):
        photos = photos_of(4)
        prepared = [encoder.prepare(p, d) for p, d in zip(photos, domains, strict=True)]
        batch = encoder.embed(prepared, domains)
        assert batch.shape == (4, encoder.dimension)
        assert batch.dtype == np.float32
        alone = [vector(p, encoder, d) for p, d in zip(photos, domains, strict=True)]
        np.testing.assert_allclose(batch, alone, rtol=0, atol=1e-6)
        assert encoder.embed([], []).shape == (0, encoder.dimension)


def test_all_views_of_all_photos_go_to_the_model_in_one_call(make_model: MakeModel) -> None:
    first = Counting(load_encoder(make_model("first", flip=True, zooms=[1, 0.8, 1.2])))
    second = Counting(load_encoder(make_model("second")))
    both = ensemble(first, second)
    both.embed([both.prepare(p, "user") for p in photos_of(3)], ["user"] * 3)
    assert (first.calls, second.calls) == ([18], [3])


def test_an_ensembles_cosines_are_the_weighted_mean_of_its_members(make_model: MakeModel) -> None:
    first = load_encoder(make_model("first", flip=True))
    second = load_encoder(make_model("second", input_size=8, graph_size=8, fit="pad"))
    both = ensemble(first, second)
    a, b = photos_of(2)
    cosines = [float(vector(a, e) @ vector(b, e)) for e in (first, second, both)]
    assert cosines[2] == pytest.approx((cosines[0] + 2 * cosines[1]) / 3, abs=1e-6)


def test_members_of_equal_preparation_share_their_pixels(make_model: MakeModel) -> None:
    first = load_encoder(make_model("first"))
    second = load_encoder(make_model("second", mean=[90, 90, 90]))
    third = load_encoder(make_model("third", fit="crop"))
    prepared = ensemble(first, second, third).prepare(photos_of(1)[0], "user")
    assert prepared[0] is prepared[1]
    assert prepared[2] is not prepared[1]


def test_photos_prepared_for_another_model_are_refused(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model())
    photo = encoder.prepare(photos_of(1)[0], "user")
    with pytest.raises(ModelError, match=r"several has 2 members, .* prepared for \[1\]"):
        ensemble(encoder, encoder).embed([photo], ["user"])


def test_leading_components_are_cut_from_the_mean_of_views(make_model: MakeModel) -> None:
    """So that stored vectors can be cut to what the model itself would give."""
    folder = make_model(nested=[12], flip=True)
    whole, part = load_encoder(folder), load_encoder(folder, dimension=12)
    photo = decoded(picture(6))
    stored = vector(photo, whole)[:12]
    np.testing.assert_allclose(vector(photo, part), stored / np.linalg.norm(stored), atol=1e-6)


def test_a_photo_without_direction_is_an_error(make_model: MakeModel) -> None:
    grey = decoded(Image.new("RGB", (64, 48), (127, 127, 127)))
    for encoder in (load_encoder(make_model("one")), load_encoder(make_model("two", flip=True))):
        with pytest.raises(PhotoError) as caught:
            vector(grey, encoder)
        assert caught.value.reason == "no_direction"
