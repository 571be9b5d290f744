"""`shoplens challenge site`."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.challenge.registry.instants import current
from shoplens.challenge.registry.registry import Registry
from shoplens.cli.console import message, progress_display, write_json
from shoplens.cli.options import json_option


@click.command()
@click.argument("challenge", metavar="[CHALLENGE_DIR]", nargs=-1, type=click.Path(path_type=Path))
@click.argument("out_dir", metavar="OUT_DIR", type=click.Path(path_type=Path))
@click.option(
    "--round",
    "round_name",
    metavar="NAME",
    help="Which round's; by default the one that is on or was last.",
)
@click.option(
    "--url",
    metavar="URL",
    help="The address at which the site will be; the feed's links then are whole addresses.",
)
@click.option(
    "--reports",
    is_flag=True,
    help="After the end: take in the report.html of each run's folder, which shows the labels.",
)
@json_option
def site(
    challenge: tuple[Path, ...],
    out_dir: Path,
    round_name: str | None,
    url: str | None,
    reports: bool,
    json_file: str | None,
) -> None:
    """Write the challenge's website, or bring it up to date: plain files for any web server.

    Private scores are in none of the files before the challenge is over. Run it again whenever
    something has changed; only files that differ are written. CHALLENGE_DIR is this folder where it
    is left out. OUT_DIR lies outside it.

    \b
    Example:
      shoplens challenge site autumn public_html --url https://example.org/autumn/
    """
    # Templates and Markdown take time to load, which no other command should spend.
    from shoplens.challenge.site.build import build_site  # noqa: PLC0415

    if len(challenge) > 1:
        raise click.UsageError("give one challenge's folder and one of the site")
    registry, now = Registry(*challenge or (Path(),)), current()
    public = registry.board("public", now, round=round_name)
    private = registry.board("private", now, round=round_name)
    with progress_display() as progress:
        built = build_site(
            out_dir,
            public,
            private,
            challenge=registry.folder,
            url=url,
            reports=reports,
            progress=progress,
        )
    message(f"{built.folder}: {built.n_files:,} files, {built.n_written:,} of them new or changed")
    message(f"open {(built.folder / 'index.html').absolute()}")
    write_json(
        json_file,
        {
            "folder": str(built.folder.absolute()),
            "n_files": built.n_files,
            "n_written": built.n_written,
            "n_reports": built.n_reports,
            "sealed": private.sealed,
        },
    )
