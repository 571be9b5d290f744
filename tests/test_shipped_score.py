"""The score of the model that ships, on the sample that ships: docs and users rely on both."""

from __future__ import annotations

from pathlib import Path

import pytest

import shoplens
from shoplens.models import Encoder


def test_the_built_in_model_scores_on_the_sample_what_it_did(
    sample: Path, encoder: Encoder
) -> None:
    dataset = shoplens.read_dataset(sample)
    queries = shoplens.embed(dataset.queries, encoder)
    gallery = shoplens.embed(dataset.gallery, encoder)
    scores = shoplens.evaluate(shoplens.rank(queries, gallery), dataset)
    # Processors round differently; a change of photos, weights or preprocessing moves it further.
    assert scores["map@1000"].value == pytest.approx(0.9038, abs=0.002)
