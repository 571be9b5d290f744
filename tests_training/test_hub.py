"""Models of other libraries, on tiny ones with random weights in their own file formats."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import tokenizers
import torch
import transformers
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shoplens import load_encoder
from shoplens.cli import main
from shoplens.errors import MissingError, ModelError
from shoplens.models import conversion, zoo
from shoplens.models.encoder import RecipeEncoder
from shoplens.models.hub import convert as converting
from shoplens.models.hub import from_hf, from_open_clip, from_timm
from shoplens.models.hub.congruence import compare_preparation
from shoplens.models.hub.convert import convert, sample_photos
from shoplens.models.hub.loading import load_tower
from shoplens.models.recipe import Recipe
from shoplens.models.text import load_text_encoder

SIDES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2}
VISION = {**SIDES, **HEADS, "image_size": 32, "patch_size": 8}
TEXT = {**SIDES, **HEADS, "vocab_size": 8, "max_position_embeddings": 6, "eos_token_id": 1,
        "bos_token_id": 2, "pad_token_id": 0}  # fmt: skip
OPEN_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
MARQO = {"model_type": "siglip", "open_clip_model_name": "hf-hub:Marqo/x", "auto_map": {}}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the tests from the network and from the user's caches."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SHOPLENS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models, each as its library saves them."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    siglip = transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
    save(transformers.SiglipModel(siglip), folder / "siglip")
    square = {"height": 32, "width": 32}
    transformers.SiglipImageProcessor(size=square, resample=2).save_pretrained(folder / "siglip")
    clip = transformers.CLIPConfig(
        vision_config={**VISION, "projection_dim": 16},
        text_config={**TEXT, "projection_dim": 16},
        projection_dim=16,
    )
    save(transformers.CLIPModel(clip), folder / "clip")
    edge = {"shortest_edge": 32}
    clip_processor = transformers.CLIPImageProcessor(size=edge, crop_size=square)
    clip_processor.save_pretrained(folder / "clip")
    save(transformers.Dinov2Model(transformers.Dinov2Config(**VISION)), folder / "dinov2")
    bit = transformers.BitImageProcessor(
        size={"shortest_edge": 40}, crop_size=square, resample=3, image_mean=[0.4, 0.5, 0.6]
    )
    bit.save_pretrained(folder / "dinov2")
    dinov3 = transformers.DINOv3ViTConfig(num_register_tokens=4, **VISION)
    save(transformers.DINOv3ViTModel(dinov3), folder / "dinov3")
    transformers.DINOv3ViTImageProcessor(size=square).save_pretrained(folder / "dinov3")
    for name in ("siglip", "clip"):
        tokenizer().save_pretrained(folder / name)

    (folder / "open_clip").mkdir()
    save_file(
        whole(open_clip.model.CLIP(**OPEN_CLIP)), folder / "open_clip/open_clip_model.safetensors"
    )
    preparation = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic"}
    settings = {"model_cfg": OPEN_CLIP, "preprocess_cfg": {**preparation, "resize_mode": "squash"}}
    (folder / "open_clip" / "open_clip_config.json").write_text(json.dumps(settings))
    (folder / "open_clip" / "README.md").write_text("---\ntags:\n- clip\nlicense: mit\n---\n# X\n")
    shutil.copytree(folder / "open_clip", folder / "marqo")
    (folder / "marqo" / "config.json").write_text(json.dumps(MARQO))

    (folder / "timm").mkdir()
    network = timm.create_model("test_vit")
    save_file(whole(network), folder / "timm" / "model.safetensors")
    own = {"input_size": [3, 160, 160], "interpolation": "bilinear", "crop_pct": 1.0,
           "crop_mode": "squash", "mean": [0.1, 0.2, 0.3], "std": [0.5] * 3,
           "license": "cc0-1.0"}  # fmt: skip
    config = {"architecture": "test_vit", "num_classes": 1000, "pretrained_cfg": own}
    (folder / "timm" / "config.json").write_text(json.dumps(config))
    return folder


def save(network: Any, folder: Path) -> None:
    network.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: tiny-licence\n---\n")


def whole(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.contiguous().clone() for name, value in network.state_dict().items()}


def tokenizer() -> Any:
    words = ("<pad>", "<eos>", "<bos>", "<unk>", "a", "red", "chair", "shoe")
    model = tokenizers.models.WordLevel(dict(zip(words, range(8), strict=True)), unk_token="<unk>")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>",
        unk_token="<unk>",
    )  # fmt: skip


@dataclass
class Shown(RecipeEncoder):
    """What `compare_preparation` needs of an encoder."""

    recipe: Recipe

    def encode(self, pixels: Any, domains: Any) -> Any:
        raise AssertionError("nothing is embedded")


def shown(preparation: Any) -> Any:
    return Shown(
        Recipe(
            name="x", version="1", dimension=1, input_size=preparation.input_size,
            fit=preparation.fit, pixels="uint8_nhwc", mean=preparation.mean, std=preparation.std,
            licence="", sources=(), pad_colour=preparation.pad_colour,
            interpolation=preparation.interpolation, crop_share=preparation.crop_share,
        )
    )  # fmt: skip


NAMES = {
    "hf:{}/siglip": ("squash", "bilinear", 1.0, 32),
    "hf:{}/clip": ("crop", "bicubic", 1.0, 16),
    "hf:{}/dinov2": ("crop", "bicubic", 0.8, 32),
    "hf:{}/dinov3": ("squash", "bilinear", 1.0, 32),
    "open_clip:{}/open_clip": ("squash", "bicubic", 1.0, 16),
    "hf:{}/open_clip": ("squash", "bicubic", 1.0, 16),
    "hf:{}/marqo": ("squash", "bicubic", 1.0, 16),
    "timm:{}/timm": ("squash", "bilinear", 1.0, 64),
    "hf:{}/timm": ("squash", "bilinear", 1.0, 64),
    "timm:test_vit.r160_in1k@{}/timm/model.safetensors": ("crop", "bicubic", 160 / 168, 64),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_model_gives_its_librarys_vectors(
    tiny: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, interpolation, share, dimension = NAMES[name]
    name = name.format(tiny)
    encoder = load_encoder(name)
    recipe = encoder.recipe
    assert (recipe.fit, recipe.interpolation, recipe.dimension) == (fit, interpolation, dimension)
    assert recipe.crop_share == pytest.approx(share)
    assert recipe.name == name
    # As the library would, from the photo on.
    tower = load_tower(name)
    for photo in sample_photos(2):
        with torch.no_grad():
            expected = tower.network(tower.transform(photo.image)[None]).numpy()[0]
        prepared = encoder.prepare(photo, "seller")
        (found,) = encoder.embed([prepared], ["seller"])
        # At 32 pixels, half a pixel in where the middle lies is seen.
        assert found @ expected / np.linalg.norm(expected) > (0.98 if fit == "crop" else 0.9999)

    def again(*_: object) -> None:
        raise AssertionError("converted twice")

    monkeypatch.setattr(conversion, "convert", again)
    assert load_encoder(name).fingerprint == encoder.fingerprint


def test_settings_are_the_models_own(tiny: Path) -> None:
    dino = load_encoder(f"hf:{tiny}/dinov2").recipe
    assert dino.mean == pytest.approx((102.0, 127.5, 153.0))
    assert dino.licence == "tiny-licence"
    of_timm = load_encoder(f"timm:{tiny}/timm").recipe
    assert of_timm.mean == pytest.approx((25.5, 51.0, 76.5))
    assert of_timm.licence == "cc0-1.0"
    of_clip = load_encoder(f"open_clip:{tiny}/open_clip").recipe
    assert of_clip.std == pytest.approx((63.75,) * 3)
    assert of_clip.licence == "mit"
    assert str(tiny / "open_clip") in of_clip.sources[0]


def test_fp16_is_half_the_size_and_nearly_the_same(tiny: Path) -> None:
    single, half = (convert(f"timm:{tiny}/timm", precision) for precision in ("fp32", "fp16"))
    assert len(half.weights) < 0.6 * len(single.weights)
    assert single.lowest_cosine > 0.999999
    assert half.lowest_cosine > 0.9999
    assert load_encoder(f"timm:{tiny}/timm", precision="fp16").fingerprint == (
        half.recipe.fingerprint(half.weights)
    )


def test_what_differs_from_its_library_is_not_written(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(converting.LOWEST_COSINE, "fp32", 1.1)
    with pytest.raises(ModelError, match="too far from the network's on 8 photos"):
        load_encoder(f"timm:{tiny}/timm")
    assert not zoo.is_converted(f"timm:{tiny}/timm")


def test_what_is_too_large_for_one_file_is_refused_beforehand(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "_LARGEST_FILE", 1_000_000)
    with pytest.raises(ModelError, match=r"holds 2\.1 GB; fp16 halves it"):
        convert(f"timm:{tiny}/timm")
    assert convert(f"timm:{tiny}/timm", "fp16").recipe.dimension == 64


@pytest.mark.parametrize(("name", "part"), [("siglip", "vision"), ("dinov2", "encoder")])
def test_lacking_weights_are_not_made_up(tiny: Path, tmp_path: Path, name: str, part: str) -> None:
    shutil.copytree(tiny / name, tmp_path / name)
    file = tmp_path / name / "model.safetensors"
    weights = load_file(file)
    dropped = next(key for key in weights if part in key)
    save_file({k: v for k, v in weights.items() if k != dropped}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks weights of"):
        load_tower(f"hf:{tmp_path / name}")


def test_weights_of_another_model_are_refused(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, other)
    with pytest.raises(ModelError, match="timm cannot load"):
        load_tower(f"timm:test_vit.r160_in1k@{other}")
    shutil.copytree(tiny / "timm", tmp_path / "timm")
    weights = load_file(other.parent / "timm" / "model.safetensors")
    del weights["blocks.1.attn.qkv.weight"]
    save_file(weights, tmp_path / "timm" / "model.safetensors")
    with pytest.raises(ModelError, match=r"blocks\.1\.attn\.qkv\.weight"):
        load_tower(f"timm:{tmp_path / 'timm'}")
    shutil.copytree(tiny / "open_clip", tmp_path / "clip")
    shutil.copy(other, tmp_path / "clip" / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match="open_clip cannot load"):
        load_tower(f"open_clip:{tmp_path / 'clip'}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "timm:vit_small_patch14_dinov2.lvd142m",
            ["model.safetensors", "https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m"],
        ),
        (
            "open_clip:ViT-B-16-SigLIP/webli",
            ["open_clip_model.safetensors", "https://huggingface.co/timm/ViT-B-16-SigLIP"],
        ),
        (
            "hf:google/siglip2-base-patch16-224",
            ["config.json", "hf download google/siglip2-base-patch16-224", "hf:FOLDER"],
        ),
        ("hf:Marqo/marqo-ecommerce-embeddings-B", ["Marqo/marqo-ecommerce-embeddings-B"]),
    ],
)
def test_offline_the_file_to_bring_is_named(tmp_path: Path, name: str, said: list[str]) -> None:
    with pytest.raises(MissingError) as caught:
        load_encoder(name)
    for words in (*said, str(tmp_path / "hub"), "cannot be downloaded"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("folder", "lacking", "said"),
    [
        ("siglip", "model.safetensors", "has no model.safetensors or"),
        ("siglip", "preprocessor_config.json", "has no preprocessor_config.json"),
        ("siglip", "config.json", "has no config.json"),
        ("open_clip", "open_clip_model.safetensors", "has no open_clip_model.safetensors or"),
        ("timm", "model.safetensors", "has no model.safetensors or"),
    ],
)
def test_a_folder_that_lacks_a_file_is_told_which(
    tiny: Path, tmp_path: Path, folder: str, lacking: str, said: str
) -> None:
    shutil.copytree(tiny / folder, tmp_path / folder)
    (tmp_path / folder / lacking).unlink()
    with pytest.raises(MissingError, match=said):
        load_tower(f"hf:{tmp_path / folder}")


def test_the_cache_of_the_hub_is_used_without_a_network(tiny: Path, tmp_path: Path) -> None:
    for folder, name in (("siglip", "hf:who/what"), ("marqo", "hf:who/else")):
        place = tmp_path / "hub" / f"models--{name[3:].replace('/', '--')}"
        shutil.copytree(tiny / folder, place / "snapshots" / "0123")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("0123")
        there, here = load_encoder(name), load_encoder(f"hf:{tiny / folder}")
        assert there.fingerprint == here.fingerprint
        assert f"https://huggingface.co/{name[3:]}" in there.recipe.sources[0]


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("timm:no_such_model", ModelError, "knows no weights 'no_such_model'"),
        ("timm:test_vit@no-such-file", MissingError, "no file no-such-file"),
        ("timm:vit_base_patch16_224@{file}", ModelError, "prepared differently"),
        ("open_clip:No-Such/laion", ModelError, "has no model 'No-Such'"),
        ("open_clip:ViT-B-16/no-such", ModelError, "no weights 'no-such'"),
        ("open_clip:ViT-B-16@{file}", ModelError, "depends on the tag"),
        ("open_clip:ViT-B-16/openai@no-such-file", MissingError, "no file no-such-file"),
        ("open_clip:convnext_xxlarge", ModelError, "does not name its weights|depends on the tag"),
        ("hf:not a name", MissingError, "neither a folder nor OWNER/NAME"),
        ("hf:../x", MissingError, "neither a folder nor OWNER/NAME"),
    ],
)
def test_faulty_names_are_refused(tiny: Path, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        load_tower(name.format(file=tiny / "timm" / "model.safetensors"))


@pytest.mark.parametrize(
    ("kind", "said"), [("siglip2", "NaFlex"), ("bert", "known are clip"), ("", "known are clip")]
)
def test_unknown_architectures_are_refused(tmp_path: Path, kind: str, said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ModelError, match=said):
        load_tower(f"hf:{tmp_path}")


TIMM = {"input_size": (3, 224, 224), "interpolation": "bicubic", "crop_pct": 0.9,
        "crop_mode": "center", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # fmt: skip
CLIP = {"size": (224, 224), "mode": "RGB", "mean": (0.5,) * 3, "std": (0.5,) * 3,
        "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}  # fmt: skip
EDGE, SQUARE = {"shortest_edge": 256}, {"height": 224, "width": 224}
HF: dict[str, Any] = {"do_resize": True, "size": SQUARE, "resample": 2, "do_rescale": True,
      "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3,
      "image_std": [0.5] * 3}  # fmt: skip


@pytest.mark.parametrize(
    ("of", "settings"),
    [
        (from_timm, {**TIMM, "input_size": (3, 224, 192)}),
        (from_timm, {**TIMM, "crop_mode": "random"}),
        (from_timm, {**TIMM, "crop_mode": "border"}),
        (from_timm, {**TIMM, "interpolation": "nearest"}),
        (from_open_clip, {**CLIP, "size": (224, 192)}),
        (from_open_clip, {**CLIP, "resize_mode": "other"}),
        (from_hf, {**HF, "do_resize": False}),
        (from_hf, {**HF, "do_pad": True}),
        (from_hf, {**HF, "size": EDGE}),
        (from_hf, {**HF, "size": {"longest_edge": 224}}),
        (from_hf, {**HF, "size": {"height": 224, "width": 192}}),
        (from_hf, {**HF, "resample": 0}),
        (from_hf, {**HF, "size": {"shortest_edge": 200}, "do_center_crop": True,
                   "crop_size": SQUARE}),
    ],
)  # fmt: skip
def test_preparation_that_is_not_known_is_refused(of: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="model x"):
        of.preparation_of("x", settings)


def of_timm(**settings: Any) -> tuple[Any, Any]:
    whole = {**TIMM, **settings}
    return from_timm.preparation_of("x", whole), timm.data.create_transform(**whole)


def of_open_clip(**settings: Any) -> tuple[Any, Any]:
    whole = {**CLIP, **settings}
    own = open_clip.transform.PreprocessCfg(**whole)
    transform = open_clip.transform.image_transform_v2(own, is_train=False)
    return from_open_clip.preparation_of("x", whole), transform


def of_hf(class_name: str, **settings: Any) -> tuple[Any, Any]:
    processor = getattr(transformers, class_name)(**settings)
    preparation = from_hf.preparation_of("x", processor.to_dict())
    return preparation, from_hf._transform(processor)


CROPPED = {"size": EDGE, "crop_size": SQUARE, "resample": 3}
CONGRUENT: dict[str, tuple[Callable[[], tuple[Any, Any]], float, float]] = {
    # Largest and mean difference in grey levels that is allowed. The two that resize by Pillow may
    # go over columns first (see docs/models.md).
    "timm center": (of_timm, 110, 2.0),
    "timm center 0.875": (lambda: of_timm(crop_pct=0.875), 110, 2.0),
    "timm squash": (lambda: of_timm(crop_mode="squash", crop_pct=1.0), 8, 0.15),
    "timm squash 0.875": (lambda: of_timm(crop_mode="squash", crop_pct=0.875), 8, 0.15),
    "timm border": (lambda: of_timm(crop_mode="border", crop_pct=1.0), 2, 0.01),
    "timm bilinear": (lambda: of_timm(interpolation="bilinear", crop_mode="squash"), 3, 0.1),
    "open_clip shortest": (of_open_clip, 110, 2.0),
    "open_clip squash": (lambda: of_open_clip(resize_mode="squash"), 8, 0.15),
    "open_clip longest": (lambda: of_open_clip(resize_mode="longest"), 2, 0.01),
    "hf SigLIP": (lambda: of_hf("SiglipImageProcessor", size=SQUARE, resample=3), 6, 0.2),
    "hf SigLIP 2": (lambda: of_hf("SiglipImageProcessor", size=SQUARE, resample=2), 2, 0.2),
    "hf CLIP": (lambda: of_hf("CLIPImageProcessor"), 110, 2.0),
    "hf DINOv2": (lambda: of_hf("BitImageProcessor", **CROPPED), 110, 2.0),
    "hf DINOv3": (lambda: of_hf("DINOv3ViTImageProcessor"), 2, 0.5),
}


@pytest.mark.parametrize("case", CONGRUENT)
def test_our_pixels_are_the_librarys(case: str) -> None:
    made, largest, mean = CONGRUENT[case]
    preparation, transform = made()
    found = compare_preparation(shown(preparation), transform, sample_photos())
    print(f"{case}: largest {found.largest:.1f}, mean {found.mean:.3f}")
    assert found.n_photos == 8
    assert found.largest <= largest
    assert found.mean <= mean


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("hf:{}/siglip", 32), ("hf:{}/clip", 16), ("open_clip:{}/open_clip", 16), ("hf:{}/marqo", 16)],
)
def test_texts_are_embedded_in_the_space_of_photos(tiny: Path, name: str, dimension: int) -> None:
    name = name.format(tiny)
    encoder = load_text_encoder(name)
    texts = ["a red chair", "a shoe", "a red chair " * 40]
    vectors = encoder.encode(texts)
    assert (encoder.name, encoder.dimension) == (name, dimension)
    assert load_encoder(name).recipe.dimension == dimension
    assert vectors.shape == (3, dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] < 0.999
    # A text's vector does not depend on what stands beside it.
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert np.allclose(alone, vectors, atol=1e-5)
    assert encoder.encode([]).shape == (0, dimension)


def test_text_vectors_are_those_of_the_whole_model(tiny: Path) -> None:
    model = transformers.CLIPModel.from_pretrained(tiny / "clip").eval()
    tokens = tokenizer()(["a red chair"], return_tensors="pt")
    tokens.pop("token_type_ids", None)
    pixels = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        expected = model(**tokens, pixel_values=pixels).text_embeds[0].numpy()
    (found,) = load_text_encoder(f"hf:{tiny}/clip").encode(["a red chair"])
    assert found @ expected / np.linalg.norm(expected) > 0.99999


def test_what_has_no_tower_for_texts_says_so(tiny: Path) -> None:
    for name in (f"hf:{tiny}/dinov2", f"timm:{tiny}/timm"):
        with pytest.raises(ModelError, match="no text tower"):
            load_text_encoder(name)


def test_converting_ahead_from_the_command_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    words = ["models", "convert", f"hf:{tiny}/siglip", "-o", str(folder), "--json", "-"]
    assert main(words) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["fingerprint"] == load_encoder(folder).fingerprint
    assert values["check"]["cosine_lowest"] > 0.9999
    assert main(words) == 2
    assert main([*words, "--force", "--precision", "fp16"]) == 0
    capsys.readouterr()
    assert main(["models", "convert", f"hf:{tiny}/siglip"]) == 0
    assert "use it with --model hf:" in capsys.readouterr().err
    assert main(["models", "convert", f"hf:{tiny}/siglip"]) == 0
    assert "converted before" in capsys.readouterr().err


def test_photos_keep_their_colours_on_the_way(tiny: Path) -> None:
    """A red photo is red to the library as well: channels are not swapped."""
    tower = load_tower(f"timm:{tiny}/timm")
    red = tower.transform(Image.new("RGB", (64, 64), (255, 0, 0)))
    assert red[0].mean() > red[2].mean()


@pytest.mark.parametrize("name", ["timm:{}/timm", "open_clip:{}/open_clip"])
def test_torch_on_a_device_gives_the_converted_models_vectors(tiny: Path, name: str) -> None:
    from shoplens.models.hub.on_torch import load_on

    model = name.format(tiny)
    converted = load_encoder(model)
    size = converted.recipe.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    expected = converted.encode(pixels, ["user"] * 5)
    for devices in (["cpu"], ["cpu", "cpu"]):
        found = load_on(model, devices, "fp32", compiled=False)
        shown = [(square[None],) for square in pixels]
        np.testing.assert_allclose(found.embed(shown, ["user"] * 5), expected, atol=1e-4)
        assert found.preparation == converted.preparation


def test_a_graphics_processor_that_is_not_there_is_told(tiny: Path) -> None:
    with pytest.raises(MissingError, match="no device 'cuda:0'"):
        load_encoder(f"timm:{tiny / 'timm'}", device="cuda")
