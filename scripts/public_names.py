"""What users may rely on, and whether the reference explains all of it."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import shoplens

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
IDENTIFIER = re.compile(r"^::: +(\S+)$", re.MULTILINE)


def undocumented() -> list[str]:
    """Return a sentence for each public name that the reference lacks or that has no docstring."""
    pages = REFERENCE.glob("*.md")
    shown = {name for page in pages for name in IDENTIFIER.findall(page.read_text("utf-8"))}
    problems = []
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        for name in module.__all__:
            full = f"{module_name}.{name}"
            value = getattr(module, name)
            # The same thing may be public under two names; one place explains it.
            names = {full, _canonical(value, full)}
            if getattr(shoplens, name, None) is value:
                names.add(f"shoplens.{name}")
            if not names & shown:
                problems.append(f"{full} is public and not in the reference")
            silent = _silent(full, value)
            problems += [f"{each} has no docstring" for each in silent]
    return problems


def public_modules() -> tuple[str, ...]:
    """Return the modules whose `__all__` is what users may rely on."""
    return shoplens.PUBLIC_MODULES


def _canonical(value: object, name: str) -> str:
    """Return the name that says where a class or function is defined; `name` for anything else."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return name
    return f"{value.__module__}.{value.__qualname__}"


def _silent(name: str, value: object) -> list[str]:
    """Return the names of a public thing, and of its public methods, that have no docstring."""
    if isinstance(value, str | tuple):
        return []
    members = {f"{name}.{key}": member for key, member in vars(value).items() if key[0] != "_"}
    methods = {
        key: member
        for key, member in members.items()
        if inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)
    }
    wanted = {name: value, **(methods if inspect.isclass(value) else {})}
    return [key for key, each in wanted.items() if not inspect.getdoc(each)]
