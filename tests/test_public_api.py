from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from conftest import ROOT

import shoplens


def test_all_is_without_repeats() -> None:
    assert len(shoplens.__all__) == len(set(shoplens.__all__))


@pytest.mark.parametrize("name", shoplens.__all__)
def test_every_public_name_can_be_imported_and_is_explained(name: str) -> None:
    value = getattr(shoplens, name)
    assert inspect.getdoc(value)
    if name not in ("PUBLIC_MODULES", "__version__"):
        assert value.__module__.startswith("shoplens.")


def test_dir_lists_the_public_names() -> None:
    assert dir(shoplens) == sorted(shoplens.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        shoplens.serch  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    try:
        installed = version("shoplens")
    except PackageNotFoundError:
        pytest.skip("runs from the source folder, not installed")
    assert installed == shoplens.__version__


def test_the_package_is_typed() -> None:
    assert (ROOT / "src" / "shoplens" / "py.typed").is_file()


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sys.modules, sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = {"numpy", "PIL", "onnxruntime", "rich", "click", "jinja2", "pyarrow"}
    assert not loaded_after("import shoplens") & heavy


def test_the_command_line_starts_without_the_engine() -> None:
    heavy = {"onnxruntime", "pyarrow", "onnx", "torch"}
    assert not loaded_after("import shoplens.cli") & heavy


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("name", shoplens.PUBLIC_MODULES)
def test_a_public_module_says_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    for each in module.__all__:
        assert inspect.getdoc(getattr(module, each))
