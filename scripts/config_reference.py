"""Write the reference of a training configuration into docs/training.md, from its schema.

    python scripts/config_reference.py

Needs the extra [train]. `tests_training/test_config_reference.py` fails when the page is stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shoplens.training import config

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
BEGIN = "<!-- made by scripts/config_reference.py; do not edit -->\n"
END = "<!-- end of what is made -->\n"


def reference() -> str:
    """Return a table of keys for each section, in the order of the schema."""
    schema = config.Config.model_json_schema()
    parts = ["\n", *_table(config.Config, schema, "")]
    for place, name in _sections(schema, schema["$defs"], ""):
        section = schema["$defs"][name]
        parts += [f"\n### `{place}`\n\n", f"{section['description']}\n\n"]
        parts += _table(getattr(config, name), section, place)
    return "".join([*parts, "\n"])


def filled(page: str) -> str:
    """Return the page with its reference made anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no part between {BEGIN!r} and {END!r}")
    return before + begin + reference() + end + after


def _table(model: type[BaseModel], section: dict[str, Any], place: str) -> Iterator[str]:
    yield "| key | type | default | meaning |\n|---|---|---|---|\n"
    for key, value in section["properties"].items():
        field = model.model_fields[key]
        default = "required" if field.is_required() else f"`{_text(field.get_default())}`"
        name = _section_of(value)
        if name is not None:
            inner = _place(place, key, value)
            noun = "list of sections" if _is_list(value) else "section"
            kind = f"{noun}, [below]({_anchor(inner)})"
            default = "" if default == "`{}`" else default
        else:
            kind = _kind(value)
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{key}` | {kind} | {default} | {meaning} |\n"


def _sections(
    section: dict[str, Any], sections: dict[str, Any], place: str
) -> Iterator[tuple[str, str]]:
    """Yield the place and the schema's name of each section within one."""
    for key, value in section["properties"].items():
        if (name := _section_of(value)) is not None:
            inner = _place(place, key, value)
            yield inner, name
            yield from _sections(sections[name], sections, inner)


def _section_of(value: dict[str, Any]) -> str | None:
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2]
    inner = [*value.get("anyOf", ()), *([value["items"]] if "items" in value else ())]
    return next((name for each in inner if (name := _section_of(each)) is not None), None)


def _is_list(value: dict[str, Any]) -> bool:
    return value.get("type") == "array"


def _place(place: str, key: str, value: dict[str, Any]) -> str:
    return f"{place}{'.' if place else ''}{key}{'[]' if _is_list(value) else ''}"


def _anchor(place: str) -> str:
    return "#" + place.replace(".", "").replace("[]", "")


def _kind(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_kind(each) for each in value["anyOf"])
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if _is_list(value):
        return f"list of {_kind(value['items'])}"
    names = {"boolean": "true or false", "string": "text", "null": "null"}
    kind = names.get(value["type"], value["type"])
    if value.get("format") == "path":
        return "path"
    low, high = value.get("minimum"), value.get("maximum")
    bounds = [
        f"{low}..{high}" if low is not None and high is not None else "",
        f"≥ {low}" if low is not None and high is None else "",
        f"> {value['exclusiveMinimum']}" if "exclusiveMinimum" in value else "",
        f"≤ {high}" if high is not None and low is None else "",
        f"< {value['exclusiveMaximum']}" if "exclusiveMaximum" in value else "",
    ]
    return " ".join([kind, ", ".join(bound for bound in bounds if bound)]).strip()


def _text(value: Any) -> str:
    """Write a default as YAML would have it in one line; of sections what is not their default."""
    if value == config.Augmentation.none():
        return "none"
    if isinstance(value, BaseModel):
        inner = value.model_dump(mode="json", exclude_defaults=True)
        return "{" + ", ".join(f"{key}: {_text(each)}" for key, each in inner.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) and value else json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
