"""Models: weights with their recipe, found by name or path."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from shoplens.models.conversion import converted, load_on_cuda
from shoplens.models.devices import CPU, Device, parse_device
from shoplens.models.encoder import Encoder, LeadingEncoder, RecipeEncoder
from shoplens.models.ensemble import Ensemble, load_ensemble
from shoplens.models.model_folder import Folder, builtin_names, read_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.models.recipe import Recipe
from shoplens.models.replicas import Replicas
from shoplens.models.unit_length import unit
from shoplens.models.zoo import Precision, Score, is_hub_name

__all__ = [
    "BASE_MODEL",
    "DEFAULT_MODEL",
    "Encoder",
    "ModelInfo",
    "Recipe",
    "RecipeEncoder",
    "builtin_names",
    "list_models",
    "load_encoder",
    "load_recipe",
    "unit",
]

DEFAULT_MODEL = "lite0-lite2-products"
"""The built-in model that is used when none is named."""
BASE_MODEL = "lite0-products"
"""The built-in model of a single network: the one that boxes and explanations are found by, and
that training and tuning start from."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that ships; `shoplens.models.zoo.ZooModel` tells of those of other libraries."""

    name: str
    version: str
    dimension: int
    nested: tuple[int, ...]
    """Shorter lengths that its vectors can be cut to."""
    input_size: int
    """Side in pixels of the largest square that it takes."""
    licence: str
    sources: tuple[str, ...]
    """Where weights and fitted numbers come from."""
    fingerprint: str
    megabytes: float
    """Size of the weights, in 10^6 bytes; of an ensemble, those of its members and its head."""
    default: bool
    parameters: int | None
    score: Score | None
    """None: not measured."""


_DEVELOPMENT_SET = "open development set of the Visual Product Recognition Challenge 2023"
_MEASURED = {
    "lite0-products": (
        4_005_872,
        Score("map@1000", 0.2678, "as it is", f"{_DEVELOPMENT_SET}: docs/benchmarks.md"),
    ),
    "lite0-products-int8": (
        4_005_872,
        Score("map@1000", 0.2700, "as it is", f"{_DEVELOPMENT_SET}: docs/benchmarks.md"),
    ),
    "lite0-lite2-products": (
        9_968_568,
        Score("map@1000", 0.3011, "as it is", f"{_DEVELOPMENT_SET}: docs/model-card.md"),
    ),
}
"""Parameters and score of the models that ship."""


def list_models() -> list[ModelInfo]:
    """Return the models that ship with the package, in order of their names."""
    return [_info(name) for name in builtin_names()]


def _info(name: str) -> ModelInfo:
    encoder = load_encoder(name)
    recipes = encoder.recipes
    files = Path(str(resources.files("shoplens.models") / "builtin" / name)).rglob("*")
    weights = [file for file in files if file.suffix in (".onnx", ".npz")]
    ensemble = encoder if isinstance(encoder, Ensemble) else None
    sources = [source for recipe in recipes for source in recipe.sources]
    if ensemble:
        sources += ensemble.sources
    parameters, score = _MEASURED.get(name, (None, None))
    return ModelInfo(
        name=name,
        version=ensemble.version if ensemble else recipes[0].version,
        dimension=encoder.dimension,
        nested=encoder.nested,
        input_size=max(recipe.input_size for recipe in recipes),
        licence=" and ".join(dict.fromkeys(recipe.licence for recipe in recipes)),
        sources=tuple(dict.fromkeys(sources)),
        fingerprint=encoder.fingerprint,
        megabytes=sum(file.stat().st_size for file in weights) / 1e6,
        default=name == DEFAULT_MODEL,
        parameters=parameters,
        score=score,
    )


def load_encoder(
    model: str | Path = DEFAULT_MODEL,
    *,
    dimension: int | None = None,
    precision: Precision = "fp32",
    device: str = CPU,
) -> Encoder:
    """Load a model for embedding.

    Args:
        model: the name of a built-in (`shoplens models` lists them), or `NAME/MEMBER` for a member
            of a built-in ensemble; the path of a model folder, or of a zip of one, holding
            `model.onnx` and `recipe.json`, or `ensemble.json` (see `shoplens.models.ensemble`); or
            a model of another library: `timm:...`, `open_clip:...`, `hf:...` (see
            `shoplens.models.zoo`), which is converted and kept on its first use.
        dimension: length of the vectors, one that the model was trained to be cut to
            (`Encoder.nested`); None takes them whole.
        precision: how the weights of a converted model of another library are stored.
        device: `cpu`; `openvino`, the same by OpenVINO (extra `[openvino]`), or `openvino:bf16`, in
            bfloat16, whose vectors are not compared with others; or graphics processors: `cuda`
            (the first), `cuda:1`, `cuda:0,1`. Models of other libraries run there on torch,
            compiled, in bfloat16; so their vectors are not compared with those of the converted
            model.

    Returns:
        An `Encoder`; its `embed` may be called from several threads at once.

    Raises:
        MissingError: no such name or path, or a file of the model, an extra or a device is not
            there.
        ModelError: the recipe is faulty or does not belong to the weights, or the model cannot be
            cut to `dimension`.
    """
    where = parse_device(device)
    if is_hub_name(model) and where.cuda:
        encoder = load_on_cuda(model, where.cuda)
    else:
        if is_hub_name(model):
            model = converted(model, precision)
        encoder = load_ensemble(model, lambda of: _load_single(of, where)) or _load_single(
            model, where
        )
    if dimension is None or dimension == encoder.dimension:
        return encoder
    return LeadingEncoder(encoder, dimension)


def load_recipe(model: str | Path) -> Recipe:
    """Read what a model says of itself, without loading it.

    Args:
        model: a model of one's own, or a built-in, as `load_encoder` takes it; no ensemble.

    Raises as `load_encoder` does.
    """
    return read_model(model)[1]


def _load_single(model: str | Folder, where: Device) -> Encoder:
    if is_hub_name(model):
        model = converted(model)
    weights, recipe = read_model(model)
    if len(where.cuda) > 1:
        return Replicas([OnnxEncoder(weights, recipe, cuda=number) for number in where.cuda])
    cuda = where.cuda[0] if where.cuda else None
    return OnnxEncoder(weights, recipe, cuda=cuda, openvino=where.openvino)
