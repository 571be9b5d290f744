from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from shoplens.errors import PhotoError
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.records import Box, Domain
from shoplens.training import effects
from shoplens.training.augment import Augmenter
from shoplens.training.config import Augmentation

SIZE = 112
GREY = (127, 127, 127)
OFF = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0))
WAYS = [(a, b) for a in get_args(Domain) for b in get_args(Domain)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of a product: in clutter, before white, and without background; and clutter."""
    folder = tmp_path_factory.mktemp("photos")

    def scene(seed):
        coarse = np.random.default_rng(seed).integers(20, 236, (9, 12, 3), dtype=np.uint8)
        return cv2.resize(coarse, (200, 150), interpolation=cv2.INTER_CUBIC)

    mask = np.zeros((150, 200), np.uint8)
    cv2.rectangle(mask, (60, 40), (150, 120), 255, -1)
    product = np.empty((150, 200, 3), np.uint8)
    product[:] = (180, 60, 40)
    product[60:80, 70:140] = (40, 60, 200)
    solid = mask[..., None] == 255
    files = {name: folder / name for name in ("user.jpg", "seller.jpg", "render.webp")}
    Image.fromarray(np.where(solid, product, scene(1))).save(files["user.jpg"], quality=95)
    white = np.where(solid, product, 255).astype(np.uint8)
    Image.fromarray(white).save(files["seller.jpg"], quality=95)
    Image.fromarray(np.dstack([product, mask])).save(files["render.webp"], lossless=True)
    clutter = []
    for seed in range(3):
        clutter.append(folder / f"clutter-{seed}.jpg")
        Image.fromarray(scene(10 + seed)).save(clutter[-1])
    return {**files, "clutter": clutter}


def make(photos, settings, size=SIZE):
    return Augmenter(settings, size=size, pad_colour=GREY, clutter=photos["clutter"])


def plain(file, size=SIZE):
    return crop(decode(read_bytes(file), target=size), size=size, fit="pad", pad_colour=GREY)


@pytest.mark.parametrize(("taken_by", "as_domain"), WAYS)
@pytest.mark.parametrize("name", ["user.jpg", "seller.jpg", "render.webp"])
def test_views_are_squares_and_depend_on_the_seed_alone(photos, name, taken_by, as_domain):
    augmenter, again = make(photos, Augmentation()), make(photos, Augmentation())
    seen = []
    for seed in range(12):
        view = augmenter.view(photos[name], taken_by, as_domain, np.random.default_rng(seed))
        assert view.shape == (SIZE, SIZE, 3)
        assert view.dtype == np.uint8
        seen.append(view)
    for seed in (11, 3, 0):  # Caches and order change nothing.
        view = again.view(photos[name], taken_by, as_domain, np.random.default_rng(seed))
        assert np.array_equal(view, seen[seed])
    assert len({view.tobytes() for view in seen}) >= 11


@pytest.mark.parametrize(("taken_by", "as_domain"), WAYS)
@pytest.mark.parametrize("name", ["user.jpg", "seller.jpg"])
def test_with_all_chances_at_0_a_view_is_the_plain_crop(photos, name, taken_by, as_domain):
    view = make(photos, OFF).view(photos[name], taken_by, as_domain, np.random.default_rng(0))
    assert np.array_equal(view, plain(photos[name]))


@pytest.mark.parametrize("as_domain", get_args(Domain))
def test_with_all_chances_at_0_transparency_is_white(photos, as_domain):
    view = make(photos, OFF).view(
        photos["render.webp"], as_domain, as_domain, np.random.default_rng(0)
    )
    assert np.abs(view.astype(int) - plain(photos["render.webp"])).max() <= 1


def test_with_all_chances_at_0_a_large_jpeg_is_the_plain_crop_but_for_rounding(tmp_path):
    coarse = np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (1203, 901), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(large).save(tmp_path / "large.jpg", quality=95)
    augmenter = Augmenter(OFF, size=SIZE, pad_colour=GREY, clutter=())
    view = augmenter.view(tmp_path / "large.jpg", "user", "user", np.random.default_rng(0))
    assert np.abs(view.astype(int) - plain(tmp_path / "large.jpg")).mean() < 1.5


USER = ("perspective", "rotation", "occlusion", "box_jitter", "blur", "low_resolution", "noise")
BOTH = ("jpeg", "contrast", "colour_cast", "colour_variant", "mirror")


@pytest.mark.parametrize(
    ("setting", "name", "taken_by", "as_domain"),
    [(s, "user.jpg", "user", "user") for s in (*USER, *BOTH, "low_light")]
    + [(s, "seller.jpg", "seller", "user") for s in (*USER, *BOTH, "foreground_cut")]
    + [(s, "seller.jpg", "seller", "seller") for s in (*BOTH, "rotation", "box_jitter", "backdrop")]
    + [(s, "user.jpg", "user", "seller") for s in (*BOTH, "clean_up")]
    + [("foreground_cut", "render.webp", "user", "user")]
    + [("backdrop", "render.webp", "seller", "seller")],
)
def test_each_setting_has_its_effect(photos, setting, name, taken_by, as_domain):
    amount = {"rotation": 30, "box_jitter": 0.3}.get(setting, 1)
    augmenter = make(photos, OFF.model_copy(update={setting: amount}))
    rngs = [np.random.default_rng(seed) for seed in range(8)]
    views = [augmenter.view(photos[name], taken_by, as_domain, rng) for rng in rngs]
    changed = [not np.array_equal(view, plain(photos[name])) for view in views]
    assert sum(changed) >= 6


def test_a_shadow_darkens_what_a_product_is_pasted_on(photos):
    bare = OFF.model_copy(update={"backdrop": 1.0})
    shaded = bare.model_copy(update={"shadow": 1.0})
    views = [
        make(photos, settings).view(
            photos["render.webp"], "seller", "seller", np.random.default_rng(4)
        )
        for settings in (bare, shaded)
    ]
    assert views[1].mean() < views[0].mean()


def test_the_mirror_is_exact(photos):
    augmenter = make(photos, OFF.model_copy(update={"mirror": 1.0}))
    view = augmenter.view(photos["user.jpg"], "user", "user", np.random.default_rng(0))
    assert np.abs(view[:, ::-1].astype(int) - plain(photos["user.jpg"])).max() <= 1


def test_a_sellers_product_stands_in_clutter(photos):
    settings = OFF.model_copy(update={"foreground_cut": 1.0})
    view = make(photos, settings).view(
        photos["seller.jpg"], "seller", "user", np.random.default_rng(1)
    )
    # The box lies close around the product: its colours fill the middle, grey pads.
    assert np.abs(np.median(view[70:86, 36:76], axis=(0, 1)) - (180, 60, 40)).max() < 60
    assert np.all(view[0] == 127)
    assert (view > 245).all(axis=2).mean() < 0.05


def test_a_sellers_white_stays_light(photos):
    augmenter = make(photos, Augmentation(backdrop=1.0))
    for seed in range(12):
        view = augmenter.view(photos["render.webp"], "user", "seller", np.random.default_rng(seed))
        rows = np.flatnonzero((view != 127).any(axis=(1, 2)))
        columns = np.flatnonzero((view != 127).any(axis=(0, 2)))
        assert view[rows[3], columns[3]].mean() > 150


def test_without_clutter_there_is_a_surface(photos):
    augmenter = Augmenter(Augmentation(), size=SIZE, pad_colour=GREY, clutter=())
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert augmenter.view(photos["render.webp"], "user", "user", rng).std() > 5


def test_unreadable_clutter_is_passed_over(photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    augmenter = Augmenter(
        Augmentation(occlusion=1), size=SIZE, pad_colour=GREY, clutter=[tmp_path / "broken.jpg"]
    )
    for seed in range(5):
        rng = np.random.default_rng(seed)
        augmenter.view(photos["seller.jpg"], "seller", "user", rng)


def test_renders_serve_as_clutter(photos):
    augmenter = Augmenter(
        Augmentation(), size=SIZE, pad_colour=GREY, clutter=[photos["render.webp"]]
    )
    for seed in range(5):
        augmenter.view(photos["seller.jpg"], "seller", "user", np.random.default_rng(seed))


def test_a_photo_that_cannot_be_read_is_refused(photos, tmp_path):
    augmenter = make(photos, Augmentation())
    (tmp_path / "cut.jpg").write_bytes(photos["user.jpg"].read_bytes()[:900])
    for name, reason in (("cut.jpg", "truncated"), ("none.jpg", "missing")):
        with pytest.raises(PhotoError) as raised:
            augmenter.view(tmp_path / name, "user", "user", np.random.default_rng(0))
        assert raised.value.reason == reason


@pytest.mark.parametrize("shape", [(4, 300), (300, 4), (1, 1), (17, 23)])
@pytest.mark.parametrize(("taken_by", "as_domain"), WAYS)
def test_odd_shapes_give_views(photos, tmp_path, shape, taken_by, as_domain):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "odd.png")
    augmenter = make(photos, Augmentation())
    for seed in range(8):
        rng = np.random.default_rng(seed)
        view = augmenter.view(tmp_path / "odd.png", taken_by, as_domain, rng)
        assert view.shape == (SIZE, SIZE, 3)


def test_colour_variants_leave_grey_grey():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    for seed in range(20):
        colours = effects.colour_variant(np.random.default_rng(seed))
        assert np.abs(effects.mix(ramp, colours).astype(int) - ramp).max() <= 1


def test_an_obstacle_hides_a_quarter_at_most():
    for seed in range(50):
        mask = effects.obstacle(100, 140, np.random.default_rng(seed))
        assert mask.mean() / 255 <= 0.27


def test_effects_change_nothing_in_place():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    rng = np.random.default_rng(0)
    for result in (
        effects.tone(pixels, rng, 1.0),
        effects.cast(pixels, rng, 0.2),
        effects.low_light(pixels, rng),
        *(effects.blur(pixels, rng) for _ in range(4)),
        effects.low_resolution(pixels, rng),
        effects.noise(pixels, rng, 10),
        effects.jpeg(pixels, rng, (30, 40)),
        effects.balance(pixels, rng),
        effects.fade(pixels, rng),
    ):
        assert result.shape == pixels.shape
        assert result.dtype == np.uint8
        assert not np.array_equal(result, pixels)


def plain_in(file, box, size=SIZE):
    photo = decode(read_bytes(file), box=box, target=size)
    return crop(photo, size=size, fit="pad", pad_colour=GREY)


PRODUCT = Box(60, 40, 151, 121)
BOXES = [PRODUCT, Box(0, 0, 200, 150), Box(60.4, 40.7, 110, 80.2), Box(-30, 100, 90, 400)]


@pytest.mark.parametrize(("taken_by", "as_domain"), WAYS)
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("name", ["user.jpg", "seller.jpg"])
def test_with_all_chances_at_0_a_view_is_the_crop_of_the_box(
    photos, name, box, taken_by, as_domain
):
    rng = np.random.default_rng(0)
    view = make(photos, OFF).view(photos[name], taken_by, as_domain, rng, box=box)
    assert np.abs(view.astype(int) - plain_in(photos[name], box)).max() <= 1


@pytest.mark.parametrize("as_domain", get_args(Domain))
def test_with_all_chances_at_0_a_large_jpeg_is_the_crop_of_the_box(tmp_path, as_domain):
    coarse = np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (2403, 1801), interpolation=cv2.INTER_CUBIC)
    file, box = tmp_path / "large.jpg", Box(700, 333, 1805, 1111)
    Image.fromarray(large).save(file, quality=95)
    augmenter = Augmenter(OFF, size=SIZE, pad_colour=GREY, clutter=())
    view = augmenter.view(file, "user", as_domain, np.random.default_rng(0), box=box)
    assert np.abs(view.astype(int) - plain_in(file, box)).mean() < 1.5


def test_the_mirror_of_a_box_is_exact(photos):
    augmenter, box = make(photos, OFF.model_copy(update={"mirror": 1.0})), Box(20, 30, 101, 111)
    view = augmenter.view(photos["user.jpg"], "user", "user", np.random.default_rng(0), box=box)
    assert np.abs(view[:, ::-1].astype(int) - plain_in(photos["user.jpg"], box)).max() <= 1


@pytest.mark.parametrize(("taken_by", "as_domain"), WAYS)
@pytest.mark.parametrize("name", ["user.jpg", "seller.jpg", "render.webp"])
def test_views_of_boxes_are_squares_and_depend_on_the_seed_alone(photos, name, taken_by, as_domain):
    augmenter, again = make(photos, Augmentation()), make(photos, Augmentation())
    for box in (*BOXES, Box(100, 70, 101, 71), Box(199.5, 149.5, 999, 999)):
        for seed in range(6):
            views = [
                a.view(photos[name], taken_by, as_domain, np.random.default_rng(seed), box=box)
                for a in (augmenter, again)
            ]
            assert views[0].shape == (SIZE, SIZE, 3)
            assert np.array_equal(*views)


def test_what_lies_outside_a_box_is_not_in_the_view(tmp_path):
    """Two products before white, the one beside the box far away or near."""
    pixels = np.full((200, 400, 3), 255, np.uint8)
    pixels[60:140, 40:140] = (200, 30, 30)
    pixels[60:140, 160:360] = (30, 30, 200)
    Image.fromarray(pixels).save(tmp_path / "two.png")
    settings = OFF.model_copy(update={"foreground_cut": 1.0, "backdrop": 1.0})
    augmenter = Augmenter(settings, size=SIZE, pad_colour=GREY, clutter=())
    for as_domain in get_args(Domain):
        rng = np.random.default_rng(2)
        view = augmenter.view(
            tmp_path / "two.png", "seller", as_domain, rng, box=Box(30, 50, 150, 150)
        ).astype(int)
        assert ((view[..., 0] - view[..., 2]) > 100).mean() > 0.3
        assert ((view[..., 2] - view[..., 0]) > 100).mean() < 0.01


def test_a_box_outside_its_photo_is_refused(photos):
    for name in ("user.jpg", "render.webp"):
        with pytest.raises(PhotoError) as raised:
            make(photos, Augmentation()).view(
                photos[name], "user", "user", np.random.default_rng(0), box=Box(500, 0, 600, 50)
            )
        assert raised.value.reason == "outside_box"
