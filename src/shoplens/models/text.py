"""Texts to vectors in the same space as photos, for models that have a tower for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shoplens.errors import MissingError, ModelError
from shoplens.models.zoo import EXTRAS, is_hub_name
from shoplens.records import Vectors


class TextEncoder(Protocol):
    """What embeds texts."""

    @property
    def name(self) -> str:
        """The model's name, as `load_encoder` takes it for photos."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts; those that are too long for the model are cut.

        Args:
            texts: n of them.

        Returns:
            (n, dimension) float32, rows of unit length, comparable with the vectors that the
            model's encoder gives photos.
        """


def load_text_encoder(model: str) -> TextEncoder:
    """Load the text tower of a model of another library; it runs on torch.

    Args:
        model: `open_clip:...` or `hf:...` (CLIP and SigLIP), as for `load_encoder`.

    Raises:
        MissingError: the extra or a file is not there; says which.
        ModelError: the model has no such tower.
    """
    if not is_hub_name(model):
        raise ModelError(
            f"model {model} has no text tower; open_clip:... and hf:... (CLIP, SigLIP) have"
        )
    try:
        from shoplens.models.hub.text_towers import load_text_tower  # noqa: PLC0415
    except ImportError as error:
        extra = EXTRAS[model.partition(":")[0]]
        raise MissingError(
            f"embedding texts needs: pip install 'shoplens[{extra}]' ({error})"
        ) from error
    return load_text_tower(model)
