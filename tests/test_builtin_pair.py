"""The built-in pair of networks, lite0-lite2-products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from shoplens import PhotoSet, embed, load_encoder, read_dataset
from shoplens.models import unit
from shoplens.models.ensemble import Ensemble
from shoplens.pixels.decoding import Decoded


def test_only_the_first_network_is_spared_the_borders_of_sellers_photos() -> None:
    pair = load_encoder("lite0-lite2-products")
    picture = Image.new("RGB", (400, 400), "white")
    picture.paste((255, 0, 0), (120, 120, 280, 280))
    photo = Decoded(picture, picture.size, 1.0, None, clipped=False)
    share_of_red = [
        [float((view[0, :, :, 1] < 128).mean()) for view in pair.prepare(photo, domain)]
        for domain in ("seller", "user")
    ]
    np.testing.assert_allclose(share_of_red, [[1, 0.16], [0.16, 0.16]], atol=0.01)


def test_a_vector_holds_the_components_of_both_networks_vectors(sample: Path) -> None:
    pair = load_encoder("lite0-lite2-products")
    assert isinstance(pair, Ensemble)
    assert pair.head is not None
    # A part of a rotation: what is left out is all that cosines lose.
    np.testing.assert_allclose(pair.head.weight @ pair.head.weight.T, np.eye(512), atol=2e-3)
    queries = PhotoSet(read_dataset(sample).queries[:4])
    each = [embed(queries, member.encoder).vectors for member in pair.members]
    expected = unit(np.concatenate(each, axis=1) @ pair.head.weight.T)
    vectors = embed(queries, pair).vectors
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    short = embed(queries, load_encoder("lite0-lite2-products", dimension=128)).vectors
    np.testing.assert_allclose(short, unit(expected[:, :128]), atol=1e-5)
