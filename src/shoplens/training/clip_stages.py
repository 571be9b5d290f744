"""CLIP's image tower in torch, in stages that can be frozen."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.errors import ModelError
from shoplens.models.clip.graph import Floats

_HEAD_WIDTH = 64
"""Channels of an attention head in all of OpenAI's vision transformers."""
_SLOPE = 1.702
"""Of the sigmoid in "QuickGELU", which these weights were trained with."""


def clip_stages(weights: Mapping[str, Floats]) -> nn.Sequential:
    """Return the tower: patches, a stage for each layer, the class token.

    Between stages, tokens are a map of features: (n, channels, tokens, 1), the class token first.
    The last stage gives the class token after the last normalisation, (n, channels, 1, 1).

    Args:
        weights: by name, as `shoplens.models.clip.graph.float_weights` reads them.

    Raises:
        ModelError: they are of another network.
    """
    names = {name.split(".")[3] for name in weights if name.startswith(f"{_LAYERS}.")}
    kernel = weights.get(f"{_EMBEDDINGS}.patch_embedding.weight")
    positions = weights.get(f"{_EMBEDDINGS}.position_embedding.weight")
    if kernel is None or positions is None or not names:
        raise ModelError("these are not the weights of CLIP's image tower")
    width, _, side, _ = kernel.shape
    pairs = _names(len(names))
    if absent := [theirs for _, theirs in pairs if theirs not in weights]:
        raise ModelError(f"weights of CLIP's image tower are missing: {', '.join(absent)}")
    inner = len(weights[f"{_LAYERS}.0.mlp.fc1.bias"])
    stages = nn.Sequential(
        Patches(width, side, len(positions)),
        *(Layer(width, inner, width // _HEAD_WIDTH) for _ in names),
        ClassToken(width),
    )
    state = {ours: torch.from_numpy(weights[theirs].copy()) for ours, theirs in pairs}
    for ours, value in state.items():
        if value.ndim == 2 and ours.split(".")[0] != "0":
            state[ours] = value.T.contiguous()
    try:
        stages.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"these are not the weights of CLIP's image tower: {error}") from error
    return stages


class Patches(nn.Module):
    """From normalised pixels to tokens with their positions."""

    def __init__(self, width: int, side: int, n_tokens: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, side, stride=side, bias=False)
        self.token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.zeros(n_tokens, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (n, 3, s, s) to (n, c, 1 + patches, 1)."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        token = self.token.expand(patches.shape[0], 1, -1)
        x: Tensor = self.norm(torch.cat([token, patches], dim=1) + self.positions)
        return _as_map(x)


class Layer(nn.Module):
    """Attention and two products, each added to what it is given."""

    def __init__(self, width: int, inner: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, c, t, 1) to the same."""
        x = _as_rows(tokens)
        return _as_map(self.rows(x, x))

    def rows(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """Return what becomes of those tokens that are wanted; they look at all of them.

        Args:
            tokens: (n, t, c)
            wanted: (n, w, c) tokens, or some of them.

        Returns:
            (n, w, c)
        """
        y = self.norm1(tokens)
        q, k, v = (
            part(z).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part, z in ((self.q, self.norm1(wanted)), (self.k, y), (self.v, y))
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = wanted + self.out(mixed.transpose(1, 2).flatten(2))
        y = self.widen(self.norm2(x))
        changed: Tensor = x + self.narrow(y * torch.sigmoid(_SLOPE * y))
        return changed


class ClassToken(nn.Module):
    """The class token, normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, c, t, 1) to (n, c, 1, 1)."""
        token: Tensor = self.norm(_as_rows(tokens)[:, 0])
        return token[:, :, None, None]


def _as_map(x: Tensor) -> Tensor:
    return x.transpose(1, 2).unsqueeze(3)


def _as_rows(tokens: Tensor) -> Tensor:
    return tokens.squeeze(3).transpose(1, 2)


_EMBEDDINGS = "vision_model.embeddings"
_LAYERS = "vision_model.encoder.layers"
OF_A_LAYER = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "widen": "mlp.fc1",
    "narrow": "mlp.fc2",
}
"""What a layer is made of: our names and the file's."""


def layer_name(number: int, part: str) -> str:
    """Return the file's name of a part of a layer, which are counted from 0."""
    return f"{_LAYERS}.{number}.{part}"


def _names(n_layers: int) -> list[tuple[str, str]]:
    """Return pairs of our name of a weight and the file's."""
    pairs = [
        ("0.patches.weight", f"{_EMBEDDINGS}.patch_embedding.weight"),
        ("0.token", f"{_EMBEDDINGS}.class_embedding"),
        ("0.positions", f"{_EMBEDDINGS}.position_embedding.weight"),
    ]
    both = ("weight", "bias")
    pairs += [(f"0.norm.{kind}", f"vision_model.pre_layrnorm.{kind}") for kind in both]
    for number in range(n_layers):
        pairs += [
            (f"{number + 1}.{ours}.{kind}", f"{layer_name(number, theirs)}.{kind}")
            for ours, theirs in OF_A_LAYER.items()
            for kind in both
        ]
    last = n_layers + 1
    pairs += [(f"{last}.norm.{kind}", f"vision_model.post_layernorm.{kind}") for kind in both]
    return pairs
