"""ONNX Runtime or OpenVINO, and how to use the cores: the built-in model's photos/s, side by side.

All ways run in one process, in turn. "1 thread x N" is one call a core, each on its own thread;
"N threads x 1" is one call at a time with the operators spread over the cores.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import numpy as np
import onnxruntime
import openvino
from measuring import finish, interleaved, table

from shoplens.cores import usable_cores
from shoplens.models import BASE_MODEL, load_encoder

PHOTOS = 48
CORES = usable_cores()
SIZE = load_encoder(BASE_MODEL).recipe.input_size


def timed(infer: Callable[[Any], Any], batch: int, callers: int) -> float:
    """Return photos/s of PHOTOS photos in batches, from so many calling threads."""
    pixels = np.random.default_rng(0).integers(256, size=(batch, SIZE, SIZE, 3), dtype=np.uint8)
    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(infer, [pixels] * (PHOTOS // batch)))
    return PHOTOS / (time.perf_counter() - started)


def onnx_way(weights: bytes, batch: int, threads: int) -> Callable[[], float]:
    """ONNX Runtime with so many threads a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    callers = CORES if threads == 1 else 1
    return lambda: timed(lambda x: session.run(None, {"pixels": x}), batch, callers)


def openvino_way(weights: bytes, batch: int, precision: str) -> Callable[[], float]:
    """OpenVINO with one stream a core, called from as many threads."""
    core = openvino.Core()
    model = core.read_model(weights)
    model.reshape([batch, SIZE, SIZE, 3])
    settings = {"NUM_STREAMS": str(CORES), "INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(model, "CPU", settings)
    local: dict[int, Any] = {}

    def infer(pixels: Any) -> None:
        import threading  # noqa: PLC0415

        key = threading.get_ident()
        if key not in local:
            local[key] = compiled.create_infer_request()
        local[key].infer({0: pixels})

    return lambda: timed(infer, batch, CORES)


def difference(weights: bytes) -> dict[str, float]:
    """Return the smallest cosine between ONNX Runtime's vector and OpenVINO's, by precision."""
    pixels = np.random.default_rng(1).integers(256, size=(1, SIZE, SIZE, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"pixels": pixels})[0][0]
    core = openvino.Core()
    found = {}
    for precision in ("f32", "bf16"):
        compiled = core.compile_model(
            core.read_model(weights), "CPU", {"INFERENCE_PRECISION_HINT": precision}
        )
        vector = compiled({0: pixels})[0][0]
        norms = np.linalg.norm(expected) * np.linalg.norm(vector)
        found[precision] = float(expected @ vector / norms)
    return found


def installed_mb(package: str) -> float:
    """Return a distribution's size on disk in 10^6 bytes, without what it depends on."""
    files = importlib.metadata.files(package) or []
    return sum(f.locate().stat().st_size for f in files if f.locate().is_file()) / 1e6


def main() -> None:
    """Measure, print, write."""
    folder = resources.files("shoplens.models") / "builtin" / BASE_MODEL
    weights = (folder / "model.onnx").read_bytes()
    ways: dict[str, Callable[[], float]] = {}
    for batch in (1, 4, 8):
        ways[f"ONNX Runtime, 1 thread x {CORES}, batch {batch}"] = onnx_way(weights, batch, 1)
        ways[f"ONNX Runtime, {CORES} threads x 1, batch {batch}"] = onnx_way(weights, batch, CORES)
        ways[f"OpenVINO float32, {CORES} streams, batch {batch}"] = openvino_way(
            weights, batch, "f32"
        )
    ways[f"OpenVINO bfloat16, {CORES} streams, batch 1"] = openvino_way(weights, 1, "bf16")
    figures = interleaved(ways)
    base = figures[f"ONNX Runtime, 1 thread x {CORES}, batch 1"]["median"]
    rows = [
        [
            name,
            f"{f['median']:.1f}",
            f"{f['min']:.1f} .. {f['max']:.1f}",
            f"{f['median'] / base:.2f}",
        ]
        for name, f in figures.items()
    ]
    cosines = difference(weights)
    sizes = {name: installed_mb(name) for name in ("onnxruntime", "openvino")}
    text = table(["way", "photos/s, median", "range", "ratio"], rows) + (
        f"\n\nCosine to ONNX Runtime's vector: OpenVINO float32 {cosines['f32']:.6f}, "
        f"bfloat16 {cosines['bf16']:.6f}. Installed: onnxruntime {sizes['onnxruntime']:.0f} MB, "
        f"openvino {sizes['openvino']:.0f} MB."
    )
    values = {"photos_per_second": figures, "cosine": cosines, "installed_mb": sizes}
    finish("engines", "python3 make.py bench engines", values, text)


if __name__ == "__main__":
    main()
