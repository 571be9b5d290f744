"""Large networks on torch, on a graphics processor or on cores, against what the device can do.

    python3 make.py bench large_models
    .venv-training/bin/python bench/large_models.py --device cuda --models ViT-B-16 ViT-H-14

Runs on a graphics processor where torch finds one, else on the cores. Weights are random, which
costs the same as trained ones; networks are open_clip's. The limits are measured beside them: a
large matrix product in the same numbers, and a copy of pixels to the device. Each model is measured
as `shoplens embed --device cuda` runs it (pixels in the host's memory in, vectors out), and its
network alone on pixels that are on the device already.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, get_args

import numpy as np
import open_clip
import torch
from measuring import finish, interleaved, table
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from shoplens.models.hub.from_open_clip import preparation_of
from shoplens.models.hub.on_torch import tower_encoder
from shoplens.models.hub.torch_encoder import DTYPES, TorchPrecision
from shoplens.models.hub.tower import ImageTower

LARGE = ("ViT-B-16", "ViT-H-14", "convnext_xxlarge")
"""Named as open_clip names them."""


@dataclass(frozen=True)
class Way:
    """How a network is run."""

    precision: TorchPrecision
    compiled: bool

    @property
    def label(self) -> str:
        """As the table names it."""
        return f"{self.precision}, compiled" if self.compiled else self.precision


class ImageSide(nn.Module):
    """An image tower of open_clip with random weights."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.visual = open_clip.create_model(architecture, pretrained=None).visual

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, s, s) to (n, dimension)."""
        found: Tensor = self.visual(x)
        return found


def tower_of(architecture: str) -> ImageTower:
    """Return a network as `shoplens.models.hub` would, but for its weights."""
    network = ImageSide(architecture).eval()
    preparation = preparation_of(architecture, network.visual.preprocess_cfg)
    return ImageTower(
        model=f"open_clip:{architecture}",
        network=network,
        preparation=preparation,
        transform=lambda image: torch.zeros(3),
        pooling="",
        licence="",
        sources=("random weights",),
    )


def multiply_adds(tower: ImageTower) -> int:
    """Return a photo's multiply-adds, as torch counts them."""
    size = tower.preparation.input_size
    counter = FlopCounterMode(display=False)
    # Without gradients, or with another kernel, attention is one operator that is not counted.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        tower.network(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2


def settled(device: torch.device) -> None:
    """Wait until the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_way(device: torch.device, precision: TorchPrecision, side: int) -> Callable[[], float]:
    """Return multiply-adds/s of a product of square matrices."""
    left, right = torch.rand(2, side, side, device=device).to(DTYPES[precision])

    def way() -> float:
        settled(device)
        started = time.perf_counter()
        torch.mm(left, right)
        settled(device)
        return side**3 / (time.perf_counter() - started)

    return way


def copy_way(device: torch.device, megabytes: int = 256) -> Callable[[], float]:
    """Return bytes/s of a copy to the device, from memory as numpy has it."""
    source = torch.from_numpy(np.ones(megabytes * 10**6, dtype=np.uint8))

    def way() -> float:
        settled(device)
        started = time.perf_counter()
        source.to(device, copy=True)
        settled(device)
        return len(source) / (time.perf_counter() - started)

    return way


def photos_per_second(run: Callable[[], object], photos: int, device: torch.device) -> float:
    """Return the photos/s of a run over `photos`."""
    settled(device)
    started = time.perf_counter()
    run()
    settled(device)
    return photos / (time.perf_counter() - started)


def measure(
    architecture: str, way: Way, device: torch.device, batches: int, rounds: int, batch: int | None
) -> dict[str, Any]:
    """Return what one way to run a network achieves."""
    tower = tower_of(architecture)
    photo = multiply_adds(tower)
    parameters = sum(p.numel() for p in tower.network.parameters())
    encoder = tower_encoder(
        tower,
        device=str(device),
        precision=way.precision,
        compiled=way.compiled,
        batch_size=batch,
    )
    size, n = tower.preparation.input_size, encoder.batch_size * batches
    pixels = np.random.default_rng(0).integers(256, size=(n, size, size, 3), dtype=np.uint8)
    on_device = torch.zeros(
        encoder.batch_size, 3, size, size, device=device, dtype=DTYPES[way.precision]
    ).to(memory_format=torch.channels_last)

    def embed() -> None:
        encoder.encode(pixels, ["seller"] * n)

    @torch.inference_mode()
    def alone() -> None:
        for _ in range(batches):
            tower.network(on_device)

    started = time.perf_counter()
    embed()
    first = time.perf_counter() - started
    alone()
    embedding = [photos_per_second(embed, n, device) for _ in range(rounds)]
    bare = [photos_per_second(alone, n, device) for _ in range(rounds)]
    return {
        "model": architecture,
        "parameters": parameters,
        "input_size": size,
        "way": way.label,
        "precision": way.precision,
        "batch_size": encoder.batch_size,
        "multiply_adds": photo,
        "first_seconds": first,
        "photos_per_second": median(embedding),
        "network_photos_per_second": median(bare),
        "input_bytes_per_second": median(embedding) * size * size * 3,
        "peak_gb": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
    }


def described(device: torch.device) -> str:
    """Say what the device is."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{torch.get_num_threads()} threads on cores, torch {torch.__version__}"


