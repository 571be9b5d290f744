"""Checks of what is put into a catalogue, or asked of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shoplens.catalog.entry import Entry, FailedPhoto, PhotoId, photo_id_of
from shoplens.catalog.filters import RESERVED
from shoplens.catalog.model_stamp import ModelStamp
from shoplens.errors import CatalogError, EntryError, ModelError
from shoplens.records import Vectors
from shoplens.regions.choosing import MOST
from shoplens.vectors.regions import PhotoRegions

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be."""

_T = TypeVar("_T")


def checked_entry(entry: Entry, model: ModelStamp, uri: str) -> Entry:
    """Return an entry in the form in which the catalogue at `uri` keeps it.

    Raises:
        EntryError: it is faulty.
        ModelError: its vector does not have the model's dimension.
    """
    where = f"{uri}: photo {entry.photo_id!r}"
    photo_id = checked_id(entry.photo_id, f"{uri}: ")
    if not isinstance(entry.product_id, str | None):
        raise EntryError(f"{where}: a product id is a text, not {entry.product_id!r}")
    for text in (entry.photo_id, entry.product_id, entry.path, entry.source):
        _check_text(where, text)
    vector = np.ascontiguousarray(as_vectors(entry.vector, f"{where}: "))
    if vector.shape != (model.dimension,):
        raise ModelError(
            f"{where} has a vector of shape {vector.shape}; {model.name} has "
            f"{model.dimension} dimensions"
        )
    wide = vector.astype(np.float64)
    length = math.sqrt(wide @ wide)
    if not abs(length - 1) <= UNIT_TOLERANCE:  # Also true of NaN.
        raise EntryError(f"{where} has a vector of length {length:g}; it must be 1")
    if entry.regions is not None:
        _check_regions(where, entry.regions, model.dimension)
    for name, value in entry.attributes.items():
        _check_attribute(where, name, value)
    if photo_id is entry.photo_id and vector is entry.vector:
        return entry
    return replace(entry, photo_id=photo_id, vector=vector)


def checked_failure(failed: FailedPhoto, uri: str) -> FailedPhoto:
    """Return a record of failure in the form in which the catalogue at `uri` keeps it.

    Raises `EntryError` if it is faulty.
    """
    where = f"{uri}: photo {failed.photo_id!r}"
    photo_id = checked_id(failed.photo_id, f"{uri}: ")
    for text in (failed.photo_id, failed.product_id, failed.path, failed.source, failed.detail):
        _check_text(where, text)
    for name, value in failed.attributes.items():
        _check_attribute(where, name, value)
    return replace(failed, photo_id=photo_id)


def check_queries(vectors: Vectors, model: ModelStamp | None, uri: str) -> None:
    """Refuse vectors that the catalogue at `uri` cannot be searched with.

    Raises:
        ModelError: they do not have the model's dimension.
        CatalogError: they are not of unit length.
    """
    if model is not None and vectors.shape[1:] != (model.dimension,):
        raise ModelError(
            f"the query has {vectors.shape[-1]} dimensions, and {uri} holds vectors of "
            f"{model.dimension} ({model.name}); they are of different models"
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        raise CatalogError("query vectors must be of unit length: divide each by its length")


def checked_id(value: object, where: str = "") -> PhotoId:
    """Return a photo id in its one form.

    Raises `EntryError` for what is no photo id.
    """
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, str) and value:
        return photo_id_of(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise EntryError(
        f"{where}{value!r} is no photo id: it is a whole number of 64 bits, or a text that is not "
        "empty"
    )


def listed(name: str, values: Iterable[_T]) -> Iterable[_T]:
    """Refuse a text where several are wanted: it would be taken for a list of its letters."""
    if isinstance(values, str):
        raise CatalogError(f"{name} must be a list, not the text {values!r}")
    return values


def as_vectors(values: Any, where: str = "") -> npt.NDArray[np.float32]:
    """Return numbers as float32.

    Raises `EntryError` for what are no numbers.
    """
    if type(values) is np.ndarray and values.dtype == np.float32:
        return values
    try:
        with np.errstate(over="ignore"):  # What is too large for float32 is not of unit length.
            return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EntryError(f"{where}{values!r} is no vector of numbers") from error


def _check_regions(where: str, regions: PhotoRegions, dimension: int) -> None:
    vectors = regions.vectors
    if vectors.dtype != np.float32 or vectors.shape != (len(regions.boxes), dimension):
        raise EntryError(
            f"{where} has {len(regions.boxes)} regions with vectors of shape {vectors.shape} "
            f"{vectors.dtype}; they must be ({len(regions.boxes)}, {dimension}) float32"
        )
    if not 0 < regions.limit <= MOST or len(regions.boxes) > regions.limit:
        raise EntryError(
            f"{where} has {len(regions.boxes)} regions of {regions.limit}; there can be 1 to {MOST}"
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        raise EntryError(f"{where} has a region with a vector whose length is not 1")


def _check_attribute(where: str, name: object, value: object) -> None:
    if not isinstance(name, str) or not name or name in RESERVED:
        raise EntryError(f"{where}: {name!r} cannot be the name of an attribute")
    _check_text(where, name)
    _check_text(where, value)
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return
    if isinstance(value, float) and math.isfinite(value):
        return
    raise EntryError(
        f"{where}: attribute {name} is {value!r}; it must be a text, a whole number of 64 bits, a "
        "finite number, true, false or null"
    )


def _check_text(where: str, text: object) -> None:
    if isinstance(text, str):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EntryError(
                f"{where}: {text!r} is not valid Unicode and cannot be stored"
            ) from error
