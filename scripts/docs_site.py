"""What building the documentation adds to MkDocs: a hook that mkdocs.yml names.

- The README is the site's first page; CONTRIBUTING.md and CHANGELOG.md are pages of it.
- The reference of commands is written from the commands themselves.
- A link to a file of the repository that is no page leads to the repository, or stays text.
- A public name that is not in the reference, or has no docstring, stops the build.
"""

from __future__ import annotations

import importlib.metadata
import logging
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

from commands_reference import commands_page
from public_names import undocumented

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files in the root of the repository, and the pages that show them."""
COMMANDS = "reference/commands.md"

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
"""A link to a file, with its text and its anchor."""
CELL_OF_CODE = re.compile(r"(?<=[| ])`[^`\n]*\\\|[^`\n]*`")
"""Code in a table with a bar that code hosts want escaped and MkDocs does not."""
PICTURE = re.compile(r'(<img src=")docs/')

log = logging.getLogger("mkdocs.hooks.docs_site")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the address of the repository from the package, where it states one."""
    urls = importlib.metadata.metadata("shoplens").get_all("Project-URL") or []
    named = dict(re.split(r",\s*", url, maxsplit=1) for url in urls)
    config.repo_url = named.get("Repository") or named.get("Source")
    config.repo_name = config.site_name
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=PICTURE.sub(r"\1", text)))
    files.append(File.generated(config, COMMANDS, content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at pages of the site, or at the repository."""
    sources = {page: source for source, page in PAGES.items()}
    here = page.file.src_uri
    source = sources.get(here, posixpath.join("docs", here))

    def pointed(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        wanted = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if wanted is not None:
            relative = posixpath.relpath(wanted, posixpath.dirname(here) or ".")
            shown = _title(path) if text == target else text
            return f"[{shown}]({relative}{anchor})"
        if not (ROOT / path).exists():
            log.warning("%s links to %s, which is not there", source, target)
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path}{anchor})"
        return f'<span title="{path} in the repository">{text}</span>'

    return CELL_OF_CODE.sub(lambda code: code[0].replace("\\|", "|"), LINK.sub(pointed, markdown))


def on_post_build(config: MkDocsConfig) -> None:
    """Check that the reference explains every public name."""
    for problem in undocumented():
        log.warning("%s", problem)


def _title(path: str) -> str:
    """Return the heading of a Markdown file of the repository; its name where it has none."""
    file = ROOT / path
    first = file.read_text(encoding="utf-8").partition("\n")[0] if file.suffix == ".md" else ""
    return first.removeprefix("# ") if first.startswith("# ") else file.name
