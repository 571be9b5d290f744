"""How near the built-in model's run is to what the cores can do, and where the rest goes.

The limit is a large float32 matrix product, by NumPy's BLAS and by ONNX Runtime, in the same run.
The model runs as `embed` runs it: one photo a call, one call a core, each on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from commands import fresh_folder
from measuring import finish, interleaved, table
from onnx import TensorProto, helper

from shoplens.cores import usable_cores
from shoplens.models import BASE_MODEL, load_encoder
from shoplens.parallel import parallel_map

CORES = usable_cores()
SIZE = load_encoder(BASE_MODEL).recipe.input_size
PHOTOS = 48
SIDE = 2048
"""Of the square matrices."""


def pixels() -> dict[str, Any]:
    """Return one photo, made, as the graph takes it."""
    shape = (1, SIZE, SIZE, 3)
    return {"pixels": np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)}


def session(weights: bytes, profile: Path | None = None, optimised: bool = True) -> Any:
    """Load a graph as `shoplens.models.encoder.OnnxEncoder` does: one thread a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def events(weights: bytes, calls: int, optimised: bool) -> list[dict[str, Any]]:
    """Run a graph under ONNX Runtime's profiler, on all cores; return what its nodes did."""
    with fresh_folder() as scratch:
        profiled = session(weights, scratch / "profile", optimised)
        feed = pixels()
        for _ in parallel_map(lambda _: profiled.run(None, feed), range(calls)):
            pass
        trace = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    return [e for e in trace if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]


def shapes(event: dict[str, Any], side: str) -> list[list[int]]:
    """Return the shapes of a node's inputs or outputs."""
    return [shape for item in event["args"][f"{side}_type_shape"] for shape in item.values()]


def kind(event: dict[str, Any]) -> str:
    """Name a node for the table: convolutions by what they do."""
    name = str(event["args"]["op_name"])
    if name not in ("Conv", "FusedConv"):
        return name
    _, weight, *_ = shapes(event, "input")
    outputs, inputs_a_group, *kernel = weight
    if math.prod(kernel) == 1:
        return "convolution 1 x 1"
    return "convolution of each channel" if inputs_a_group == 1 and outputs > 1 else "convolution"


def multiply_adds(event: dict[str, Any]) -> int:
    """Return a node's multiply-adds; of all but products and convolutions, none."""
    name = event["args"]["op_name"]
    if name == "Conv":
        weight = shapes(event, "input")[1]
        return math.prod(shapes(event, "output")[0]) * math.prod(weight[1:])
    if name in ("Gemm", "MatMul"):
        return math.prod(shapes(event, "output")[0]) * shapes(event, "input")[0][-1]
    return 0


def count(weights: bytes) -> dict[str, int]:
    """Return a photo's multiply-adds by kind of node, from the graph as it is written."""
    counted: dict[str, int] = defaultdict(int)
    for event in events(weights, calls=1, optimised=False):
        counted[kind(event)] += multiply_adds(event)
    return {name: number for name, number in counted.items() if number}


def profile(weights: bytes) -> dict[str, float]:
    """Return core milliseconds a photo by kind of node, all cores at work, longest first."""
    spent: dict[str, float] = defaultdict(float)
    for event in events(weights, calls=PHOTOS, optimised=True):
        spent[kind(event)] += event["dur"] / 1e3 / PHOTOS
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def model_way(weights: bytes, photo: int) -> Callable[[], float]:
    """Return multiply-adds/s of the model, one call a core."""
    loaded, feed = session(weights), pixels()

    def way() -> float:
        started = time.perf_counter()
        for _ in parallel_map(lambda _: loaded.run(None, feed), range(PHOTOS)):
            pass
        return photo * PHOTOS / (time.perf_counter() - started)

    return way


def numpy_way(side: int) -> Callable[[], float]:
    """Return multiply-adds/s of one large product by NumPy, on all cores."""
    left, right = matrices(side)
    out = np.empty_like(left)

    def way() -> float:
        started = time.perf_counter()
        np.matmul(left, right, out=out)
        return side**3 / (time.perf_counter() - started)

    return way


def onnx_way(side: int) -> Callable[[], float]:
    """Return multiply-adds/s of large products by ONNX Runtime, one a core, each on one thread."""
    left, right = matrices(side)
    matrix = [side, side]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [value("a", TensorProto.FLOAT, matrix), value("b", TensorProto.FLOAT, matrix)],
        [value("c", TensorProto.FLOAT, matrix)],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    loaded = session(bytes(model.SerializeToString()))

    def way() -> float:
        started = time.perf_counter()
        for _ in parallel_map(lambda _: loaded.run(None, {"a": left, "b": right}), range(CORES)):
            pass
        return CORES * side**3 / (time.perf_counter() - started)

    return way


def matrices(side: int) -> Any:
    """Return two random square matrices, float32."""
    return np.random.default_rng(0).random((2, side, side), dtype=np.float32)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=SIDE, help="of the square matrices")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    folder = resources.files("shoplens.models") / "builtin" / BASE_MODEL
    weights = (folder / "model.onnx").read_bytes()
    counted = count(weights)
    photo = sum(counted.values())
    side = arguments.side
    names = (
        f"product of {side} x {side} matrices, NumPy, {CORES} threads",
        f"the same, ONNX Runtime, 1 thread x {CORES}",
        f"the built-in model, 1 thread x {CORES}",
    )
    ways = (numpy_way(side), onnx_way(side), model_way(weights, photo))
    figures = interleaved(dict(zip(names, ways, strict=True)), arguments.rounds)
    limit = max(figures[name]["median"] for name in names[:2])
    rows = [
        [
            name,
            f"{f['median'] / 1e9:.1f}",
            f"{f['min'] / 1e9:.1f} .. {f['max'] / 1e9:.1f}",
            f"{f['median'] / limit:.0%}",
        ]
        for name, f in figures.items()
    ]
    text = table(["way", "10⁹ multiply-adds/s, median", "range", "share of the limit"], rows)
    spent = profile(weights)
    whole = sum(spent.values())
    least = photo / (limit / CORES) * 1e3
    parts = [
        [
            name,
            f"{ms:.2f}",
            f"{ms / whole:.0%}",
            f"{counted[name] / 1e6:,.0f}" if name in counted else "",
            f"{counted[name] / ms / 1e6:.1f}" if name in counted else "",
        ]
        for name, ms in spent.items()
        if ms / whole >= 0.005
    ]
    rest = whole - sum(ms for ms in spent.values() if ms / whole >= 0.005)
    parts += [
        ["all others", f"{rest:.2f}", f"{rest / whole:.0%}", "", ""],
        ["**all**", f"{whole:.2f}", "100%", f"{photo / 1e6:,.0f}", f"{photo / whole / 1e6:.1f}"],
    ]
    header = [
        "operator", "core ms a photo", "share", "10⁶ multiply-adds", "10⁹ multiply-adds/s a core"
    ]  # fmt: skip
    text += (
        f"\n\nWhere the time goes, from ONNX Runtime's profiler with all cores at work. At the "
        f"limit's rate, a photo's {photo / 1e6:,.0f} million multiply-adds would take "
        f"{least:.1f} core milliseconds.\n\n{table(header, parts)}"
    )
    values = {
        "multiply_adds": counted,
        "multiply_adds_per_second": figures,
        "share_of_limit": figures[names[2]]["median"] / limit,
        "core_ms": spent,
    }
    finish("limit", "python3 make.py bench limit", values, text)


if __name__ == "__main__":
    main()
