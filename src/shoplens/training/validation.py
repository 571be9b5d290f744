"""mAP@1000 on products kept out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from shoplens.datasets.dataset import Dataset
from shoplens.evaluation.bootstrap import Estimate
from shoplens.evaluation.scores import evaluate
from shoplens.parallel import parallel_map
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.progress import Progress, silent
from shoplens.ranking import rank
from shoplens.records import Photo, PhotoSet, Vectors
from shoplens.training.augment import Augmenter
from shoplens.training.backbones import Backbone
from shoplens.training.config import Augmentation
from shoplens.training.network import Network
from shoplens.training.photo_views import EarlyStages
from shoplens.training.photos import Product, TrainingPhoto
from shoplens.vectors.embeddings import Embeddings

MAX_QUERIES = 600
MAX_GALLERY = 1000
METRIC = "map@1000"

_BATCH = 64


@dataclass(frozen=True)
class ValidationSet:
    """One source's products that were kept out, with its other products as distractors."""

    name: str
    dataset: Dataset
    queries: npt.NDArray[np.float16]
    """(q, c, h, w): what `Network.late` takes."""
    gallery: npt.NDArray[np.float16]


class PlainViews:
    """Photos as they are embedded, not augmented.

    Photos with a transparent background (renders) get one as their domain has it, the same each
    time; without clutter to make it of, they are flattened on white.
    """

    def __init__(self, backbone: Backbone, size: int, clutter: Sequence[Path]) -> None:
        self._on_clutter = bool(clutter)
        self._augmenter = Augmenter(
            Augmentation.none().model_copy(update={"foreground_cut": 1.0, "backdrop": 1.0}),
            size=size,
            pad_colour=backbone.pad_colour,
            clutter=clutter,
        )
        self._backbone = backbone
        self._size = size

    def __call__(self, photo: TrainingPhoto) -> npt.NDArray[np.uint8]:
        """Return (s, s, 3) uint8."""
        if self._on_clutter and _is_transparent(photo.path):
            seed = hashlib.sha256(photo.key.encode()).digest()[:8]
            rng = np.random.default_rng(int.from_bytes(seed, "big"))
            domain = photo.domain
            return self._augmenter.view(photo.path, domain, domain, rng, box=photo.box)
        decoded = decode(read_bytes(photo.path), box=photo.box, target=self._size)
        return crop(
            decoded,
            size=self._size,
            fit=self._backbone.fit,
            pad_colour=self._backbone.pad_colour,
        )


def _is_transparent(path: Path) -> bool:
    with Image.open(path) as image:
        return image.mode in ("RGBA", "LA", "PA")


def make_sets(
    held_out: Sequence[Product],
    trained: Sequence[Product],
    plain: PlainViews,
    early: EarlyStages,
    progress: Progress = silent,
) -> list[ValidationSet]:
    """Return a validation set for each source that has products kept out."""
    sets = []
    for source in sorted({product.source for product in held_out}):
        own = [product for product in held_out if product.source == source]
        others = [product for product in trained if product.source == source]
        queries = spread_out([p for product in own for p in product.taken_by("user")], MAX_QUERIES)
        positives = [p for product in own for p in product.taken_by("seller")]
        distractors = [p for product in others for p in product.taken_by("seller")]
        room = max(0, MAX_GALLERY - len(positives))
        gallery = positives + spread_out(distractors, room)
        dataset = Dataset(Path(), _photo_set(gallery), _photo_set(queries))
        features = []
        for side in (queries, gallery):
            pixels = parallel_map(lambda photo: early(plain(photo)[None])[0], side)
            rows = []
            for number, row in enumerate(pixels):
                rows.append(row)
                progress(f"validation {source}", number + 1, len(side))
            features.append(np.stack(rows))
        sets.append(ValidationSet(source, dataset, features[0], features[1]))
    return sets


def validate(
    network: Network, sets: Sequence[ValidationSet], device: torch.device
) -> dict[str, Estimate]:
    """Return mAP@1000 with its interval by product for each set."""
    scores = {}
    for each in sets:
        queries = Embeddings(each.dataset.queries.ids, _late(network, each.queries, device))
        gallery = Embeddings(each.dataset.gallery.ids, _late(network, each.gallery, device))
        found = evaluate(rank(queries, gallery), each.dataset, metrics=(METRIC,))
        scores[each.name] = found[METRIC]
    return scores


@torch.no_grad()
def _late(network: Network, features: npt.NDArray[np.float16], device: torch.device) -> Vectors:
    was_training = network.training
    network.eval()
    parts = []
    for start in range(0, len(features), _BATCH):
        batch = torch.from_numpy(features[start : start + _BATCH].astype(np.float32)).to(device)
        parts.append(network.late(batch.contiguous(memory_format=torch.channels_last)).cpu())
    network.train(was_training)
    vectors: Vectors = torch.cat(parts).numpy()
    return vectors


def spread_out(photos: Sequence[TrainingPhoto], most: int) -> list[TrainingPhoto]:
    """Return at most so many photos, evenly spaced."""
    if len(photos) <= most:
        return list(photos)
    return [photos[int(place)] for place in np.linspace(0, len(photos) - 1, most).round()]


def _photo_set(photos: Sequence[TrainingPhoto]) -> PhotoSet:
    return PhotoSet(
        [
            Photo(number, photo.name, photo.path, photo.domain, photo.box, product_id=photo.product)
            for number, photo in enumerate(photos)
        ]
    )