def limit_line(name: str, figures: dict[str, float], side: int) -> list[str]:
    """Return what the device can do as a row of the table."""
    unit, label = 1e12, f"product of {side} x {side} matrices, {name}, 10¹² multiply-adds/s"
    if name == "copy":
        unit, label = 1e9, "copy to the device, GB/s"
    median_, low, high = (f"{figures[key] / unit:.3g}" for key in ("median", "min", "max"))
    return [label, median_, f"{low} .. {high}"]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=found)
    parser.add_argument("--models", nargs="+", default=LARGE if found == "cuda" else LARGE[:1])
    parser.add_argument("--precisions", nargs="+", choices=get_args(TorchPrecision))
    parser.add_argument("--batch", type=int, help="photos a call; default: as embed sizes it")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, help="of the square matrices")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    on_cores = device.type == "cpu"
    # Half precision is what cores have no units for; bfloat16 some have.
    precisions = arguments.precisions or (
        ("fp32", "bf16") if on_cores else get_args(TorchPrecision)
    )
    side = arguments.side or (2048 if on_cores else 8192)
    limits = interleaved(
        {
            **{name: product_way(device, name, side) for name in precisions},
            "copy": copy_way(device),
        }
    )
    ways = [Way(name, compiled) for name in precisions for compiled in (False, True)]
    results = []
    for architecture in arguments.models:
        for way in ways:
            result = measure(
                architecture, way, device, arguments.batches, arguments.rounds, arguments.batch
            )
            results.append(result)
            print(result, flush=True)
            gc.collect()
            torch.compiler.reset()
            if not on_cores:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
    text = table(
        ["limit", "median", "range"],
        [limit_line(name, figures, side) for name, figures in limits.items()],
    )
    header = [
        "network", "px", "way", "batch", "photos/s", "network alone", "share of the product",
        "share of the copy", "first call, s",
    ]  # fmt: skip
    rows = [
        [
            f"{r['model']} ({r['parameters'] / 1e6:.0f} M, {r['multiply_adds'] / 1e9:.1f} G)",
            r["input_size"],
            r["way"],
            r["batch_size"],
            f"{r['photos_per_second']:.1f}",
            f"{r['network_photos_per_second']:.1f}",
            f"{r['photos_per_second'] * r['multiply_adds'] / limits[r['precision']]['median']:.0%}",
            f"{r['input_bytes_per_second'] / limits['copy']['median']:.2%}",
            f"{r['first_seconds']:.1f}",
        ]
        for r in results
    ]
    text += (
        f"\n\n{table(header, rows)}\n\nOn {described(device)}. In brackets: parameters, and "
        "multiply-adds a photo. The first call compiles."
    )
    values = {"device": described(device), "side": side, "limits": limits, "models": results}
    finish("large_models", "python3 make.py bench large_models", values, text)


if __name__ == "__main__":
    main()
