from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from made_prints import clutter, cover, shot
from PIL import Image

from shoplens import Box
from shoplens.embedding.sets import as_photo
from shoplens.errors import MissingError
from shoplens.reranking import local_features as module
from shoplens.reranking.local_features import LocalFeatures, local_features, n_verified
from shoplens.reranking.verification import Verification

with_opencv = pytest.mark.skipif(find_spec("cv2") is None, reason="needs the extra [verify]")


def features(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> LocalFeatures:
    return local_features(as_photo(image, "user", None if box is None else Box(*box)))


@with_opencv
def test_photos_of_prints_are_told_from_those_of_others() -> None:
    prints = [features(cover(number)) for number in range(8)]
    for number in range(8):
        taken = shot(cover(number), 40 + number)
        found = [n_verified(features(taken.image, taken.box), one) for one in prints]
        others = [n for other, n in enumerate(found) if other != number]
        assert found[number] >= 2 * Verification().least
        assert max(others) < Verification().least


@with_opencv
def test_a_whole_photo_with_clutter_around_the_print_is_found_too() -> None:
    taken = shot(cover(3), 7)
    assert n_verified(features(taken.image), features(cover(3))) >= Verification().least


@with_opencv
def test_clutter_alone_verifies_nothing() -> None:
    prints = [features(cover(number)) for number in range(4)]
    for seed in range(4):
        behind = features(clutter(seed))
        assert max(n_verified(behind, one) for one in prints) < Verification().least


@with_opencv
def test_a_mirrored_print_is_another_product() -> None:
    mirrored = cover(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert n_verified(features(mirrored), features(cover(2))) == 0
    assert n_verified(features(cover(2)), features(cover(2))) > 50


@with_opencv
@pytest.mark.parametrize("size", [(1, 1), (300, 4), (64, 64)])
def test_a_plain_photo_has_no_corners(size: tuple[int, int]) -> None:
    plain = features(Image.new("RGB", size, "white"))
    assert len(plain.points) == len(plain.descriptors) == 0
    assert n_verified(plain, features(cover(0))) == 0
    assert n_verified(features(cover(0)), plain) == 0


def test_the_worked_example() -> None:
    """The example of docs/reranking.md: 30 places raise 0.4 to 0.85, 9 raise nothing."""
    step = Verification(least=10)
    scores = np.array([0.4, 0.5], dtype=np.float32)
    raised = step.raised(scores, np.array([30, 9]))
    np.testing.assert_allclose(raised, [0.85, 0.5])


def test_without_opencv_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingError, match=r"shoplens\[verify\]"):
        module.opencv()


@with_opencv
def test_the_kept_corners_are_as_large_as_the_cost_says() -> None:
    found = features(cover(1))
    assert found.points.nbytes + found.descriptors.nbytes <= 1000 * 40
