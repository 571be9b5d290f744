"""The options of commands that rank a dataset."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.cli.console import progress_display
from shoplens.cli.options import (
    boxes_option,
    columns_option,
    embedding_options,
    gallery_vectors_option,
    query_vectors_option,
    remote_option,
)
from shoplens.cli.query_view_options import query_views_option
from shoplens.cli.region_options import regions_option
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.pipeline import RankedDataset, VectorFiles, rank_dataset
from shoplens.records import BoxFrame


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """How a dataset is read and ranked."""

    gallery_vectors: Path | None
    query_vectors: Path | None
    regions: int
    query_views: int
    box_frame: BoxFrame
    columns: dict[str, str]
    remote: bool
    embedding: EmbeddingSettings

    @property
    def own_vectors(self) -> bool:
        """Whether vectors come from files."""
        return self.gallery_vectors is not None or self.query_vectors is not None

    def read(self, dataset: str) -> Dataset:
        """Read a dataset."""
        return read_dataset(
            dataset, columns=self.columns, box_frame=self.box_frame, remote=self.remote
        )

    def rank(self, data: Dataset, save_vectors: Path | None = None) -> RankedDataset:
        """Embed a dataset and rank its gallery; `save_vectors` is a folder for the vectors."""
        files = VectorFiles(self.gallery_vectors, self.query_vectors, save_vectors)
        with progress_display() as progress:
            return rank_dataset(
                data,
                self.embedding,
                files,
                regions=self.regions,
                query_views=self.query_views,
                progress=progress,
            )


_OPTIONS = (
    gallery_vectors_option,
    query_vectors_option,
    regions_option,
    query_views_option,
    boxes_option,
    columns_option,
    remote_option,
    embedding_options,
)


def ranking_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options; they reach the command as `options`."""

    @functools.wraps(command)
    def collected(
        gallery_vectors: Path | None,
        query_vectors: Path | None,
        regions: int,
        query_views: int,
        box_frame: BoxFrame,
        columns: dict[str, str],
        remote: bool,
        embedding: EmbeddingSettings,
        **others: Any,
    ) -> int | None:
        options = RankingOptions(
            gallery_vectors,
            query_vectors,
            regions,
            query_views,
            box_frame,
            columns,
            remote,
            embedding,
        )
        return command(options=options, **others)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected
