from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import COLOURS
from PIL import Image, ImageDraw

from shoplens import load_encoder
from shoplens.cli import main
from shoplens.datasets.dataset import read_gallery
from shoplens.embedding import embed
from shoplens.errors import DataError, MissingError, ModelError, ShoplensError
from shoplens.models.model_folder import write_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.records import Domain, PhotoSet
from shoplens.training import export, graphs
from shoplens.training.backbones import Backbone, load_backbone
from shoplens.training.config import Config, NetworkConfig
from shoplens.training.export import (
    check,
    export_trained,
    make_recipe,
    reference_encoder,
)
from shoplens.training.graphs import to_fp16, to_int8, to_onnx
from shoplens.training.loop import Trained
from shoplens.training.network import Network

SIZE = 64


@pytest.fixture(autouse=True)
def few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_CHECKED", 12)
    monkeypatch.setattr(export, "_CALIBRATED", 24)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("imagenet:lite0")


@pytest.fixture(scope="module")
def network(backbone: Backbone) -> Network:
    torch.manual_seed(0)
    return Network(backbone, NetworkConfig(dimension=16, nested=(8,))).eval()


@pytest.fixture(scope="module")
def weights(network: Network) -> bytes:
    return to_onnx(network, SIZE)


@pytest.fixture
def trained(network: Network, backbone: Backbone, tiny: Config) -> Trained:
    views = tiny.views.model_copy(update={"input_size": SIZE})
    config = tiny.model_copy(update={"views": views, "credits": ("photos: made by the tests",)})
    centres: dict[Domain, tuple[float, ...]] = {"user": (0.1,) * 16, "seller": (-0.05,) * 16}
    return Trained(config, backbone, network, centres)


