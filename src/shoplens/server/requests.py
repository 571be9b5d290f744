"""From the body of a request to what is asked for."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from shoplens.catalog.entry import PhotoId, photo_id_of
from shoplens.server.problems import Problem, invalid_request
from shoplens.server.query_schemas import QueryFields, SearchRequest

MOST_ID_CHARACTERS = 1024
"""Of a photo's id in the address of a request."""

_FORM = b"multipart/form-data"
_MOST_FIELDS = 100
_FIELD_BYTES = 1 << 20
_MOST_FAULTS = 20
"""Of a request, that are told one by one."""
_LARGE = 1 << 18
"""Bytes of JSON that are read on another thread: decoding base64 would hold up other requests."""

_Model = TypeVar("_Model", bound=BaseModel)
_Query = TypeVar("_Query", bound=QueryFields)


class PhotoIdConvertor(Convertor[str]):
    """Takes any text, slashes and line breaks included, where a path ends with a photo's id.

    Starlette's own for paths drops a line break at the end.
    """

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        """Return the text as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text as it is."""
        return value


register_url_convertor("photo_id", PhotoIdConvertor())


def stored_id(value: int | str) -> PhotoId:
    """Return a photo's id in its one form.

    Raises `Problem` for what cannot be one.
    """
    photo_id = photo_id_of(value)
    if photo_id == "" or (isinstance(photo_id, int) and not -(2**63) <= photo_id < 2**63):
        raise Problem("bad_request", "A photo's id is a text, or a whole number of 64 bits.")
    return photo_id


async def read_search(request: Request) -> SearchRequest:
    """Read a search from a form or from JSON (see `read_query`)."""
    return await read_query(request, SearchRequest)


async def read_query(request: Request, model: type[_Query]) -> _Query:
    """Read what is searched for from a form or from JSON.

    Raises `Problem` if it cannot be understood.
    """
    if _media_type(request) != _FORM:
        return await read_json(request, model)
    photo, form = await _read_form(request)
    values: dict[str, object] = {} if photo is None else {"photo": photo}
    for name in form:
        given = [text for text in form.getlist(name) if isinstance(text, str)]
        if name == "facets":
            values[name] = given
        elif name != "photo":
            if len(given) > 1:
                raise Problem("bad_request", f"{name} is given {len(given)} times")
            values[name] = given[0]
    # A page may send fields that were left empty.
    return _validated(model, {name: one for name, one in values.items() if one != ""})


async def read_photo(request: Request) -> tuple[bytes, FormData]:
    """Read a form with the file `photo`; return its bytes, and the form.

    Raises `Problem` if there is none.
    """
    if _media_type(request) != _FORM:
        raise Problem("unsupported_media_type", "Send multipart/form-data with the file photo.")
    photo, form = await _read_form(request)
    if photo is None:
        raise Problem("bad_request", "photo: the file is missing")
    return photo, form


async def read_json(request: Request, model: type[_Model]) -> _Model:
    """Read a JSON object.

    Raises `Problem` if the body is none, or does not fit the model.
    """
    media_type = _media_type(request)
    if media_type != b"application/json":
        raise Problem(
            "unsupported_media_type",
            f"Content-Type is {media_type.decode('latin-1') or 'missing'}: "
            "send application/json or, where there is a photo, multipart/form-data.",
        )
    body = await request.body()
    if len(body) > _LARGE:
        return await asyncio.to_thread(_parsed, model, body)
    return _parsed(model, body)


def _media_type(request: Request) -> bytes:
    media_type, _ = parse_options_header(request.headers.get("content-type", ""))
    return media_type.lower()


async def _read_form(request: Request) -> tuple[bytes | None, FormData]:
    """Read a form; return the bytes of the file `photo`, and its other fields.

    The file stays in memory, for the layers have limited the body.
    """
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=_MOST_FIELDS,
        max_part_size=_FIELD_BYTES,
    )
    parser.spool_max_size = request.app.state.settings.max_upload_bytes + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem("bad_request", f"the form cannot be read: {error.message}") from error
    try:
        data = None
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) != (name == "photo"):
                raise Problem("bad_request", f"{name}: only photo is a file, a part with a name")
            if isinstance(value, UploadFile):
                data = await value.read()
                if not data:
                    raise Problem("unsupported_photo", "the file has no bytes", reason="empty")
        return data, form
    finally:
        await form.close()


def _parsed(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None


def _validated(model: type[_Model], values: dict[str, object]) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Problem:
    # A body of a megabyte can have a hundred thousand faults, and their text is much longer.
    if error.error_count() > _MOST_FAULTS:
        return Problem("bad_request", f"the request has {error.error_count():,} faults")
    return invalid_request(error.errors(include_url=False, include_input=False))
