"""Made data that many tests use."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from rich.text import Text

from shoplens.cli import main
from shoplens.models import BASE_MODEL, Encoder, RecipeEncoder, load_encoder

# The same examples each time, however slow the machine.
settings.register_profile(
    "shoplens",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("shoplens")

# A shell has it ignored in what it runs in the background; programs that tests start and interrupt
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests from each other's and the user's cache."""
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The default model, loaded once."""
    return load_encoder()


@pytest.fixture(scope="session")
def network() -> RecipeEncoder:
    """The built-in model of a single network, loaded once."""
    found = load_encoder(BASE_MODEL)
    assert isinstance(found, RecipeEncoder)
    return found


@pytest.fixture(scope="session")
def sample() -> Path:
    """The mini set that ships in the wheel."""
    return ROOT / "src" / "shoplens" / "sample"


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """The challenge's open development photos, where they are at hand."""
    shared = Path(os.environ.get("SHOPLENS_DATA", ROOT.parent / "shared" / "data"))
    folder = shared / "mcs2023-dev-open"
    if not folder.is_dir():
        pytest.skip(f"real photos are not at {folder} (SHOPLENS_DATA names another place)")
    return folder


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Make a smooth colourful picture, another one for each seed."""
    small = np.random.default_rng(seed).integers(256, size=(6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write a test set folder with made pictures; returns it.

    `gallery` holds (id, product) and `queries` (id, product, box as "x,y,w,h") rows. Photos of one
    product show the same picture.
    """

    def make(
        gallery: Sequence[tuple[int, str]] = ((0, "a"), (1, "b"), (2, "c")),
        queries: Sequence[tuple[int, str, str]] = ((0, "a", "0,0,64,48"), (1, "b", "0,0,64,48")),
    ) -> Path:
        root = tmp_path / "dataset"
        for side in ("gallery", "queries"):
            (root / side).mkdir(parents=True)
        lines = ["seller_img_id,img_path,product_id"]
        for number, product in gallery:
            picture(sum(product.encode())).save(root / "gallery" / f"{number}.png")
            lines.append(f"{number},gallery/{number}.png,{product}")
        (root / "gallery.csv").write_text("\n".join(lines) + "\n")
        lines = ["user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id"]
        for number, product, box in queries:
            picture(sum(product.encode())).save(root / "queries" / f"{number}.png")
            lines.append(f"{number},queries/{number}.png,{box},{product}")
        (root / "queries.csv").write_text("\n".join(lines) + "\n")
        return root

    return make


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a model folder with a graph of a few nodes (averages over a 4 x 4 grid); returns it.

    Keywords replace keys of its recipe; `graph_size`, `graph_type` and `weights` the graph.
    """

    def make(
        name: str = "toy",
        /,
        graph_size: int = 16,
        graph_type: str = "FLOAT",
        weights: bytes | None = None,
        **recipe: object,
    ) -> Path:
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(weights or toy_graph(graph_size, graph_type))
        values = {**TOY_RECIPE, "name": name, **recipe}
        (folder / "recipe.json").write_text(json.dumps(values), encoding="utf-8")
        return folder

    return make


TOY_RECIPE: dict[str, object] = {
    "name": "toy",
    "version": "1",
    "dimension": 48,
    "input_size": 16,
    "fit": "squash",
    "pixels": "float32_nchw",
    "mean": [127.0, 127.0, 127.0],
    "std": [64.0, 64.0, 64.0],
    "licence": "CC0-1.0",
    "sources": ["made by the tests"],
}


def toy_graph(size: int = 16, kind: str = "FLOAT") -> bytes:
    """Return an ONNX graph from (n, 3, size, size) to (n, 48): averages over a 4 x 4 grid."""
    import onnx

    cell = [size // 4, size // 4]
    nodes = [
        onnx.helper.make_node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("AveragePool", ["f"], ["p"], kernel_shape=cell, strides=cell),
        onnx.helper.make_node("Flatten", ["p"], ["y"]),
    ]
    kinds = onnx.TensorProto.DataType
    takes = onnx.helper.make_tensor_value_info("x", kinds.Value(kind), ["n", 3, size, size])
    gives = onnx.helper.make_tensor_value_info("y", kinds.Value("FLOAT"), ["n", 48])
    graph = onnx.helper.make_graph(nodes, "toy", [takes], [gives])
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())


def endless_graph() -> bytes:
    """Return an ONNX graph as `toy_graph` does, with a loop at its end that never stops."""
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    model = onnx.load_from_string(toy_graph())
    model.graph.node[-1].output[0] = "z"
    condition = helper.make_tensor_value_info("go", kinds.BOOL, [])
    step = helper.make_tensor_value_info("step", kinds.INT64, [])
    vector = helper.make_tensor_value_info("v", kinds.FLOAT, ["n", 48])
    again = helper.make_tensor_value_info("again", kinds.BOOL, [])
    turned = helper.make_tensor_value_info("turned", kinds.FLOAT, ["n", 48])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Cos", ["v"], ["turned"]),
        ],
        "body",
        [step, condition, vector],
        [again, turned],
    )
    model.graph.initializer.append(helper.make_tensor("true", kinds.BOOL, [], [True]))
    model.graph.node.append(helper.make_node("Loop", ["", "true", "z"], ["y"], body=body))
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


class Terminal(io.StringIO):
    """A terminal to print to."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was printed, without its colours."""
        return Text.from_ansi(self.getvalue()).plain


@pytest.fixture
def run_on_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, with standard output on 80 columns of a terminal."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: object) -> Result:
        with redirect_stdout(Terminal()) as terminal:
            code = main([str(word) for word in words])
        return Result(code, terminal.text, capsys.readouterr().err)

    return run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def run(*words: object) -> Result:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run