def made_photos(n: int, size: int = SIZE) -> list[np.ndarray]:
    """Shapes on plain or cluttered grounds."""
    rng = np.random.default_rng(1)
    photos = []
    for number in range(n):
        small = rng.integers(256, size=(1 + number % 5, 1 + number % 3, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
        x, y, right, below = np.sort(rng.integers(size, size=(2, 2)), axis=0).ravel().tolist()
        ImageDraw.Draw(image).ellipse((x, y, right, below), fill=COLOURS[number % len(COLOURS)])
        photos.append(np.asarray(image)[None])
    return photos


def graph_recipe(trained: Trained) -> Recipe:
    return replace(make_recipe(trained), centres={})


def ops(weights: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(weights).graph.node]


# Graphs.


@pytest.mark.parametrize("size", [64, 65, 70, 96])
def test_a_graph_computes_what_the_network_does_at_any_size(
    network: Network, trained: Trained, size: int
) -> None:
    recipe = replace(graph_recipe(trained), input_size=size)
    pixels = np.concatenate(made_photos(3, size))
    found = OnnxEncoder(to_onnx(network, size), recipe).encode(pixels, ["user"] * 3)
    expected = reference_encoder(network, recipe).encode(pixels, ["user"] * 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_every_pooling_can_be_exported(backbone: Backbone, trained: Trained, pooling: Any) -> None:
    network = Network(backbone, NetworkConfig(dimension=16, nested=(), pooling=pooling)).eval()
    recipe = graph_recipe(replace(trained, network=network))
    report = check(
        reference_encoder(network, recipe),
        OnnxEncoder(to_onnx(network, SIZE), recipe),
        made_photos(4),
        "fp32",
    )
    assert report.largest_difference < 1e-5


def test_exporting_leaves_the_network_as_it_was(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    to_onnx(network, SIZE)
    assert network.training
    network.eval()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_float16_halves_the_file_and_nothing_else(weights: bytes, trained: Trained) -> None:
    half = to_fp16(weights)
    assert len(half) < 0.55 * len(weights)
    recipe = graph_recipe(trained)
    report = check(OnnxEncoder(weights, recipe), OnnxEncoder(half, recipe), made_photos(8), "fp16")
    assert report.lowest > 0.9999
    # Only weights are cast: what is computed, is computed in float32.
    model = onnx.load_from_string(half)
    added = [node for node in model.graph.node if node.output[0] not in names_of(weights)]
    assert {node.op_type for node in added} == {"Cast"}
    assert {w.data_type for w in model.graph.initializer if w.dims} == {onnx.TensorProto.FLOAT16}


def names_of(weights: bytes) -> set[str]:
    return {node.output[0] for node in onnx.load_from_string(weights).graph.node}


def test_weights_beyond_float16_are_refused(weights: bytes) -> None:
    model = onnx.load_from_string(weights)
    first = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(first) * np.float32(1e6)
    first.CopyFrom(onnx.numpy_helper.from_array(values, first.name))
    with pytest.raises(ModelError, match=f"{first.name} are too large for float16"):
        to_fp16(model.SerializeToString())


def cosines(weights: bytes, other: bytes, photos: list[np.ndarray]) -> np.ndarray:
    one, two = (graphs._unit_features(each, photos) for each in (weights, other))
    return np.sum(one * two, axis=1)


def test_int8_is_a_third_of_the_size_and_stays_near(
    weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "_FLOAT_LAYERS", (3,))
    photos = made_photos(24)
    small = to_int8(weights, photos[::2])
    # A quarter, but for scales, names and the layers in float: they matter in a small network.
    assert len(small) < 0.3 * len(weights)
    # Real photos come nearer than these (see TOLERANCES); noise would be far away.
    found = cosines(weights, small, photos[1::2])
    assert 0.97 < found.min() < found.mean() < 1
    # What comes after the map of features is computed in float32.
    nodes = onnx.load_from_string(small).graph.node
    assert [node.op_type for node in nodes if node.name.startswith("/head/")] == ["Gemm"]


@pytest.mark.parametrize(("target", "tried"), [(0.5, 1), (2.0, 2)])
def test_int8_leaves_as_many_layers_in_float_as_it_takes(
    weights: bytes, monkeypatch: pytest.MonkeyPatch, target: float, tried: int
) -> None:
    left: list[set[str]] = []

    def quantise(source: Path, result: Path, *_: object, **options: Any) -> None:
        left.append(set(options["nodes_to_exclude"]))
        result.write_bytes(source.read_bytes())

    monkeypatch.setattr(graphs, "quantize_static", quantise)
    monkeypatch.setattr(graphs, "_INT8_MEAN", target)
    to_int8(weights, made_photos(2))
    # The first time pooling and head, and the stem with the first stages.
    assert {"/head/Gemm", "/stages.0/conv/Conv", "/stages.1/stages.1.0/project/Conv"} <= left[0]
    assert any("stages.3" in name for name in left[0])
    assert not any("stages.4" in name for name in left[0])
    assert [len(each) - len(left[0]) for each in left] == [0, 15][:tried]


def test_int8_needs_photos(weights: bytes) -> None:
    with pytest.raises(ModelError, match="needs photos"):
        to_int8(weights, [])


# Checks.


def test_a_model_that_is_far_from_the_network_is_refused(
    network: Network, backbone: Backbone, weights: bytes, trained: Trained
) -> None:
    torch.manual_seed(1)
    other = Network(backbone, NetworkConfig(dimension=16, nested=()))
    recipe = graph_recipe(trained)
    candidate = OnnxEncoder(weights, recipe)
    with pytest.raises(ModelError, match=r"far .* on 3 photos: lowest cosine .* mean "):
        check(reference_encoder(other, recipe), candidate, made_photos(3), "int8")
    with pytest.raises(ModelError, match="no photos"):
        check(reference_encoder(network, recipe), candidate, [], "fp32")


def test_a_report_holds_lowest_mean_and_largest_difference() -> None:
    def encoder(*rows: tuple[float, float]) -> Any:
        class Stub:
            def encode(self, pixels: np.ndarray, domains: object) -> np.ndarray:
                return np.array([rows[int(pixels[0, 0, 0, 0])]], dtype=np.float32)

        return Stub()

    pixels = [np.full((1, 1, 1, 3), n, dtype=np.uint8) for n in range(2)]
    report = check(encoder((1, 0), (0, 1)), encoder((1, 0), (0.028, 0.9996)), pixels, "fp16")
    assert report.lowest == pytest.approx(0.9996)
    assert report.mean == pytest.approx(0.9998)
    assert report.largest_difference == pytest.approx(0.028)
    assert report.n_photos == 2
    # Both figures are held: here the lowest may do, the mean does not.
    far = encoder((0.989, 0.148), (0.148, 0.989))
    with pytest.raises(ModelError, match=r"mean 0\.989"):
        check(encoder((1, 0), (0, 1)), far, pixels, "int8")
    not_a_number = encoder((1, 0), (float("nan"), 1))
    with pytest.raises(ModelError, match="nan"):
        check(encoder((1, 0), (0, 1)), not_a_number, pixels, "int8")


# Model folders.


def test_the_model_folder_embeds_as_the_network_does(
    trained: Trained, table: Path, tmp_path: Path
) -> None:
    report = export_trained(trained, tmp_path / "models" / "tiny", photos=table.parent)
    encoder = load_encoder(tmp_path / "models" / "tiny")
    assert encoder.fingerprint == report.fingerprint
    assert encoder.recipe == report.recipe
    gallery = read_gallery(table.parent)[:6]
    # Users' photos have another centre.
    photos = PhotoSet(
        [replace(photo, domain="user" if photo.id % 2 else "seller") for photo in gallery]
    )
    reference = reference_encoder(trained.network, encoder.recipe)
    found, expected = embed(photos, encoder).vectors, embed(photos, reference).vectors
    np.testing.assert_allclose(found, expected, atol=1e-5)
    short = embed(photos, load_encoder(tmp_path / "models" / "tiny", dimension=8)).vectors
    np.testing.assert_allclose(
        short, found[:, :8] / np.linalg.norm(found[:, :8], axis=1, keepdims=True), atol=1e-6
    )


def test_the_recipe_says_where_the_model_comes_from(trained: Trained, backbone: Backbone) -> None:
    recipe = make_recipe(trained, "int8", 96)
    assert (recipe.name, recipe.licence, recipe.version) == ("tiny", "CC0-1.0", "1")
    assert (recipe.dimension, recipe.nested, recipe.input_size) == (16, (8,), 96)
    assert (recipe.fit, recipe.mean, recipe.std) == (backbone.fit, backbone.mean, backbone.std)
    assert recipe.pad_colour == backbone.pad_colour
    assert recipe.pixels == "uint8_nhwc"
    assert recipe.pooling == "GeM, p = 3; linear to 16"
    assert recipe.sources[: len(backbone.sources)] == backbone.sources
    assert recipe.sources[-2] == "photos: made by the tests"
    assert "8-bit" in recipe.sources[-1]
    assert recipe.centres == trained.centres
    assert make_recipe(trained).input_size == SIZE


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_photos_of_the_run_are_the_default(
    trained: Trained, tmp_path: Path, precision: Any
) -> None:
    seen: list[str] = []
    report = export_trained(
        trained,
        tmp_path / "out",
        precision=precision,
        input_size=72,
        progress=lambda stage, done, total: seen.append(stage),
    )
    assert set(seen) == {"photos"}
    assert report.check.n_photos == len(seen) == 12
    assert load_encoder(tmp_path / "out").recipe.input_size == 72
    assert report.megabytes == (tmp_path / "out" / "model.onnx").stat().st_size / 1e6


def test_photos_that_calibrate_are_not_those_that_check(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrating: list[np.ndarray] = []
    checking: list[np.ndarray] = []

    def quantised(weights: bytes, photos: list[np.ndarray]) -> bytes:
        calibrating.extend(photos)
        return weights

    def checked(reference: Any, candidate: Any, pixels: Any, precision: Any) -> Any:
        checking.extend(pixels)
        return check(reference, candidate, pixels, precision)

    monkeypatch.setattr(export, "to_int8", quantised)
    monkeypatch.setattr(export, "check", checked)
    report = export_trained(trained, tmp_path / "out", precision="int8")
    assert (len(calibrating), len(checking)) == (24, 12)
    assert report.check.n_photos == 12
    digests = {photo.tobytes() for photo in calibrating}
    assert not any(photo.tobytes() in digests for photo in checking)


def test_photos_that_cannot_be_used_are_left_out(
    trained: Trained, table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "bad.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match="none of 1 photos can be used"):
        export_trained(trained, tmp_path / "out", photos=folder)
    (folder / "good.jpg").write_bytes((table.parent / "red-user-0.jpg").read_bytes())
    assert export_trained(trained, tmp_path / "out", photos=folder).check.n_photos == 1
    lines = table.read_text().splitlines()
    (table.parent / "some.csv").write_text("\n".join(lines[:4]))
    report = export_trained(trained, tmp_path / "more", photos=table.parent / "some.csv")
    assert report.check.n_photos == 3
    with pytest.raises(MissingError, match="nowhere"):
        export_trained(trained, tmp_path / "other", photos=tmp_path / "nowhere")


def spoiled(weights: bytes, *_: object) -> bytes:
    """Swap two outputs of the head."""
    model = onnx.load_from_string(weights)
    (head,) = [n for n in model.graph.node if n.op_type == "Gemm"]
    for tensor in model.graph.initializer:
        if tensor.name in head.input[1:]:
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[[0, 1]] = values[[1, 0]]
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_written_when_a_check_fails(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    output = tmp_path / "models" / "out"
    if force:
        export_trained(trained, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    monkeypatch.setattr(export, "to_fp16", spoiled)
    with pytest.raises(ModelError, match="fp16 model's vectors are too far"):
        export_trained(trained, output, precision="fp16", force=force)
    assert {path: path.read_bytes() for path in before} == before
    assert output.parent.exists() is force
    assert not force or list(output.parent.iterdir()) == [output]


@pytest.fixture
def dataset(table: Path) -> Path:
    """The training table's photos as a test set."""
    for name, domain, key in (("gallery", "seller", "seller"), ("queries", "user", "user")):
        box = "" if domain == "seller" else ",bbox_x,bbox_y,bbox_w,bbox_h"
        lines = [f"{key}_img_id,img_path,product_id{box}"]
        for number, path in enumerate(sorted(table.parent.glob(f"*-{domain}-0.jpg"))):
            values = [str(number), path.name, path.name.split("-")[0]]
            lines.append(",".join(values + ([] if domain == "seller" else ["5", "5", "100", "90"])))
        (table.parent / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return table.parent


def test_a_model_that_loses_too_much_is_refused(
    trained: Trained, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = export_trained(trained, tmp_path / "good", evaluate_on=dataset)
    assert report.scores is not None
    assert report.scores["model"] == pytest.approx(report.scores["network"], abs=1e-3)
    monkeypatch.setattr(export, "to_fp16", spoiled)
    monkeypatch.setattr(export, "TOLERANCES", {"fp16": export.Tolerance(-1, -1)})
    monkeypatch.setattr(export, "LARGEST_LOSS", -1.0)
    with pytest.raises(ModelError, match=r"loses .* of mAP@1000 \(0\.\d+ to 0\.\d+"):
        export_trained(trained, tmp_path / "bad", precision="fp16", evaluate_on=dataset)
    assert not (tmp_path / "bad").exists()


def test_what_is_there_is_not_replaced_unasked(
    trained: Trained, weights: bytes, tmp_path: Path
) -> None:
    recipe = make_recipe(trained)
    folder = tmp_path / "model"
    write_model(folder, weights, recipe)
    with pytest.raises(ShoplensError, match="is there already"):
        export_trained(trained, folder)
    renamed = replace(recipe, name="again")
    write_model(folder, weights, renamed, replace=True)
    assert load_encoder(folder).recipe.name == "again"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ShoplensError, match="is not a model folder"):
        write_model(folder, weights, recipe, replace=True)
    assert load_encoder(folder).recipe.name == "again"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_write_that_fails_leaves_the_earlier_model(
    trained: Trained, weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    write_model(folder, weights, make_recipe(trained))
    rename: Callable[[Path, Path], Path] = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ShoplensError, match=r"cannot write .*No space left"):
        write_model(folder, weights, replace(make_recipe(trained), name="new"), replace=True)
    assert load_encoder(folder).recipe.name == "tiny"
    assert [path.name for path in tmp_path.glob("*model*")] == ["model"]


# The command.


def saved_run(trained: Trained, folder: Path) -> Path:
    folder.mkdir()
    torch.save(
        {
            "config": trained.config.model_dump_json(),
            "network": trained.network.state_dict(),
            "centres": dict(trained.centres),
        },
        folder / "model.pt",
    )
    return folder


def test_the_command_exports_a_run(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, output = saved_run(trained, tmp_path / "run"), tmp_path / "out"
    arguments = ["export", str(run), "-o", str(output), "--precision", "fp16"]
    assert main([*arguments, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    values = json.loads(out)
    assert values["fingerprint"] == load_encoder(output).fingerprint
    assert values["precision"] == "fp16"
    assert values["check"]["cosine_lowest"] > 0.999
    assert values["map@1000"] is None
    assert f"--model {output}" in err
    assert main(arguments) == 1
    assert "is there already" in capsys.readouterr().err
    few = ["--photos", str(tmp_path / "photos" / "few")]
    (tmp_path / "photos" / "few").mkdir()
    (tmp_path / "photos" / "red-user-0.jpg").rename(tmp_path / "photos" / "few" / "red.jpg")
    assert main([*arguments, "--force", "--input-size", "72", *few]) == 0
    assert load_encoder(output).recipe.input_size == 72


def test_the_command_says_that_there_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "out")]) == 3
    assert "no finished training run" in capsys.readouterr().err


def test_the_names_that_graphs_are_known_by(weights: bytes) -> None:
    """`to_int8` leaves nodes alone by the names torch gives them."""
    names = [node.name for node in onnx.load_from_string(weights).graph.node]
    for prefix in graphs._AFTER_MAP:
        assert any(name.startswith(prefix) for name in names)
