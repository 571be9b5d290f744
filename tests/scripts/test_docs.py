"""What building the site of the documentation needs (`python3 make.py docs`)."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from commands_reference import commands_page
from public_names import undocumented


def test_the_reference_explains_every_public_name() -> None:
    assert undocumented() == []


def test_a_public_name_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None: ...

    monkeypatch.setattr("shoplens.silent", silent, raising=False)
    monkeypatch.setattr("shoplens.__all__", ["search", "silent"])
    assert undocumented() == [
        "shoplens.silent is public and not in the reference",
        "shoplens.silent has no docstring",
    ]


def test_every_page_can_be_reached() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert [page for page in sorted(pages) if f" {page}\n" not in navigation] == []


def test_the_reference_of_commands_has_every_command_and_option() -> None:
    page = commands_page()
    assert "\n## shoplens search\n" in page
    assert "\n## shoplens challenge team add\n" in page
    assert "| `--boxes [upright\\|stored]` | " in page
    # What a help text marks as it stands is shown so, and its words are not taken for Markdown.
    assert "```text\nshoplens demo\n```" in page
    assert "img\\_path=file" in page
