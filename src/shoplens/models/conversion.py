"""Models of other libraries made usable: converted once and kept, or loaded on torch.

Converting and torch need the extras, which are imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shoplens.errors import MissingError
from shoplens.models.model_folder import write_model
from shoplens.models.zoo import EXTRAS, Precision, converted_folder, is_converted

if TYPE_CHECKING:
    from shoplens.models.encoder import Encoder
    from shoplens.models.hub.convert import Conversion


def converted(model: str, precision: Precision = "fp32") -> Path:
    """Return the model folder of a model of another library; convert it if that was not done yet.

    Raises:
        MissingError: an extra or a file is not there; says which, and where it comes from.
        ModelError: the model is not known to its library, or cannot be converted.
        ShoplensError: the cache cannot be written.
    """
    folder = converted_folder(model, precision)
    if not is_converted(model, precision):
        conversion = convert(model, precision)
        write_model(folder, conversion.weights, conversion.recipe, replace=True)
    return folder


def convert(model: str, precision: Precision = "fp32") -> Conversion:
    """Convert a model of another library (see `shoplens.models.hub.convert.convert`)."""
    extra = EXTRAS[model.partition(":")[0]]
    try:
        from shoplens.models.hub.convert import convert as run  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(
            f"model {model} was not converted on this machine yet; to convert it: pip install "
            f"'shoplens[{extra}]' ({error}). Or convert it elsewhere with `shoplens models "
            "convert`, and bring the folder"
        ) from error
    return run(model, precision)


def load_on_cuda(model: str, numbers: Sequence[int]) -> Encoder:
    """Load a model of another library on graphics processors, on torch.

    Raises as `shoplens.models.hub.on_torch.load_on` does, and `MissingError` without the
    extra.
    """
    extra = EXTRAS[model.partition(":")[0]]
    try:
        from shoplens.models.hub.on_torch import load_on  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(
            f"model {model} on a graphics processor needs: pip install 'shoplens[{extra}]' "
            f"({error})"
        ) from error
    return load_on(model, [f"cuda:{number}" for number in numbers])
