"""`shoplens embed` beside the way of the challenge's starter kit, with the same weights.

Every way is a fresh process that reads the same photos and writes their vectors; ways take turns.
Needs what training needs: `python3 make.py bench starter_kit_way` sees to it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from catalogues import photos_at_hand, write_queries
from commands import Finished, fresh_folder, shoplens, timed_json
from measuring import ROOT, SAMPLE, finish, table
from precision import CALIBRATED, prepared

from shoplens import load_encoder, read_gallery
from shoplens.cores import usable_cores
from shoplens.models import BASE_MODEL
from shoplens.models.recipe import Recipe

PHOTOS, ROUNDS = 480, 3
TARGET_RATIO, TARGET_RATE = 8, 40
NAMES = {
    "eager": "starter kit: OpenCV, Pillow, PyTorch eager, DataLoader with 2 workers, batch 32",
    "sequential": "OpenCV, Pillow, ONNX Runtime one by one, all threads",
    "shoplens": "shoplens embed",
    "bfloat16": "shoplens embed --device openvino:bf16",
    "int8": "shoplens embed, the model in int8",
    "int8 and bfloat16": "the same with --device openvino:bf16",
}
DEVICES = {
    "shoplens": "cpu",
    "bfloat16": "openvino:bf16",
    "int8": "cpu",
    "int8 and bfloat16": "openvino:bf16",
}


@dataclass(frozen=True)
class Model:
    """A network as model folders."""

    floats: Path
    int8: Path


def write_imagenet(folder: Path) -> Model:
    """Write the ImageNet Lite2 at 260 px, its head random: that costs the same."""
    import torch  # noqa: PLC0415

    from shoplens.models.model_folder import write_model  # noqa: PLC0415
    from shoplens.training import config  # noqa: PLC0415
    from shoplens.training.backbones import load_backbone  # noqa: PLC0415
    from shoplens.training.graphs import to_int8, to_onnx  # noqa: PLC0415
    from shoplens.training.network import Network  # noqa: PLC0415

    torch.manual_seed(0)
    backbone = load_backbone("imagenet:lite2")
    settings = config.NetworkConfig(
        backbone="imagenet:lite2", pooling="gem", gem_power=3, dimension=512
    )
    recipe = Recipe(
        name="imagenet-lite2",
        version="1",
        dimension=settings.dimension,
        input_size=260,
        fit=backbone.fit,
        pad_colour=backbone.pad_colour,
        pixels="uint8_nhwc",
        mean=backbone.mean,
        std=backbone.std,
        licence="Apache-2.0",
        sources=backbone.sources,
    )
    written = Model(folder / "float32", folder / "int8")
    weights = to_onnx(Network(backbone, settings).eval(), recipe.input_size)
    write_model(written.floats, weights, recipe)
    sample = [*read_gallery(SAMPLE)][:CALIBRATED]
    write_model(
        written.int8, to_int8(weights, prepared(sample, load_encoder(written.floats))), recipe
    )
    return written


def run(way: str, dataset: Path, model: Model, output: Path) -> Finished:
    """Embed the photos one way, in a fresh process; `output` gets their vectors."""
    with fresh_folder() as cache:
        if way in DEVICES:
            folder = model.int8 if way.startswith("int8") else model.floats
            return shoplens(
                "embed", dataset, "--queries", "--model", folder, "--device", DEVICES[way],
                "--no-cache", "-o", output, cache=cache,
            )  # fmt: skip
        program = Path(__file__).with_name("starter_kit.py")
        return timed_json(sys.executable, program, way, dataset, model.floats, output, cache=cache)


def lowest_cosine(output: dict[str, Path], model: Path) -> dict[str, float]:
    """Return how near each other way's vectors are to ours, of the photo that differs most."""
    recipe = Recipe.from_json(
        (model / "recipe.json").read_text(encoding="utf-8"), (model / "model.onnx").read_bytes()
    )
    centre = np.asarray(recipe.centres.get("user", np.zeros(recipe.dimension)), np.float32)
    ours = np.load(output["shoplens"])
    found = {}
    for way, file in output.items():
        theirs = np.load(file)
        if way not in DEVICES:
            theirs = unit(unit(theirs) - centre)
        found[way] = float(np.nanmin(np.sum(ours * theirs, axis=1)))
    return found


def has_bfloat16() -> bool:
    """Whether OpenVINO finds that this processor computes in bfloat16."""
    import openvino  # noqa: PLC0415

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to unit length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def compared(dataset: Path, model: Model, n: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Return the figures of every way with one model."""
    with fresh_folder() as scratch:
        ways = [way for way in NAMES if not way.endswith("bfloat16") or has_bfloat16()]
        output = {way: scratch / f"{way}.npy" for way in ways}
        runs: dict[str, list[Finished]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                runs[way].append(run(way, dataset, model, output[way]))
        cosines = lowest_cosine(output, model.floats)
    busy = {
        way: [one.cpu_seconds / one.wall_seconds / usable_cores() for one in each]
        for way, each in runs.items()
    }
    return {
        way: {
            "photos_per_second": sorted(n / one.wall_seconds for one in each),
            "embedding_per_second": median(n / one.values["seconds"]["embed"] for one in each),
            "cores_busy": median(busy[way]),
            "lowest_cosine": cosines[way],
        }
        for way, each in runs.items()
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=PHOTOS, help="how many photos")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    name, photos = photos_at_hand(arguments.photos)
    n = len(photos)
    with fresh_folder() as scratch:
        write_queries(photos, scratch / "photos")
        builtin = ROOT / "src" / "shoplens" / "models" / "builtin"
        models = {
            f"{BASE_MODEL}, 384 px": Model(builtin / BASE_MODEL, builtin / f"{BASE_MODEL}-int8"),
            "ImageNet Lite2, 260 px": write_imagenet(scratch / "imagenet-lite2"),
        }
        found = {
            label: compared(scratch / "photos", model, n, arguments.rounds)
            for label, model in models.items()
        }
    rows = []
    for label, ways in found.items():
        base = median(ways["eager"]["photos_per_second"])
        for way, figures in ways.items():
            rates = figures["photos_per_second"]
            rows.append(
                [
                    label,
                    NAMES[way],
                    f"{median(rates):.1f}",
                    f"{rates[0]:.1f} .. {rates[-1]:.1f}",
                    f"{median(rates) / base:.1f}",
                    f"{figures['embedding_per_second']:.1f}",
                    f"{figures['cores_busy']:.0%}",
                    f"{figures['lowest_cosine']:.4f}",
                ]
            )
    header = [
        "model", "way", "photos/s, cold start included", "range", "ratio",
        "photos/s while embedding", "cores busy", "lowest cosine to ours",
    ]  # fmt: skip
    text = f"{n} photos of the {name}, each with a box, {arguments.rounds} rounds.\n\n"
    text += table(header, rows)
    text += (
        f"\n\nTargets: a ratio of at least {TARGET_RATIO}; at least {TARGET_RATE} photos/s of "
        "ours with the ImageNet Lite2."
    )
    values = {"photos": n, "set": name, "models": found}
    finish("starter_kit_way", "python3 make.py bench starter_kit_way", values, text)


if __name__ == "__main__":
    main()
