"""How others embed the same photos with the same weights, as programs of their own.

    python bench/starter_kit.py eager|sequential DATASET MODEL VECTORS JSON

`eager` is the way of the challenge's starter kit: a torch Dataset that reads with OpenCV, cuts the
box out and resizes with Pillow; a DataLoader with two workers; the network in PyTorch, eager, in
batches. `sequential` prepares photos likewise and hands them to ONNX Runtime one by one, which
spreads each over all cores. Both use what is usual and nothing else; `starter_kit_way.py` compares.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

WORKERS, BATCH = 2, 32


class Photos:
    """A torch Dataset: the queries of a test set, as (s, s, 3) uint8."""

    def __init__(self, folder: Path, recipe: dict[str, Any]) -> None:
        with (folder / "queries.csv").open(newline="", encoding="utf-8") as stream:
            self.rows = list(csv.DictReader(stream))
        self.folder = folder
        self.size = recipe["input_size"]
        self.colour = tuple(recipe["pad_colour"])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        row = self.rows[index]
        x, y, width, height = (int(row[f"bbox_{side}"]) for side in "xywh")
        pixels = cv2.cvtColor(cv2.imread(str(self.folder / row["img_path"])), cv2.COLOR_BGR2RGB)
        cut = Image.fromarray(pixels[max(y, 0) : y + height, max(x, 0) : x + width])
        factor = self.size / max(cut.size)
        sides = [max(1, round(side * factor)) for side in cut.size]
        square = Image.new("RGB", (self.size, self.size), self.colour)
        corner = tuple((self.size - side) // 2 for side in sides)
        square.paste(cut.resize(sides, Image.Resampling.BICUBIC), corner)
        return np.array(square)


def torch_network(model: Path) -> Any:
    """Return an exported model's network in torch, with the same weights."""
    import onnx  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from onnx import numpy_helper  # noqa: PLC0415

    from shoplens.training import config  # noqa: PLC0415
    from shoplens.training.backbones import load_backbone  # noqa: PLC0415
    from shoplens.training.network import Network  # noqa: PLC0415

    graph = onnx.load(str(model / "model.onnx")).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    weight, bias = (
        torch.from_numpy(arrays.get(name, arrays.get(f"{name}.fp16")).astype(np.float32))
        for name in ("network.head.weight", "network.head.bias")
    )
    settings = config.NetworkConfig(pooling="gem", gem_power=3, dimension=len(bias))
    network = Network(load_backbone(f"file:{model}"), settings)
    with torch.no_grad():
        network.head.weight.copy_(weight)
        network.head.bias.copy_(bias)
    return network.eval()


def eager(photos: Photos, model: Path) -> Callable[[], Iterator[np.ndarray]]:
    """Load PyTorch and the network; return what yields batches of vectors."""
    import torch  # noqa: PLC0415

    network = torch_network(model)
    loader: Any = torch.utils.data.DataLoader(photos, batch_size=BATCH, num_workers=WORKERS)

    def vectors() -> Iterator[np.ndarray]:
        with torch.no_grad():
            for batch in loader:
                yield network(batch).numpy()

    return vectors


def sequential(photos: Photos, model: Path) -> Callable[[], Iterator[np.ndarray]]:
    """Load the graph on ONNX Runtime as it is; return what yields vectors one by one."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(model / "model.onnx")

    def vectors() -> Iterator[np.ndarray]:
        for index in range(len(photos)):
            yield session.run(None, {"pixels": photos[index][None]})[0]

    return vectors


def main() -> None:
    """Embed, write vectors and seconds."""
    way, dataset, model, output, figures = sys.argv[1:]
    recipe = json.loads(Path(model, "recipe.json").read_text(encoding="utf-8"))
    photos = Photos(Path(dataset), recipe)
    load = {"eager": eager, "sequential": sequential}[way]
    embed = load(photos, Path(model))
    started = time.perf_counter()
    vectors = np.concatenate(list(embed()))
    np.save(output, vectors)
    seconds = time.perf_counter() - started
    values = {"n_photos": len(vectors), "seconds": {"embed": seconds}}
    Path(figures).write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    main()
