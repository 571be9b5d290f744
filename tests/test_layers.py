"""Holds the code to the layers drawn in docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "src" / "shoplens"
BESIDE_THE_LAYERS = {"__init__", "__main__"}
"""The package's front door, which imports lazily, and `python -m shoplens`."""
PROGRAMS = PACKAGE / "challenge" / "starter_kit"
"""What participants are handed: it uses shoplens from outside."""


def drawn_layers() -> list[list[str]]:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, found, rest = text.partition("```layers\n")
    assert found, "docs/architecture.md has no block that starts with ```layers"
    return [line.split() for line in rest.partition("```")[0].splitlines() if line.strip()]


def modules() -> dict[str, list[Path]]:
    """Return the Python files of each module or subpackage of shoplens."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name not in BESIDE_THE_LAYERS and not path.is_relative_to(PROGRAMS):
            found.setdefault(name, []).append(path)
    return found


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of shoplens that a file imports, those for type checkers left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from top_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "shoplens":
                yield from (alias.name for alias in node.names)
            else:
                yield from top_module(node.module or "")
        else:
            yield from imported_modules(node)


def top_module(name: str) -> Iterator[str]:
    parts = name.split(".")
    if parts[0] == "shoplens":
        yield parts[1] if len(parts) > 1 else "__init__"


def test_every_module_is_drawn_once() -> None:
    drawn = [name for line in drawn_layers() for name in line]
    assert sorted(drawn) == sorted(modules())


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_only_from_layers_above(name: str) -> None:
    above: set[str] = set()
    for line in drawn_layers():
        if name in line:
            break
        above.update(line)
    for path in modules()[name]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        wrong = set(imported_modules(tree)) - above - {name}
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {sorted(wrong)}"


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import numpy, shoplens.images
from shoplens.models.recipe import Recipe
from shoplens import files
if TYPE_CHECKING:
    from shoplens.cli import main
def f():
    try:
        import shoplens
    except ImportError:
        from shoplens.vectors import Vectors
"""
    assert list(imported_modules(ast.parse(source))) == [
        "images", "models", "files", "__init__", "vectors",
    ]  # fmt: skip
