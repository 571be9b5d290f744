"""What a network is to make of a photo: the combined view of larger teachers.

Few thousand photos of few kinds of product teach a network little that holds for others, and make
it forget much. What several networks at higher resolution see in the same photos, unspoilt by
clutter and bad light, is a target that keeps the geometry of their training. A network that is
shown a spoilt view and has to give the target of the clean photo learns to see through the clutter
(distillation, Hinton et al., 2015; noisy students, Xie et al., CVPR 2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shoplens.files import replacing
from shoplens.parallel import parallel_map
from shoplens.pixels.crops import crop
from shoplens.pixels.decoding import decode, read_bytes
from shoplens.progress import Progress, silent
from shoplens.records import Vector, Vectors
from shoplens.training import config
from shoplens.training.backbones import load_backbone
from shoplens.training.network import Network
from shoplens.training.photos import Product, Region, TrainingPhoto
from shoplens.training.tracing import Traced


class Targets:
    """A target for every photo, (dimension,) of unit length."""

    def __init__(self, vectors: Mapping[Region, npt.NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def of(self, photos: Sequence[TrainingPhoto]) -> Tensor:
        """Return the targets of photos, (n, dimension) float32."""
        return torch.from_numpy(np.stack([self._vectors[photo.region] for photo in photos]))


def make_targets(
    products: Sequence[Product],
    settings: config.Distillation,
    dimension: int,
    folder: Path,
    progress: Progress = silent,
) -> Targets:
    """Embed every photo by all teachers and combine what they give.

    Each teacher's unit vectors are centred by source and domain, so that the target of a snapshot
    does not tell that it is one. The teachers' vectors are put side by side and reduced to their
    principal components, those that vary much among these few kinds of product scaled down. A
    photo's target is then moved towards the mean of its product's photos.

    Args:
        products: whose photos (their boxes, where they have one) are embedded, not augmented.
        settings: the teachers and how they are combined.
        dimension: of the targets.
        folder: where vectors of teachers are kept, for a run that goes on.
        progress: told how many photos are done.
    """
    photos = [photo for product in products for photo in product.photos]
    sides = [_embed(photos, teacher, folder, progress) for teacher in settings.teachers]
    groups = [f"{photo.source} {photo.domain}" for photo in photos]
    for vectors in sides:
        for group in set(groups):
            members = np.array([name == group for name in groups])
            vectors[members] -= vectors[members].mean(axis=0)
    joint = _unit(np.concatenate([_unit(vectors) for vectors in sides], axis=1))
    spread, components = np.linalg.eigh(joint.T @ joint)
    largest = np.argsort(-spread)[:dimension]
    scales = np.maximum(spread[largest], 1e-12) ** (-settings.whitening / 2)
    targets = _unit(joint @ (components[:, largest] * scales.astype(np.float32)))
    places = {photo.region: row for row, photo in enumerate(photos)}
    for product in products:
        own = [places[photo.region] for photo in product.photos]
        mean = _unit(targets[own].mean(axis=0, keepdims=True))
        share = settings.product_share
        targets[own] = _unit((1 - share) * targets[own] + share * mean)
    return Targets({region: targets[row] for region, row in places.items()})


def _embed(
    photos: Sequence[TrainingPhoto], teacher: config.Teacher, folder: Path, progress: Progress
) -> Vectors:
    """Return (n, channels) unit vectors of photos, from the folder where it holds them."""
    backbone = load_backbone(teacher.backbone)
    network = Network(backbone, config.NetworkConfig(frozen_stages=0, dimension=2))
    size = teacher.input_size
    graph = Traced(Pooled(network), size)
    # By weights, not by name: a model folder may be made anew.
    key = hashlib.sha256(graph.weights)
    key.update(repr((teacher, backbone.fit, backbone.pad_colour)).encode())
    key.update(repr([photo.key for photo in photos]).encode())
    file = folder / f"{key.hexdigest()[:16]}.npy"
    if file.is_file():
        known: Vectors = np.load(file)
        return known

    def vector_of(photo: TrainingPhoto) -> Vector:
        decoded = decode(read_bytes(photo.path), box=photo.box, target=size)
        pixels = crop(decoded, size=size, fit=backbone.fit, pad_colour=backbone.pad_colour)
        views = [pixels, np.ascontiguousarray(pixels[:, ::-1])] if teacher.mirror else [pixels]
        mean: Vector = _unit(np.concatenate([graph(view[None]) for view in views])).mean(axis=0)
        return mean

    rows = []
    for row in parallel_map(vector_of, photos):
        rows.append(row)
        progress(f"{teacher.backbone} at {size} px", len(rows), len(photos))
    vectors = _unit(np.stack(rows))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(file) as stream:
        np.save(stream, vectors)
    return vectors


class Pooled(nn.Module):
    """A network up to its pooled features, (n, s, s, 3) uint8 to (n, channels) float32."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Pool photos; rows are of unit length."""
        return self.network.pooled(self.network.early(pixels))


def _unit(vectors: npt.NDArray[np.float32]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
