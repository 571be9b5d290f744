"""Holds the code to the layers drawn in docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield what a file imports, by its full name; imports for type checkers are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported_names(node)


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the top modules of shoplens that a file imports from."""
    for name in imported_names(tree):
        package, *rest = name.split(".")
        if package == "shoplens":
            yield rest[0] if rest else "__init__"


def imports_by_file() -> dict[str, set[str]]:
    """Return for each file the files of shoplens that it imports, all by their dotted names."""
    files = {
        ".".join(("shoplens", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_relative_to(PROGRAMS)
    }

    def file_of(name: str) -> str | None:
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name or None

    found = {}
    for file, path in files.items():
        names = imported_names(ast.parse(path.read_text(encoding="utf-8")))
        found[file] = {name for name in map(file_of, names) if name} - {file}
    return found


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


def test_no_files_import_each_other() -> None:
    """Inside a package too, and not inside a function either."""
    try:
        TopologicalSorter(imports_by_file()).prepare()
    except CycleError as error:
        pytest.fail(f"files import each other: {' <- '.join(error.args[1])}")


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
