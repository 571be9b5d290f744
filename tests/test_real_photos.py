"""The main job on real photos with their faults, where they are at hand (see conftest)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shoplens.datasets.checking import check
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.embedding import embed
from shoplens.evaluation.scores import evaluate
from shoplens.models import Encoder
from shoplens.ranking import rank
from shoplens.records import PhotoSet


def test_the_development_set_has_no_faults(real_photos: Path) -> None:
    report = check(real_photos)
    assert report.faults == ()
    assert (report.n_gallery, report.n_queries) == (495, 921)
    assert report.n_without_positive == 0


def test_real_user_photos_find_their_products_far_above_chance(
    real_photos: Path, encoder: Encoder
) -> None:
    full = read_dataset(real_photos)
    wanted = sorted({photo.product_id for photo in full.gallery if photo.product_id})[:30]
    gallery = PhotoSet([p for p in full.gallery if p.product_id in wanted])
    queries = PhotoSet([p for p in full.queries if p.product_id in wanted][:60])
    part = Dataset(full.root, gallery, queries)
    of_gallery, of_queries = embed(gallery, encoder), embed(queries, encoder)
    assert of_gallery.failures == of_queries.failures == ()
    scores = evaluate(rank(of_queries, of_gallery), part)
    blind = np.random.default_rng(0).permutation(len(gallery))
    shuffled = rank(of_queries, of_gallery)
    shuffled.ids[:] = gallery.ids[blind][: shuffled.ids.shape[1]]
    chance = evaluate(shuffled, part)["map@1000"].value
    assert scores["map@1000"].value > 3 * chance
