"""Image towers of other libraries, by name."""

from __future__ import annotations

from shoplens.errors import ModelError
from shoplens.models.hub.tower import ImageTower


def load_tower(model: str) -> ImageTower:
    """Load an image tower: `timm:...`, `open_clip:...` or `hf:...` (see the modules of these).

    Raises:
        MissingError: the library or a file is not there; says which to bring from where.
        ModelError: the name, the weights or the preparation of photos is not known here.
    """
    kind, _, rest = model.partition(":")
    if kind == "timm":
        from shoplens.models.hub.from_timm import load_timm  # noqa: PLC0415

        return load_timm(model, rest)
    if kind == "open_clip":
        from shoplens.models.hub.from_open_clip import load_open_clip  # noqa: PLC0415

        return load_open_clip(model, rest)
    if kind == "hf":
        from shoplens.models.hub.from_hf import load_hf  # noqa: PLC0415

        return load_hf(model, rest)
    raise ModelError(f"model {model}: must begin with timm:, open_clip: or hf:")
