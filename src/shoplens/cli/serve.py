"""`shoplens serve`."""

from __future__ import annotations

import importlib
import tempfile
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoplens.catalog.indexing import index as index_photos
from shoplens.catalog.opening import open_catalog
from shoplens.cli.console import message
from shoplens.cli.options import CATALOG_HELP
from shoplens.errors import MissingError

if TYPE_CHECKING:
    from shoplens.server.settings import ServerSettings


@click.command()
@click.option("--catalog", metavar="URI", help=f"The catalogue to serve: {CATALOG_HELP}.")
@click.option(
    "--demo", is_flag=True, help="Serve the sample photos of the package; nothing is kept."
)
@click.option("--host", metavar="ADDRESS", help="The address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="The port to listen on; 0 takes a free one.  [default: 8000]",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with settings (see docs/service.md). Options given here override it.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file of API keys (see `shoplens keys`). It is needed where other machines can reach "
    "the server.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME_OR_PATH",
    help="A model that the server may load, if the catalogue's is not built in; repeatable, so "
    "that the catalogue can be migrated behind the server.",
)
@click.option("--device", metavar="NAME", help="Where the model runs.  [default: cpu]")
@click.option(
    "--confidence",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `shoplens calibrate` wrote for the catalogue's model: answers then say how likely "
    "each hit is the same product, and whether any is.",
)
@click.option(
    "--rerank",
    metavar="CHAIN",
    help="Put the results of searches in a better order, as `shoplens search --rerank` does, where "
    "a search names no chain of its own (docs/reranking.md lists the methods); none for no "
    "re-ranking.  [default: what the catalogue keeps]",
)
@click.option("--read-only", is_flag=True, default=None, help="Refuse changes of the catalogue.")
@click.option(
    "--urls", is_flag=True, default=None, help="Let searches name the URL of a photo to fetch."
)
@click.option(
    "--challenge",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Show the site of a challenge at /challenge/, and let its teams submit over HTTP (see "
    "docs/service-challenge.md).",
)
@click.option("--title", metavar="TEXT", help="The title of the page.  [default: shoplens]")
@click.option(
    "--check",
    is_flag=True,
    help="Check the settings, the catalogue, its model and the keys, say what would be served, "
    "and end.",
)
def serve(demo: bool, check: bool, config: Path | None, **flags: Any) -> None:
    """Serve a catalogue: the page where you draw a box, and search over HTTP (extra [serve]).

    You can also set everything in a file (--config) or in the environment, as
    SHOPLENS_SERVE_PORT=8080. SIGTERM or Ctrl-C stops the server after it has finished the requests
    under way.

    \b
    Example:
      shoplens index photos/ --catalog shop
      shoplens serve --catalog shop
    """
    try:
        from shoplens.server.running import serve as run  # noqa: PLC0415  An extra, and slow.
        from shoplens.server.settings import read_settings  # noqa: PLC0415
    except ImportError as error:
        raise MissingError(f"serving needs {error.name}: pip install 'shoplens[serve]'") from error
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    with ExitStack() as held:
        if demo:
            if "catalog" in given:
                raise click.UsageError("--demo serves the sample photos: leave out --catalog")
            given["catalog"] = _sample_catalog(held)
        settings = read_settings(config, given)
        if check:
            _check(settings)
        else:
            run(settings, lambda address: message(f"ready: {address}"))


def _sample_catalog(held: ExitStack) -> str:
    """Return a new catalogue of the sample photos, which lasts as long as `held`."""
    folder = held.enter_context(tempfile.TemporaryDirectory(prefix="shoplens-demo-"))
    sample = held.enter_context(resources.as_file(resources.files("shoplens") / "sample"))
    uri = str(Path(folder) / "catalog")
    index_photos(sample, uri, cache=False)
    return uri


def _check(settings: ServerSettings) -> None:
    """Tell what would be served; raise what would keep it from being served."""
    from shoplens.server.calibrations import load_calibration  # noqa: PLC0415
    from shoplens.server.chains import own_chain  # noqa: PLC0415
    from shoplens.server.current_model import load_model  # noqa: PLC0415
    from shoplens.server.keys import load_keys  # noqa: PLC0415
    from shoplens.server.running import require_keys  # noqa: PLC0415

    require_keys(settings)
    if settings.tracing:
        importlib.import_module("shoplens.server.tracing")  # Says so if its extra is missing.
    with open_catalog(settings.catalog, read_only=True) as catalog:
        encoder = load_model(catalog.model, settings)
        load_calibration(settings, catalog)
        chain = own_chain(settings.chain, catalog)
        click.echo(f"catalogue: {settings.catalog}, {catalog.count():,} photos")
    click.echo(f"re-ranked by: {'+'.join(chain.names) or 'nothing'}")
    click.echo(f"model: {encoder.name} ({encoder.fingerprint})")
    if settings.keys is not None:
        click.echo(f"keys: {len(load_keys(settings.keys))} in {settings.keys}")
    if settings.challenge is not None:
        from shoplens.challenge.registry.registry import Registry  # noqa: PLC0415

        click.echo(f"challenge: {Registry(settings.challenge).terms().title}")
    click.echo(f"address: {settings.host}, port {settings.port}")
    for name, value in settings.model_dump(mode="json").items():
        click.echo(f"  {name} = {value}")
