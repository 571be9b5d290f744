"""What the package declares, against what it uses."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import ROOT

import shoplens

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
NOT_OURS = {"my_submission"}
"""The starter kit's own package."""


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"shoplens"} - NOT_OURS


def declared(section: str) -> set[str]:
    names = re.findall(r'"([A-Za-z0-9._-]+)(?:\[[^"]*\])?[><=;!]', section)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_every_dependency_is_declared() -> None:
    core, rest = PROJECT.split("[project.optional-dependencies]")
    known = declared(core) | declared(rest.partition("[dependency-groups]")[0])
    distributions = packages_distributions()
    for path in sorted(Path(shoplens.__file__).parent.rglob("*.py")):
        for name in imported(path):
            if name not in distributions:
                continue  # An extra's that is not installed here.
            offered = {re.sub(r"[-_.]+", "-", one).lower() for one in distributions[name]}
            assert offered & known, f"{path.name} imports {name}: declare {offered}"


def test_the_citation_has_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {shoplens.__version__}\n" in citation


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_repository_needs_is_there(page: str) -> None:
    assert (ROOT / page).read_text(encoding="utf-8").startswith("# ")


def test_the_hosted_workflow_calls_the_one_check() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "- run: .ci/run\n" in workflow
