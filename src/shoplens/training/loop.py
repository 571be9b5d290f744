"""The training run: from a configuration to weights, curves and a report."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from shoplens.errors import DataError, MissingError
from shoplens.evaluation.bootstrap import Estimate
from shoplens.files import replacing, write_text
from shoplens.progress import Progress, silent
from shoplens.records import Domain, Failure
from shoplens.training.augment import Augmenter
from shoplens.training.averaging import greedy_soup, interpolate
from shoplens.training.backbones import Backbone, load_backbone
from shoplens.training.checkpoint import Checkpoint
from shoplens.training.config import Config
from shoplens.training.fitted import Group, fit_centres, fit_head, pooled_features
from shoplens.training.fitting import Fitting
from shoplens.training.lessons import Lessons
from shoplens.training.network import Network
from shoplens.training.photo_views import EarlyStages, FreshViews, StoredViews, Views, readable
from shoplens.training.photos import Product, read_products, split
from shoplens.training.progress_curves import CurveLog, plot_curves
from shoplens.training.sampling import ProductSampler
from shoplens.training.teacher import Targets, make_targets
from shoplens.training.validation import (
    METRIC,
    PlainViews,
    ValidationSet,
    make_sets,
    validate,
)

_PHOTOS_TO_FIT = 1000
"""Photos of a source and domain, at most, that head and centres are fitted to."""


@dataclass(frozen=True)
class Trained:
    """What a finished run leaves."""

    config: Config
    backbone: Backbone
    network: Network
    centres: Mapping[Domain, tuple[float, ...]]


@dataclass
class Report:
    """What a run did."""

    steps: int = 0
    n_photos: int = 0
    n_products: int = 0
    n_held_out: int = 0
    failures: tuple[Failure, ...] = ()
    scores: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    """mAP@1000 by validation set, of `start` weights and of the `result`."""
    start_share: float = 0.0
    """Share of the start weights in the result."""
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "steps": self.steps,
            "n_photos": self.n_photos,
            "n_products": self.n_products,
            "n_held_out": self.n_held_out,
            "failures": dict(Counter(f.reason for f in self.failures)),
            "start_share": self.start_share,
            "scores": {
                when: {
                    name: {"value": e.value, "low": e.low, "high": e.high}
                    for name, e in scores.items()
                }
                for when, scores in self.scores.items()
            },
            "seconds": {stage: round(spent, 1) for stage, spent in self.seconds.items()},
        }


def train(
    config: Config, output: Path, *, resume: bool = False, progress: Progress = silent
) -> Report:
    """Train an embedding.

    Args:
        config: the run.
        output: folder for `model.pt`, `report.json`, `curves.csv`, `curves.png`, and what a
            stopped run goes on from (`checkpoint/`, `views/`).
        resume: go on with a run that was stopped; it ends in the same weights as one that was not.
        progress: told of stages and steps.

    Returns:
        A `Report`; `load_run(output)` gives the network.

    Raises:
        DataError: tables or configuration are faulty, or `output` holds another run.
        MissingError: a table, a backbone's file or library is not there.
    """
    _claim(config, output, resume)
    return _Run(config, output, resume, progress).go()


def load_run(output: Path) -> Trained:
    """Load what `train` left in a folder.

    Raises `MissingError` when there is no finished run.
    """
    file = output / "model.pt"
    if not file.is_file():
        raise MissingError(f"{output} holds no finished training run (no model.pt)")
    saved = torch.load(file, map_location="cpu", weights_only=True)
    config = Config.model_validate_json(saved["config"])
    backbone = load_backbone(config.network.backbone, random_weights=True)
    network = Network(backbone, config.network)
    network.load_state_dict(saved["network"])
    return Trained(config, backbone, network.eval(), saved["centres"])


class _Run:
    def __init__(self, config: Config, output: Path, resume: bool, progress: Progress) -> None:
        self.config = config
        self.output = output
        self.resume = resume
        self.progress = progress
        self.report = Report()
        self.accelerator = Accelerator(mixed_precision=config.optimiser.precision)
        set_seed(config.seed)

    def go(self) -> Report:
        clock = _Clock(self.report.seconds)
        config = self.config
        products, failures = readable(read_products(config.photos), self.progress)
        trained, held_out = split(products, config.holdout)
        self.report.failures = tuple(failures)
        self.report.n_photos = sum(len(product.photos) for product in products)
        self.report.n_products, self.report.n_held_out = len(trained), len(held_out)
        if len(trained) < 2:
            raise DataError(f"{len(trained)} products to train on; at least 2 are needed")
        backbone = load_backbone(
            config.network.backbone, random_weights=config.network.random_weights
        )
        network = Network(backbone, config.network)
        # Torch releases differ in whether this overload is typed.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
        size = config.input_size
        clutter = [photo.path for product in trained for photo in product.taken_by("user")]
        augmenter = Augmenter(
            config.views.augmentation,
            size=config.views.input_size,
            pad_colour=backbone.pad_colour,
            clutter=clutter,
        )
        plain, on_white = PlainViews(backbone, size, clutter), PlainViews(backbone, size, ())
        early = EarlyStages(network, size)
        sets = make_sets(held_out, trained, plain, early, self.progress)
        clock.lap("prepare")
        device = self.accelerator.device
        network.to(device)

        def features_of(products: Sequence[Product]) -> dict[Group, Tensor]:
            most = _PHOTOS_TO_FIT
            progress = self.progress
            return pooled_features(network, products, on_white, early, most=most, progress=progress)

        groups = features_of(trained)
        fit_head(network, groups, config.network.whitening)
        clock.lap("head")
        start = {name: value.clone() for name, value in network.state_dict().items()}
        self.report.scores["start"] = validate(network, sets, device)
        clock.lap("validate")
        averaged = network
        if config.optimiser.epochs:
            sampler = ProductSampler(trained, config.batch, config.seed)
            views = self._views(trained, augmenter, network)
            clock.lap("views")
            targets = self._targets(trained)
            clock.lap("teachers")
            averaged = self._fit(
                network,
                Lessons(sampler, views, targets),
                [len(product.photos) for product in trained],
                config.optimiser.steps_per_epoch or sampler.steps_per_epoch(),
                sets,
                clock,
            )
        self._choose(network, start, averaged, sets)
        clock.lap("validate")
        if config.optimiser.epochs:
            groups = features_of(trained)
        wanted = config.centre_sources
        centres = fit_centres(
            network, {g: rows for g, rows in groups.items() if wanted is None or g[0] in wanted}
        )
        clock.lap("centres")
        self._save(network, centres)
        return self.report

    def _views(self, products: Sequence[Product], augmenter: Augmenter, network: Network) -> Views:
        if not self.config.network.frozen_stages:
            return FreshViews(augmenter, network, self.accelerator.device)
        return StoredViews(
            self.output / "views",
            products,
            augmenter,
            network,
            size=self.config.views.input_size,
            per_product=self.config.views.per_product,
            seed=self.config.seed,
            progress=self.progress,
        )

    def _targets(self, products: Sequence[Product]) -> Targets | None:
        if self.config.distillation is None:
            return None
        dimension = self.config.network.dimension
        folder = self.output / "teachers"
        return make_targets(products, self.config.distillation, dimension, folder, self.progress)

    def _fit(
        self,
        network: Network,
        lessons: Lessons,
        photos_per_product: Sequence[int],
        per_epoch: int,
        sets: Sequence[ValidationSet],
        clock: _Clock,
    ) -> Network:
        """Train; return the network with averaged weights."""
        total = self.config.optimiser.epochs * per_epoch
        fitting = Fitting(network, self.config, photos_per_product, total, self.accelerator)
        checkpoint = Checkpoint(self.output / "checkpoint", self.accelerator)
        done = checkpoint.load() if self.resume else 0
        kinds = dict.fromkeys(loss.kind for loss in self.config.losses)
        columns = [f"loss/{kind}" for kind in kinds] + [f"{METRIC}/{each.name}" for each in sets]
        file = self.output / "curves.csv"
        network.train()
        with CurveLog(file, ["learning_rate", *columns], resumed_step=done or None) as log:
            for step, lesson in enumerate(lessons.ahead(range(done, total)), start=done + 1):
                rate = fitting.learning_rate
                terms = {f"loss/{name}": value for name, value in fitting.step(lesson).items()}
                log.add(step, step / per_epoch, {"learning_rate": rate, **terms})
                self.progress("train", step, total)
                if step % per_epoch == 0:
                    clock.lap("train")
                    scores = validate(fitting.averaged, sets, self.accelerator.device)
                    values = {f"{METRIC}/{name}": score.value for name, score in scores.items()}
                    log.add(step, step / per_epoch, values)
                    if self.config.averaging.soup:
                        self._keep(fitting.averaged, step // per_epoch)
                    checkpoint.save(step)
                    clock.lap("validate")
        self.report.steps = total
        plot_curves(file, self.output / "curves.png")
        return fitting.averaged

    def _choose(
        self,
        network: Network,
        start: Mapping[str, Tensor],
        averaged: Network,
        sets: Sequence[ValidationSet],
    ) -> None:
        """Leave the best mixture of start and trained weights in the network."""

        def score(state: Mapping[str, Tensor]) -> float:
            network.load_state_dict(dict(state))
            scores = validate(network, sets, self.accelerator.device)
            return float(np.mean([each.value for each in scores.values()])) if scores else 0.0

        end: Mapping[str, Tensor] = averaged.state_dict()
        epochs = sorted((self.output / "epochs").glob("*.pt"))
        if self.config.averaging.soup and epochs:
            device = self.accelerator.device
            end = greedy_soup(
                [torch.load(file, map_location=device, weights_only=True) for file in epochs], score
            ).state
        mixtures = {s: interpolate(start, end, s) for s in self.config.averaging.start_share}
        # The first of equals, so that without validation sets the first share named is taken.
        self.report.start_share = max(mixtures, key=lambda share: score(mixtures[share]))
        network.load_state_dict(mixtures[self.report.start_share])
        self.report.scores["result"] = validate(network, sets, self.accelerator.device)

    def _keep(self, averaged: Network, epoch: int) -> None:
        """Keep an epoch's weights for the soup."""
        folder = self.output / "epochs"
        folder.mkdir(exist_ok=True)
        with replacing(folder / f"{epoch:04}.pt") as stream:
            torch.save(averaged.state_dict(), stream)

    def _save(self, network: Network, centres: Mapping[Domain, tuple[float, ...]]) -> None:
        saved = {
            "config": self.config.model_dump_json(),
            "network": {name: value.cpu() for name, value in network.state_dict().items()},
            "centres": dict(centres),
        }
        with replacing(self.output / "model.pt") as stream:
            torch.save(saved, stream)
        write_text(self.output / "report.json", json.dumps(self.report.to_json(), indent=2) + "\n")


class _Clock:
    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now


def _claim(config: Config, output: Path, resume: bool) -> None:
    """Make the folder this run's own, or refuse one that holds another run."""
    file = output / "config.json"
    text = config.model_dump_json(indent=2) + "\n"
    if file.is_file():
        if not resume:
            raise DataError(
                f"{output} holds a training run already; go on with it (--resume) or name "
                "another folder"
            )
        if file.read_text(encoding="utf-8") != text:
            raise DataError(f"{output} holds a run of another configuration ({file})")
    output.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
