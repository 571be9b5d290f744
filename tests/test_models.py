from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import TOY_RECIPE, endless_graph, toy_graph

import shoplens
from shoplens import embed, load_encoder, read_gallery
from shoplens.errors import MissingError, ModelError, PhotoError
from shoplens.models import BASE_MODEL, DEFAULT_MODEL, RecipeEncoder, list_models, sessions
from shoplens.models.byte_products import has_exact_byte_products
from shoplens.models.recipe import Recipe
from shoplens.records import Domain

SIZE = 384
"""Side of the built-in model's squares."""

MakeModel = Callable[..., Path]


def squares(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(n, size, size, 3), dtype=np.uint8)


def test_the_built_in_model_is_listed_as_the_default() -> None:
    (info,) = [info for info in list_models() if info.default]
    assert info.name == DEFAULT_MODEL
    assert info.licence == "Apache-2.0"
    assert info.fingerprint == load_encoder().fingerprint
    assert 1 < info.megabytes < 25


def test_the_credits_that_built_in_models_name_are_in_the_package() -> None:
    """CC-BY asks for them wherever the weights go."""
    package = Path(shoplens.__file__).parents[1]
    for info in list_models():
        (file,) = re.findall(r"shoplens/\S+\.csv", " ".join(info.sources))
        with (package / file).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) > 700
        assert {row["licence"] for row in rows} == {"CC0", "CC-BY-3.0"}
        assert all(row["name"] and row["author"] for row in rows if row["licence"] != "CC0")


def test_every_listed_model_loads_by_its_name() -> None:
    for info in list_models():
        found = load_encoder(info.name)
        assert (found.name, found.fingerprint) == (info.name, info.fingerprint)
        assert (found.dimension, found.nested) == (info.dimension, info.nested)


def test_the_model_in_8_bit_integers_says_what_the_other_says(
    network: RecipeEncoder, sample: Path
) -> None:
    small = load_encoder(f"{BASE_MODEL}-int8")
    assert small.fingerprint != network.fingerprint
    assert small.recipe.preparation() == network.recipe.preparation()
    assert small.recipe.nested == network.recipe.nested
    photos = read_gallery(sample)
    vectors = [embed(photos, each).vectors for each in (network, small)]
    cosines = np.sum(vectors[0] * vectors[1], axis=1)
    # Processors without 8-bit products are allowed a little more (docs/models.md).
    assert np.mean(cosines) > 0.98
    assert np.min(cosines) > 0.94


def test_8_bit_vectors_do_not_depend_on_what_the_processor_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = squares(2, SIZE)
    found = []
    for exact in (True, False):
        if exact and not has_exact_byte_products():
            pytest.skip("sums of 16 bits overflow here: only the slower method is exact")
        monkeypatch.setattr(sessions, "has_exact_byte_products", lambda exact=exact: exact)
        found.append(load_encoder(f"{BASE_MODEL}-int8").encode(pixels, ["user", "seller"]))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-5)


