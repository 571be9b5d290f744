"""CLIP's image tower in NumPy, written from its description and not from our graph of it.

It reads the weights from an ONNX file whose layers are quantised, and a small file of that kind can
be made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

MEAN = tuple(255 * v for v in (0.48145466, 0.4578275, 0.40821073))
STD = tuple(255 * v for v in (0.26862954, 0.26130258, 0.27577711))
_LAYERS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
_LAYERS += ("mlp.fc1", "mlp.fc2")


class Tower:
    """The tower, with weights multiplied by their scales and activations in float64."""

    def __init__(self, source: bytes, head_width: int) -> None:
        graph = onnx.load_from_string(source).graph
        self.weights: dict[str, Any] = {
            weight.name: numpy_helper.to_array(weight) for weight in graph.initializer
        }
        for node in graph.node:
            if node.op_type == "MatMulInteger":
                name = node.output[0].split("/MatMul_output_0")[0].strip("/").replace("/", ".")
                scale = self.weights[node.input[1].replace("_quantized", "_scale")]
                self.weights[f"{name}.weight"] = self.weights[node.input[1]] * scale.astype(float)
        self.head_width = head_width
        self.n_layers = sum(name.endswith(".mlp.fc1.weight") for name in self.weights)

    def tokens(self, pixels: Any) -> Any:
        """From (n, s, s, 3) bytes to (n, 1 + patches, c), before the last normalisation."""
        w = self.weights
        kernel = w["vision_model.embeddings.patch_embedding.weight"].astype(float)
        width, _, side, _ = kernel.shape
        x = (pixels.astype(float) - MEAN) / STD
        n, size = len(x), x.shape[1] // side
        patches = x.reshape(n, size, side, size, side, 3).transpose(0, 1, 3, 5, 2, 4)
        x = patches.reshape(n, size * size, -1) @ kernel.reshape(width, -1).T
        token = np.broadcast_to(w["vision_model.embeddings.class_embedding"], (n, 1, width))
        x = np.concatenate([token, x], axis=1)
        x = x + w["vision_model.embeddings.position_embedding.weight"]
        x = self._normalised(x, "vision_model.pre_layrnorm")
        for number in range(self.n_layers):
            layer = f"vision_model.encoder.layers.{number}"
            x = x + self._attention(self._normalised(x, f"{layer}.layer_norm1"), layer)
            y = self._linear(self._normalised(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
            x = x + self._linear(y / (1 + np.exp(-1.702 * y)), f"{layer}.mlp.fc2")
        return x

    def class_token(self, pixels: Any) -> Any:
        """(n, c), what the projection takes."""
        return self._normalised(self.tokens(pixels)[:, 0], "vision_model.post_layernorm")

    def _attention(self, x: Any, layer: str) -> Any:
        n, length, width = x.shape
        q, k, v = (
            self._linear(x, f"{layer}.self_attn.{name}_proj")
            .reshape(n, length, -1, self.head_width)
            .transpose(0, 2, 1, 3)
            for name in "qkv"
        )
        logits = q @ k.transpose(0, 1, 3, 2) / self.head_width**0.5
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        mixed = shares / shares.sum(axis=-1, keepdims=True) @ v
        return self._linear(
            mixed.transpose(0, 2, 1, 3).reshape(n, length, width), f"{layer}.self_attn.out_proj"
        )

    def _linear(self, x: Any, name: str) -> Any:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _normalised(self, x: Any, name: str) -> Any:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def small_source(folder: Path, width: int = 32, n_layers: int = 2, head_width: int = 16) -> bytes:
    """Make a file as the one with CLIP's weights: random ones, quantised by ONNX Runtime."""
    builder = _Builder(width, n_layers, head_width)
    floats, quantised = folder / "floats.onnx", folder / "quantised.onnx"
    onnx.save(builder.model(), floats)
    quantize_dynamic(
        floats,
        quantised,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
    return quantised.read_bytes()


class _Builder:
    """The graph in floats, with the names that the exported tower has."""

    def __init__(self, width: int, n_layers: int, head_width: int) -> None:
        self.width, self.n_layers, self.head_width = width, n_layers, head_width
        self._random = np.random.default_rng(0)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def model(self) -> Any:
        width, space = self.width, "/vision_model/embeddings"
        kernel = self._weight("vision_model.embeddings.patch_embedding.weight", width, 3, 16, 16)
        self._node("Conv", ["pixel_values", kernel], f"{space}/Conv", strides=[16, 16])
        self._constant("patches", [0, width, -1])
        self._node("Reshape", [f"{space}/Conv", "patches"], f"{space}/Reshape")
        self._node("Transpose", [f"{space}/Reshape"], f"{space}/Transpose", perm=[0, 2, 1])
        self._node("Shape", ["pixel_values"], f"{space}/Shape")
        self._constant("first", [0])
        self._node("Gather", [f"{space}/Shape", "first"], f"{space}/n")
        self._constant("one", [1, width])
        self._node("Concat", [f"{space}/n", "one"], f"{space}/token_shape", axis=0)
        token = self._weight("vision_model.embeddings.class_embedding", width)
        self._node("Expand", [token, f"{space}/token_shape"], f"{space}/token")
        self._node("Concat", [f"{space}/token", f"{space}/Transpose"], f"{space}/all", axis=1)
        places = self._weight("vision_model.embeddings.position_embedding.weight", 197, width)
        x = self._node("Add", [f"{space}/all", places], f"{space}/Add")
        x = self._normalised(x, "vision_model.pre_layrnorm")
        for number in range(self.n_layers):
            x = self._layer(x, f"vision_model.encoder.layers.{number}")
        tokens = self._node("Identity", [x], "tokens")
        self._weights.append(numpy_helper.from_array(np.int64(0), "class"))
        x = self._node("Gather", [tokens, "class"], "/vision_model/Gather", axis=1)
        x = self._normalised(x, "vision_model.post_layernorm")
        weight = self._weight("projection", width, 8)
        self._node("MatMul", [x, weight], "image_embeds", name="projection")
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "small",
            [value("pixel_values", TensorProto.FLOAT, ["batch", 3, 224, 224])],
            [
                value("image_embeds", TensorProto.FLOAT, ["batch", 8]),
                value("tokens", TensorProto.FLOAT, ["batch", 197, width]),
            ],
            self._weights,
        )
        return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 14)])

    def _layer(self, x: str, layer: str) -> str:
        normalised = self._normalised(x, f"{layer}.layer_norm1")
        heads, width = self.width // self.head_width, self.width
        self._constant(f"{layer}.split", [0, 0, heads, self.head_width])
        self._constant(f"{layer}.joined", [0, 0, width])
        parts = {}
        for name, turn in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            y = self._linear(normalised, f"{layer}.self_attn.{name}_proj", width, width)
            y = self._node("Reshape", [y, f"{layer}.split"], f"{y}/split")
            parts[name] = self._node("Transpose", [y], f"{y}/turned", perm=turn)
        y = self._node("MatMul", [parts["q"], parts["k"]], f"{layer}/logits")
        scale = self._constant(f"{layer}.scale", np.float32(self.head_width**-0.5))
        y = self._node("Mul", [y, scale], f"{layer}/scaled")
        y = self._node("Softmax", [y], f"{layer}/shares", axis=-1)
        y = self._node("MatMul", [y, parts["v"]], f"{layer}/mixed")
        y = self._node("Transpose", [y], f"{layer}/turned", perm=[0, 2, 1, 3])
        y = self._node("Reshape", [y, f"{layer}.joined"], f"{layer}/together")
        y = self._linear(y, f"{layer}.self_attn.out_proj", width, width)
        x = self._node("Add", [x, y], f"{layer}/Add")
        y = self._normalised(x, f"{layer}.layer_norm2")
        y = self._linear(y, f"{layer}.mlp.fc1", width, 4 * width)
        slope = self._constant(f"{layer}.slope", np.float32(1.702))
        gate = self._node("Mul", [y, slope], f"{layer}/sloped")
        gate = self._node("Sigmoid", [gate], f"{layer}/gate")
        y = self._node("Mul", [y, gate], f"{layer}/gated")
        y = self._linear(y, f"{layer}.mlp.fc2", 4 * width, width)
        return self._node("Add", [x, y], f"{layer}/Add_1")

    def _linear(self, x: str, name: str, n_in: int, n_out: int) -> str:
        weight = self._weight(f"{name}.matrix", n_in, n_out)
        output = f"/{name.replace('.', '/')}/MatMul_output_0"
        y = self._node("MatMul", [x, weight], output, name=output)
        bias = self._weight(f"{name}.bias", n_out)
        return self._node("Add", [bias, y], f"{name}/sum")

    def _normalised(self, x: str, name: str) -> str:
        mean = self._node("ReduceMean", [x], f"{name}/mean", axes=[-1])
        centred = self._node("Sub", [x, mean], f"{name}/centred")
        square = self._node("Mul", [centred, centred], f"{name}/square")
        spread = self._node("ReduceMean", [square], f"{name}/spread", axes=[-1])
        small = self._constant(f"{name}.small", np.float32(1e-5))
        spread = self._node("Add", [spread, small], f"{name}/above")
        spread = self._node("Sqrt", [spread], f"{name}/root")
        x = self._node("Div", [centred, spread], f"{name}/unit")
        x = self._node("Mul", [x, self._weight(f"{name}.weight", self.width)], f"{name}/product")
        return self._node("Add", [x, self._weight(f"{name}.bias", self.width)], f"{name}/sum")

    def _node(self, kind: str, inputs: list[str], output: str, **settings: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def _weight(self, name: str, *shape: int) -> str:
        values = self._random.normal(size=shape, scale=0.3).astype(np.float32)
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def _constant(self, name: str, values: Any) -> str:
        kind = None if isinstance(values, np.float32) else np.int64
        self._weights.append(numpy_helper.from_array(np.array(values, kind), name))
        return name
