"""`shoplens keys`: who may use a server."""

from __future__ import annotations

from pathlib import Path

import click

from shoplens.cli.console import Results, message, write_json
from shoplens.cli.options import json_option
from shoplens.server import keys as key_files
from shoplens.server.keys import SCOPES, KeyScope

_file_option = click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("keys.json"),
    show_default=True,
    metavar="FILE",
    help="The file of keys, which `shoplens serve --keys` reads.",
)


@click.group()
def keys() -> None:
    """Make and revoke the API keys of a server.

    The file of keys holds no secrets. A running server reads it again when it changes.

    \b
    Example:
      shoplens keys create --scope search --name "the shop's app"
      shoplens keys list
      shoplens keys revoke 5e0c7a91b2d4
    """


@keys.command()
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    required=True,
    help="What the key allows: search; write, which also changes the catalogue; or admin, which "
    "allows everything.",
)
@click.option("--name", default="", metavar="TEXT", help="Who uses it.")
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    metavar="N",
    help="Allow N requests a minute; by default, as many as the server's setting allows.",
)
@_file_option
@json_option
def create(scope: KeyScope, name: str, rate: int | None, file: Path, json_file: str | None) -> None:
    """Make a key and print it. It is shown only once.

    \b
    Example:
      shoplens keys create --scope write --name "stock sync" --rate 600
    """
    made = key_files.create_key(file, scope, name=name, rate=rate)
    message(f"key {made.key.id} with scope {scope} is in {file}. Keep it: it is not shown again")
    if json_file is None:
        Results(None).line(made.text)
    write_json(json_file, {**made.key.to_json(), "key": made.text}, mode=0o600)


@keys.command(name="list")
@_file_option
@json_option
def list_command(file: Path, json_file: str | None) -> None:
    """List the keys, without their secrets."""
    found = key_files.read_keys(file)
    Results(json_file).table(
        ("id", "name", "scope", "requests a minute", "created"),
        ((key.id, key.name, key.scope, key.rate, key.created) for key in found),
        empty="no key yet",
    )
    write_json(json_file, {"keys": [key.to_json() for key in found]})


@keys.command()
@click.argument("key_id", metavar="ID")
@_file_option
@json_option
def revoke(key_id: str, file: Path, json_file: str | None) -> None:
    """Remove a key. Running servers refuse it from the next request on."""
    gone = key_files.revoke_key(file, key_id)
    name = f" ({gone.name})" if gone.name else ""
    message(f"key {gone.id}{name} is revoked")
    write_json(json_file, gone.to_json())