def test_built_in_vectors_are_of_unit_length(network: RecipeEncoder) -> None:
    found = network.encode(squares(3, SIZE), ["user", "seller", "user"])
    assert found.shape == (3, 512)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_batch_gives_the_vectors_of_one_by_one(network: RecipeEncoder) -> None:
    pixels = squares(4, SIZE)
    domains: list[Domain] = ["user", "seller", "seller", "user"]
    batch = network.encode(pixels, domains)
    alone = [network.encode(pixels[i : i + 1], domains[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(batch, alone, rtol=0, atol=1e-6)


def test_the_network_knows_both_domains(network: RecipeEncoder) -> None:
    assert set(network.recipe.centres) == {"user", "seller"}
    pixels = np.repeat(squares(1, SIZE), 2, axis=0)
    user, seller = network.encode(pixels, ["user", "seller"])
    assert float(user @ seller) < 0.999


@pytest.mark.parametrize("colour", [0, 127, 255])
def test_plain_squares_have_a_direction(network: RecipeEncoder, colour: int) -> None:
    pixels = np.full((1, SIZE, SIZE, 3), colour, dtype=np.uint8)
    assert np.isfinite(network.encode(pixels, ["seller"])).all()


def test_no_pixels_give_no_vectors(network: RecipeEncoder) -> None:
    assert network.encode(squares(0, SIZE), []).shape == (0, 512)


@pytest.mark.parametrize(
    ("shape", "domains"),
    [
        ((1, 224, 224, 3), ["user"]),
        ((1, 3, SIZE, SIZE), ["user"]),
        ((SIZE, SIZE, 3), ["user"]),
        ((2, SIZE, SIZE, 3), ["user"]),
    ],
)
def test_pixels_of_another_shape_are_refused(
    network: RecipeEncoder, shape: tuple[int, ...], domains: Sequence[Domain]
) -> None:
    with pytest.raises(ModelError, match=r"takes \(n, 384, 384, 3\) pixels and n domains"):
        network.encode(np.zeros(shape, np.uint8), domains)


# Models from folders and zips.


def test_a_folder_is_a_model(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model())
    assert encoder.recipe.name == "toy"
    pixels = squares(2, 16)
    found = encoder.encode(pixels, ["user", "seller"])
    # By hand: normalised, averaged over cells of 4 x 4, channel by channel.
    cells = ((pixels - 127.0) / 64.0).reshape(2, 4, 4, 4, 4, 3).mean(axis=(2, 4))
    expected = cells.transpose(0, 3, 1, 2).reshape(2, 48)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_path_as_text_is_a_model(make_model: MakeModel) -> None:
    assert load_encoder(str(make_model())).recipe.name == "toy"


def test_a_graph_may_take_raw_bytes(make_model: MakeModel) -> None:
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["y"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "bytes",
        [helper.make_tensor_value_info("x", kinds.UINT8, ["n", 16, 16, 3])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["n", 3])],
    )  # fmt: skip
    opset = helper.make_opsetid("", 17)
    weights = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    encoder = load_encoder(make_model(weights=weights, pixels="uint8_nhwc", dimension=3))
    pixels = squares(1, 16)
    mean = pixels[0].mean(axis=(0, 1))
    np.testing.assert_allclose(
        encoder.encode(pixels, ["user"])[0], mean / np.linalg.norm(mean), atol=1e-6
    )


def test_a_graph_that_never_ends_is_ended(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = load_encoder(make_model(weights=endless_graph()))
    monkeypatch.setattr(sessions, "PHOTO_SECONDS", 0.1)
    with pytest.raises(ModelError, match=r"model toy cannot be run: .* within 0\.2 s") as caught:
        encoder.encode(squares(2, 16), ["user", "user"])
    assert "the limit is 0.1 s per photo" in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_graph_for_single_photos_takes_several_one_by_one(make_model: MakeModel) -> None:
    import onnx

    graph = onnx.load_from_string(toy_graph())
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    single = load_encoder(make_model("single", weights=graph.SerializeToString()))
    pixels, domains = squares(3, 16), ["user", "seller", "seller"]
    np.testing.assert_allclose(
        single.encode(pixels, domains),
        load_encoder(make_model()).encode(pixels, domains),
        atol=1e-6,
    )


def test_centres_are_taken_from_the_unit_vectors_of_their_domain(make_model: MakeModel) -> None:
    centre = np.linspace(-0.1, 0.1, 48)
    plain = load_encoder(make_model("plain"))
    centred = load_encoder(make_model("centred", centres={"seller": centre.tolist()}))
    pixels = np.repeat(squares(1, 16), 2, axis=0)
    before = plain.encode(pixels, ["user", "seller"])
    after = centred.encode(pixels, ["user", "seller"])
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)
    expected = before[1] - centre
    np.testing.assert_allclose(after[1], expected / np.linalg.norm(expected), atol=1e-6)
    assert plain.fingerprint != centred.fingerprint


def test_a_vector_without_direction_is_an_error_of_the_photo(make_model: MakeModel) -> None:
    grey = np.full((1, 16, 16, 3), 127, dtype=np.uint8)
    with pytest.raises(PhotoError, match="zero or not finite") as caught:
        load_encoder(make_model()).encode(grey, ["user"])
    assert caught.value.reason == "no_direction"


# The leading components alone.


def test_leading_components_are_vectors_of_their_own(make_model: MakeModel) -> None:
    centres = {"seller": np.linspace(-0.1, 0.1, 48).tolist()}
    folder = make_model(centres=centres, nested=[6, 12])
    whole, part = load_encoder(folder), load_encoder(folder, dimension=12)
    pixels, domains = squares(3, 16), ["user", "seller", "seller"]
    found = part.embed([(square[None],) for square in pixels], domains)
    assert found.shape == (3, part.dimension) == (3, 12)
    expected = whole.encode(pixels, domains)[:, :12]
    np.testing.assert_allclose(
        found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert part.nested == (6,)
    assert part.embed([], []).shape == (0, 12)


def test_each_dimension_has_its_fingerprint(make_model: MakeModel) -> None:
    folder = make_model(nested=[6, 12])
    of = {n: load_encoder(folder, dimension=n).fingerprint for n in (6, 12, 48)}
    assert len({*of.values()}) == 3
    assert all(len(fingerprint) == 16 for fingerprint in of.values())
    assert of[48] == load_encoder(folder).fingerprint
    assert of[12] == load_encoder(folder, dimension=12).fingerprint
    # What a model offers changes no vector: it orphans none that are stored.
    assert of[48] == load_encoder(make_model("plain")).fingerprint


@pytest.mark.parametrize("dimension", [0, 5, 13, 49])
def test_dimensions_that_were_not_trained_are_refused(
    make_model: MakeModel, dimension: int
) -> None:
    folder = make_model(nested=[6, 12])
    with pytest.raises(ModelError, match=f"cut to {dimension} dimensions; it offers 6, 12, 48"):
        load_encoder(folder, dimension=dimension)
    with pytest.raises(ModelError, match="cut to 100 dimensions; it offers 64, 128, 256, 512"):
        load_encoder(dimension=100)


def test_a_leading_part_without_direction_is_an_error_of_the_photo(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model(nested=[16]), dimension=16)
    # The toy graph's first 16 components are the red channel, at 127 its zero.
    pixels = squares(1, 16)
    pixels[..., 0] = 127
    with pytest.raises(PhotoError, match="zero or not finite"):
        encoder.embed([(pixels,)], ["user"])


def zipped(folder: Path, path: Path, prefix: str = "", extra: Sequence[str] = ()) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("model.onnx", "recipe.json"):
            archive.write(folder / name, prefix + name)
        for name in extra:
            archive.writestr(name, "x")
    return path


@pytest.mark.parametrize(
    ("prefix", "extra"),
    [
        ("", []),
        ("toy/", []),
        ("", ["README.md", "licences/MIT.txt"]),
        ("toy/", ["toy/README.md", "__MACOSX/toy/._model.onnx", ".DS_Store"]),
        ("", ["__MACOSX/._model.onnx"]),
    ],
)
def test_a_zip_of_a_folder_is_the_same_model(
    tmp_path: Path, make_model: MakeModel, prefix: str, extra: list[str]
) -> None:
    folder = make_model()
    from_zip = load_encoder(zipped(folder, tmp_path / "toy.zip", prefix, extra))
    assert from_zip.fingerprint == load_encoder(folder).fingerprint


def test_damaged_zips_are_refused(tmp_path: Path, make_model: MakeModel) -> None:
    whole = zipped(make_model(), tmp_path / "toy.zip").read_bytes()
    damaged = bytearray(whole)
    damaged[60:100] = bytes(40)
    for data in (bytes(damaged), whole[:-30], b"no zip", b""):
        (tmp_path / "bad.zip").write_bytes(data)
        with pytest.raises(ModelError, match=r"bad\.zip"):
            load_encoder(tmp_path / "bad.zip")


def test_a_zip_without_a_model_is_missing_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("README.md", "x")
    with pytest.raises(MissingError, match=r"has no model\.onnx"):
        load_encoder(tmp_path / "empty.zip")


@pytest.mark.parametrize("name", ["model.onnx", "recipe.json"])
def test_a_folder_without_one_of_its_files_is_missing_it(make_model: MakeModel, name: str) -> None:
    folder = make_model()
    (folder / name).unlink()
    with pytest.raises(MissingError, match=f"has no {name}") as caught:
        load_encoder(folder)
    assert caught.value.exit_code == 3


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(MissingError, match="Did you mean 'lite0-products'") as caught:
        load_encoder("lite2-product")
    assert caught.value.exit_code == 3
    with pytest.raises(MissingError, match="neither a built-in name"):
        load_encoder("nothing-like-it")


# Recipes.


def stated(folder: Path) -> Path:
    """Write the fingerprint into the recipe of a model folder."""
    weights = (folder / "model.onnx").read_bytes()
    recipe = Recipe.from_json((folder / "recipe.json").read_text(), weights)
    (folder / "recipe.json").write_text(recipe.to_json(weights))
    return folder


def test_a_recipe_survives_writing_and_reading(make_model: MakeModel) -> None:
    folder = make_model(
        centres={"user": [0.25] * 48}, pad_colour=[1, 2, 3], pooling="mean", nested=[6, 12]
    )
    before = load_encoder(folder)
    after = load_encoder(stated(folder))
    assert after.recipe == before.recipe
    assert after.fingerprint == before.fingerprint
    assert json.loads((folder / "recipe.json").read_text())["fingerprint"] == after.fingerprint


VIEWS: dict[str, object] = {
    "interpolation": "hamming",
    "crop_share": 0.9,
    "zooms": [1.0, 1.2],
    "flip": True,
    "margin": {"user": 0.1},
    "trim": ["seller"],
    "trim_tolerance": 20,
}
"""Another than the default of every setting of views."""


def test_settings_of_views_survive_writing_and_reading(make_model: MakeModel) -> None:
    before = load_encoder(make_model(**VIEWS))
    after = load_encoder(stated(make_model("again", **{**VIEWS, "name": "toy"})))
    assert after.recipe == before.recipe
    assert after.recipe.zooms == (1.0, 1.2)
    assert after.recipe.trim == ("seller",)


@pytest.mark.parametrize("key", VIEWS)
def test_each_setting_of_views_changes_fingerprint_and_preparation(
    make_model: MakeModel, key: str
) -> None:
    plain = load_encoder(make_model())
    changed = load_encoder(make_model("changed", **{key: VIEWS[key]}))
    assert changed.fingerprint != plain.fingerprint
    assert changed.recipe.preparation() != plain.recipe.preparation()


def test_settings_of_views_at_their_default_leave_the_fingerprint(make_model: MakeModel) -> None:
    """As it was when there were none: vectors stored then stay good."""
    plain = load_encoder(make_model())
    written = load_encoder(
        make_model(
            "written", interpolation="bicubic", crop_share=1, zooms=[1], flip=False, margin={},
            trim=[], trim_tolerance=12,
        )
    )  # fmt: skip
    assert written.fingerprint == plain.fingerprint
    assert plain.recipe.fingerprint(b"weights") == "045d861bae394db2"
    assert written.recipe.preparation() == plain.recipe.preparation()


def test_changed_weights_are_noticed(make_model: MakeModel) -> None:
    folder = stated(make_model())
    weights = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(weights.replace(b"toy", b"tox"))
    with pytest.raises(ModelError, match=r"states the fingerprint .* one of the two files was"):
        load_encoder(folder)


@pytest.mark.parametrize(
    "change", [{"mean": [1, 2, 3]}, {"fit": "crop"}, {"input_size": 8}, {"centres": {}}]
)
def test_a_changed_recipe_is_noticed(make_model: MakeModel, change: dict[str, object]) -> None:
    folder = stated(make_model(centres={"user": [0.5] * 48}))
    values = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(ModelError, match="one of the two files was changed"):
        load_encoder(folder)


def test_what_changes_no_vector_leaves_the_fingerprint(make_model: MakeModel) -> None:
    """Words may be mended, and 127 written as 127.0, without orphaning stored vectors."""
    folder = stated(make_model())
    before = load_encoder(folder).fingerprint
    values = json.loads((folder / "recipe.json").read_text())
    changes = {
        "version": "9",
        "licence": "MIT",
        "sources": ["elsewhere"],
        "mean": [float(v) for v in values["mean"]],
        "std": [int(v) if v == int(v) else v for v in values["std"]],
        "pad_colour": [255, 255, 255],
        "centres": {},
        "nested": [8],
    }
    (folder / "recipe.json").write_text(json.dumps({**values, **changes}))
    assert load_encoder(folder).fingerprint == before


def test_weights_outside_the_graph_are_refused(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [48], [1.0] * 48)
    graph = onnx.load_from_string(toy_graph())
    graph.graph.node[-1].output[0] = "z"
    graph.graph.node.append(onnx.helper.make_node("Mul", ["z", "w"], ["y"]))
    weight.raw_data = np.ones(48, dtype=np.float32).tobytes()
    weight.ClearField("float_data")
    graph.graph.initializer.append(weight)
    assert load_encoder(make_model("inside", weights=graph.SerializeToString())) is not None
    onnx.external_data_helper.convert_model_to_external_data(
        graph, location="w.bin", size_threshold=0
    )
    folder = make_model("outside")
    onnx.save_model(graph, folder / "model.onnx")
    assert (folder / "w.bin").is_file()
    monkeypatch.chdir(folder)
    with pytest.raises(ModelError, match="keeps weights in other files"):
        load_encoder(folder)


def test_damaged_weights_are_refused(make_model: MakeModel) -> None:
    for number, weights in enumerate((b"no graph", toy_graph()[:-40])):
        with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
            load_encoder(make_model(f"bad{number}", weights=weights))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"toy"', "\ufeff{}"])
def test_a_recipe_that_is_no_object_is_refused(make_model: MakeModel, text: str) -> None:
    folder = make_model()
    (folder / "recipe.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"recipe\.json"):
        load_encoder(folder)


def test_a_recipe_that_is_no_text_is_refused(make_model: MakeModel) -> None:
    folder = make_model()
    (folder / "recipe.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match="utf-8"):
        load_encoder(folder)


@pytest.mark.parametrize("key", sorted(TOY_RECIPE.keys()))
def test_a_recipe_without_a_key_is_refused(make_model: MakeModel, key: str) -> None:
    folder = make_model()
    values = json.loads((folder / "recipe.json").read_text())
    del values[key]
    (folder / "recipe.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match=key):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"resize": "bilinear"}, r"unknown keys \['resize'\]"),
        ({"name": ""}, "name must not be empty"),
        ({"name": 5}, "name must be text"),
        ({"dimension": 0}, "dimension must be a positive integer"),
        ({"dimension": "48"}, "dimension must be a positive integer"),
        ({"dimension": 48.0}, "dimension must be a positive integer"),
        ({"dimension": True}, "dimension must be a positive integer"),
        ({"input_size": -1}, "input_size must be a positive integer"),
        ({"fit": "letterbox"}, "fit must be one of"),
        ({"fit": None}, "fit must be one of"),
        ({"pixels": "float16_nchw"}, "pixels must be one of"),
        ({"interpolation": "nearest"}, "interpolation must be one of"),
        ({"interpolation": ["bicubic"]}, "interpolation must be one of"),
        ({"crop_share": 0}, "crop_share must be a number above 0 and up to 1"),
        ({"crop_share": 1.1}, "crop_share must be"),
        ({"crop_share": "1"}, "crop_share must be"),
        ({"crop_share": True}, "crop_share must be"),
        ({"zooms": 1.0}, "zooms must be a list of different numbers from 0.1 to 10"),
        ({"zooms": []}, "zooms must be"),
        ({"zooms": [1, 1.0]}, "zooms must be"),
        ({"zooms": [0.01]}, "zooms must be"),
        ({"zooms": [float("nan")]}, "is not JSON"),
        ({"zooms": ["1"]}, "zooms must be"),
        ({"zooms": [[1]]}, "zooms must be"),
        ({"zooms": [{"at": 1}]}, r"recipe\.json"),
        ({"flip": 1}, "flip must be true or false"),
        ({"flip": "yes"}, "flip must be true or false"),
        ({"margin": 0.1}, "margin must be an object of numbers from 0 to 10 by domain"),
        ({"margin": {"buyer": 0.1}}, "margin must be"),
        ({"margin": {"user": -0.1}}, "margin must be"),
        ({"margin": {"user": float("inf")}}, "is not JSON"),
        ({"margin": {"user": "0.1"}}, "margin must be"),
        ({"trim": "seller"}, "trim must be a list of different domains"),
        ({"trim": ["buyer"]}, "trim must be"),
        ({"trim": ["seller", "seller"]}, "trim must be"),
        ({"trim_tolerance": -1}, "trim_tolerance must be a number from 0 to 255"),
        ({"trim_tolerance": None}, "trim_tolerance must be"),
        ({"mean": [1, 2]}, "mean must hold 3 numbers"),
        ({"mean": 127}, "mean must hold 3 numbers"),
        ({"mean": ["a", "b", "c"]}, r"recipe\.json"),
        ({"mean": [float("nan")] * 3}, "is not JSON"),
        ({"std": [1, 0, 1]}, "std must be positive"),
        ({"std": [1, -1, 1]}, "std must be positive"),
        ({"pad_colour": [0, 0, 256]}, "pad_colour must hold integers from 0 to 255"),
        ({"pad_colour": [0.5, 0, 0]}, "pad_colour must hold integers"),
        ({"sources": "mine"}, "sources must be a list of texts"),
        ({"nested": 6}, "nested must be a list of integers between 0 and 48, ascending"),
        ({"nested": [0, 6]}, "nested must be"),
        ({"nested": [48]}, "nested must be"),
        ({"nested": [12, 6]}, "nested must be"),
        ({"nested": [6, 6]}, "nested must be"),
        ({"nested": [6.0]}, "nested must be"),
        ({"nested": ["6"]}, "nested must be"),
        ({"centres": [1, 2]}, "centres must be an object by domain"),
        ({"centres": {"buyer": [0.1] * 48}}, "unknown domain 'buyer'"),
        ({"centres": {"user": [0.1] * 47}}, "must hold 48 finite numbers and has 47"),
        ({"centres": {"user": [float("inf")] * 48}}, "is not JSON"),
        ({"centres": {"user": ["a"] * 48}}, r"recipe\.json"),
    ],
)  # fmt: skip
def test_an_impossible_recipe_is_refused(
    make_model: MakeModel, change: dict[str, object], problem: str
) -> None:
    with pytest.raises(ModelError, match=problem):
        load_encoder(make_model(**change))


@pytest.mark.parametrize(("pixels", "kind"), [("uint8_nhwc", "FLOAT"), ("float32_nchw", "UINT8")])
def test_a_graph_that_takes_another_type_is_refused(
    make_model: MakeModel, pixels: str, kind: str
) -> None:
    with pytest.raises(ModelError, match=f"recipe says pixels={pixels}, so model.onnx must take"):
        load_encoder(make_model(pixels=pixels, graph_type=kind))


def test_a_graph_that_returns_another_dimension_is_refused(make_model: MakeModel) -> None:
    encoder = load_encoder(make_model(dimension=47))
    with pytest.raises(ModelError, match=r"returned \(1, 48\); its recipe says \(1, 47\)"):
        encoder.encode(squares(1, 16), ["user"])


def test_a_graph_that_takes_another_size_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ModelError, match=r"input_size=16.* must take .*16, 16.* takes .*32, 32"):
        load_encoder(make_model(graph_size=32))
