"""Reading a saved ranking, or anybody's answer, from a file to score it."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from shoplens.answers.answer import Finding, Policy, check_answer, read_answer, refusal
from shoplens.datasets.dataset import Dataset
from shoplens.errors import RankingError, reason_of
from shoplens.json_text import parse_object
from shoplens.ranking import Ranking, is_reranked

_UNFORGIVEN = frozenset({"repeat", "nan", "blank"})
"""Findings that lenient scoring forgives and scoring without a policy does not."""


def read_ranking(
    file: Path, dataset: Dataset, policy: Policy | None
) -> tuple[Ranking, tuple[Finding, ...]]:
    """Read a saved ranking or an answer array, and check it against a dataset.

    Args:
        file: `.npz` as `Ranking.save` writes it, or an answer in `.npy`, `.npz` or `.csv`.
        dataset: what it ranks.
        policy: what is forgiven (see `shoplens.answers.answer`); None forgives only more or fewer
            columns than a full answer has.

    Returns:
        The ranking, and what was found and forgiven.

    Raises:
        MissingError: no such file.
        RankingError: it is not a ranking of this dataset, or has faults that are not forgiven.
    """
    query_ids, gallery_ids = dataset.queries.ids, dataset.gallery.ids
    saved = Ranking.load(file, query_ids) if is_saved_ranking(file) else None
    if saved is None:
        array = read_answer(file, query_ids)
    elif saved.blank is None:
        array = saved.ids
    elif policy is None:
        return saved, ()  # Its blank places were forgiven when it was made.
    else:
        array = np.where(saved.blank, np.nan, saved.ids)
    checked = check_answer(array, query_ids, gallery_ids, policy or "lenient")
    findings = checked.findings
    if policy is None:
        findings = tuple(
            replace(f, level="error") if f.code in _UNFORGIVEN else f for f in findings
        )
    if any(finding.level == "error" for finding in findings):
        way_out = "\n--policy lenient drops repeats and scores empty places as misses"
        raise RankingError(f"{refusal(findings)}{way_out if checked.accepted else ''}")
    ranking = checked.require()
    if saved is not None:
        ranking = replace(saved, ids=ranking.ids, blank=ranking.blank, scores=None)
    return ranking, findings


def is_saved_ranking(file: Path) -> bool:
    """Return whether a file is an .npz with what `Ranking.save` writes."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as members:
        return "meta.npy" in members.namelist()


def reranking_class(file: Path) -> Literal["gallery-side", "batch-side"] | None:
    """Return how a saved ranking says that it was re-ranked: None if not, and for other files.

    Raises `RankingError` if what it says cannot be read.
    """
    if not is_saved_ranking(file):
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            meta = parse_object(str(arrays["meta"]), f"{file}, meta", RankingError)
    except RankingError:
        raise
    except Exception as error:  # A damaged zip or header can raise almost anything.
        raise RankingError(f"{file} is not a ranking in .npz: {reason_of(error)}") from error
    if meta.get("batch_side") is True:
        return "batch-side"
    chain = meta.get("chain")
    steps = [str(step) for step in chain] if isinstance(chain, list) else []
    return "gallery-side" if is_reranked(steps) else None
