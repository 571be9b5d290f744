"""A ranker with the interface of the 2023 starter kit, to run as it is or to build on.

In a submission's `my_submission/user_config.py`::

    from shoplens.challenge.ranker import ShoplensRanker

    class My_Ranker(ShoplensRanker):
        model = "models/mine"        # a built-in name, or a folder beside my_submission

It runs in any harness that follows the kit: `shoplens challenge run`, and the original one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from shoplens.datasets.tables import read_table
from shoplens.embedding import embed
from shoplens.errors import DataError, MissingError, ShoplensError
from shoplens.models import BASE_MODEL, load_encoder
from shoplens.models.devices import CPU
from shoplens.ranking import DEPTH, Ranking, rank
from shoplens.records import Domain, PhotoSet
from shoplens.sources.file import DiskFile
from shoplens.sources.folder import DiskFolder
from shoplens.vectors.embeddings import Embeddings

_INTERVAL = 10.0
"""Seconds between two lines of progress."""

Ids = npt.NDArray[np.int32]


class ShoplensRanker:
    """Embeds gallery and queries with one of shoplens's models and compares them exactly.

    A subclass chooses the model by the attributes, and changes the steps by overriding `embed` and
    `rank`. Photos that cannot be read are counted on standard error and shift no row.
    """

    model: str | Path = BASE_MODEL
    """As `shoplens.load_encoder` takes it; a path counts from the working directory, which is the
    submission's folder. It is faster than the default model of shoplens, for the challenge's
    budget."""
    dimension: int | None = None
    """How many leading components of the vectors to use; None takes all."""
    device: str = CPU
    """As `shoplens.load_encoder` takes it: `cpu`, `openvino`, `openvino:bf16`, `cuda`, ..."""

    def __init__(
        self, dataset_path: str | Path, gallery_csv_path: str | Path, queries_csv_path: str | Path
    ) -> None:
        """Load the model and read the tables; ends by `raise_aicrowd_error` where it cannot.

        Args:
            dataset_path: the folder that `img_path`s are relative to.
            gallery_csv_path: the table of seller photos.
            queries_csv_path: the table of user photos with their boxes.
        """
        try:
            self.encoder = load_encoder(self.model, dimension=self.dimension, device=self.device)
            root = Path(dataset_path)
            self.gallery = _read(Path(gallery_csv_path), root, "seller")
            self.queries = _read(Path(queries_csv_path), root, "user")
        except ShoplensError as error:
            self.raise_aicrowd_error(str(error))

    def predict_product_ranks(self) -> Ids:
        """Return (n_queries, min(1000, n_gallery)) int32 `seller_img_id`s, best first."""
        gallery = self.embed(self.gallery)
        queries = self.embed(self.queries)
        return complete_rows(self.rank(queries, gallery).ids, self.gallery.ids)

    def embed(self, photos: PhotoSet) -> Embeddings:
        """Return the vectors of the gallery's or the queries' photos, in their order."""
        embedded = embed(photos, self.encoder, cache=False, progress=StderrProgress())
        for reason, count in embedded.failures_by_reason().items():
            sys.stderr.write(f"{count:,} of {len(photos):,} photos failed: {reason}\n")
        return embedded

    def rank(self, queries: Embeddings, gallery: Embeddings) -> Ranking:
        """Return for each query the gallery's ids, best first."""
        return rank(queries, gallery, progress=StderrProgress())

    def raise_aicrowd_error(self, msg: str) -> NoReturn:
        """End the run with a message for whoever submitted it."""
        raise ShoplensError(msg)


def complete_rows(ids: Ids, gallery_ids: Ids) -> Ids:
    """Bring rows to the length of an answer: 1000, or the gallery's where that is smaller.

    Args:
        ids: (q, k) int32, unique within a row.
        gallery_ids: (n,) int32.

    Returns:
        (q, min(1000, n)) int32: longer rows are cut, shorter ones go on with the gallery photos
        they lack, in gallery order.
    """
    length = min(DEPTH, len(gallery_ids))
    given = min(ids.shape[1], length)
    complete = np.empty((len(ids), length), dtype=np.int32)
    complete[:, :given] = ids[:, :given]
    if given < length:
        by_id = np.argsort(gallery_ids)
        for row in complete:
            found = np.searchsorted(gallery_ids, row[:given], sorter=by_id)
            lacking = np.ones(len(gallery_ids), dtype=np.bool_)
            lacking[by_id[np.minimum(found, len(by_id) - 1)]] = False
            row[given:] = gallery_ids[lacking][: length - given]
    return complete


class StderrProgress:
    """Says on standard error how far a stage is, a line now and then: it ends up in the log."""

    def __init__(self) -> None:
        self._started = self._said = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress as `shoplens.progress.Progress` has it."""
        now = time.monotonic()
        if done < total and now - self._said < _INTERVAL:
            return
        self._said = now
        rate = done / max(now - self._started, 1e-9)
        sys.stderr.write(f"{stage}: {done:,} of {total:,}, {rate:,.0f}/s\n")
        sys.stderr.flush()


def _read(table: Path, root: Path, domain: Domain) -> PhotoSet:
    if not table.is_file():
        raise MissingError(f"{table} is not there")
    # The data may be a stranger's: links in them must not lead elsewhere.
    read = read_table(DiskFile(table), DiskFolder(root, follow_links=False), domain)
    if read.faults:
        raise DataError(f"{table} cannot be used (see also `shoplens check`)", read.faults)
    return PhotoSet(read.photos)
