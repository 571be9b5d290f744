"""What can be set: one schema for the file, the environment and the flags."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shoplens.catalog.uploads import uploads_beside
from shoplens.cores import usable_cores
from shoplens.errors import ChainError, MissingError, RankingError, ShoplensError
from shoplens.models.devices import CPU
from shoplens.pixels.opening import MAX_PIXELS
from shoplens.reranking import Chain
from shoplens.server.chains import server_chain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_QUERIES = 1000
"""In one request, whatever the settings are."""
ENVIRONMENT = "SHOPLENS_SERVE_"
"""What the names of environment variables begin with."""

_Texts = Annotated[tuple[str, ...], NoDecode]
"""In the environment: separated by commas."""
_Networks = Annotated[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], NoDecode]


class ServerSettings(BaseSettings):
    """The settings of a server. Flags come before the environment, and that before the file."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    catalog: str
    """The catalogue: a folder, or milvus://host:port/name."""
    host: str = "127.0.0.1"
    """The address to listen on. Any other than this machine's own needs a file of keys."""
    port: int = Field(8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""
    keys: Path | None = None
    """The file of API keys (see `shoplens keys`). Without one, whoever reaches the server may use
    it."""
    models: _Texts = ()
    """Models that the server may load, by name or path. The built-in ones need not be named."""
    device: str = CPU
    """Where the model runs, as with --device of other commands."""
    confidence: Path | None = None
    """A calibration of the catalogue's model (see `shoplens calibrate`). Answers then say how
    likely each hit is the same product, and whether any is."""
    rerank: str | None = None
    """The chain of re-ranking methods for searches that name none of their own, such as
    product-score (see docs/reranking.md); `none` for no re-ranking. By default the chain that the
    catalogue keeps."""
    read_only: bool = False
    """Refuse every change of the catalogue."""
    uploads: Path | None = None
    """The folder where uploaded photos are kept. By default, for a catalogue that is a folder, one
    beside it, whose name ends in -uploads."""
    title: str = "shoplens"
    """The title of the page."""

    max_k: int = Field(1000, ge=1)
    """Most hits that a search may ask for."""
    max_batch: int = Field(32, ge=1, le=MOST_QUERIES)
    """Most queries in one request."""
    max_upload_bytes: int = Field(20_000_000, ge=1000)
    """Most bytes in the body of a request."""
    max_pixels: int = Field(MAX_PIXELS, ge=1, le=MAX_PIXELS)
    """Most pixels in a photo."""
    max_rerank_seconds: float = Field(0.5, ge=0)
    """Most seconds that a chain which a search names may be expected to take. With 0, a search can
    only be re-ranked by the server's own chain, or not at all."""

    max_waiting: int = Field(default_factory=lambda: 16 * usable_cores(), ge=1)
    """Most requests that are worked on or wait for it. Further ones are answered with 429. By
    default 16 for each core."""
    timeout: float = Field(30.0, gt=0)
    """Seconds after which a request is given up, from its first byte to its answer."""
    keep_seconds: float = Field(600.0, ge=0)
    """Seconds that a photo which was sent to be kept stays in memory after it was last searched
    for, so that the page need not send it again for each box. 0 keeps none."""
    shutdown_seconds: float = Field(30.0, ge=0)
    """Seconds that requests get to finish when the server is stopped."""
    drain_seconds: float = Field(0.0, ge=0)
    """Seconds between the signal to stop and the end of listening, in which /readyz says 503: for
    load balancers that learn of it by asking."""
    embedders: int = Field(default_factory=usable_cores, ge=1)
    """Photos that are embedded at a time. By default one for each core."""
    decoders: int = Field(default_factory=usable_cores, ge=1)
    """Processes that decode photos. By default one for each core."""
    decoder_seconds: float = Field(10.0, gt=0)
    """Seconds that decoding one photo may take."""
    decoder_memory_mb: int = Field(2000, ge=500)
    """Memory of each process that decodes, in 10^6 bytes."""

    rate: int | None = Field(None, ge=1)
    """Requests a minute that a key may make which has no rate of its own; by default any number."""
    metrics: Literal["key", "loopback"] = "key"
    """Who may read /metrics where keys are needed: whoever has one, or, with `loopback`, also every
    process on this machine. A proxy on this machine must then not pass /metrics on."""
    challenge: Path | None = None
    """The folder of a challenge (see `shoplens challenge`): its site is shown at /challenge/, and
    teams hand in submissions over HTTP."""
    max_submission_bytes: int = Field(500_000_000, ge=1000)
    """Most bytes in the body of a request that hands in a submission to the challenge. Unpacked, an
    archive may have four times as many."""
    urls: bool = False
    """Whether searches may name the URL of a photo, which the server then fetches."""
    url_seconds: float = Field(10.0, gt=0)
    """Seconds that fetching a photo may take."""
    url_networks: _Networks = ()
    """Networks that photos may be fetched from although they are not public, such as 10.1.0.0/16
    for an image server of your own."""
    cors_origins: _Texts = ()
    """Origins of other sites whose pages may use the API, such as https://shop.example."""
    allowed_hosts: _Texts = ()
    """Further names in the Host header. On loopback only localhost and its addresses are taken;
    elsewhere any name is, unless some are given here."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """How log lines are written; auto: text on a terminal, JSON elsewhere."""
    tracing: bool = False
    """Send a trace of each request to the OpenTelemetry collector that the variables
    OTEL_EXPORTER_OTLP_... name (extra [otel])."""

    @field_validator("models", "cors_origins", "allowed_hosts", "url_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            scheme, found, host = value.partition("://")
            if scheme not in ("http", "https") or not found or not host or "/" in host:
                raise ValueError(f"{value!r} is no origin, such as https://shop.example")
        return values

    @field_validator("rerank")
    @classmethod
    def _chain(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            server_chain(value)
        except ChainError as error:
            raise ValueError(error.problem) from None
        except RankingError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def chain(self) -> Chain | None:
        """The chain that `rerank` names; None for the one that the catalogue keeps."""
        return None if self.rerank is None else server_chain(self.rerank)

    @property
    def uploads_folder(self) -> Path | None:
        """The folder where uploaded photos are kept; None where none is set and none follows."""
        return uploads_beside(self.catalog) if self.uploads is None else self.uploads

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def read_settings(
    config: Path | None = None, flags: Mapping[str, Any] | None = None
) -> ServerSettings:
    """Read the settings from everywhere.

    Args:
        config: a TOML file with settings by their names; None for none.
        flags: what the command line gives; it counts before all else.

    Raises:
        MissingError: there is no such file.
        ShoplensError: the file is no TOML, or a setting is unknown or has a value that it cannot
            have; the message names all of them.
    """
    values = {} if config is None else _read_toml(config)
    in_environment = {
        name.upper().removeprefix(ENVIRONMENT).lower()
        for name in os.environ
        if name.upper().startswith(ENVIRONMENT)
    }
    for name in in_environment:
        # What is known is read from there; what is not is refused.
        if name in ServerSettings.model_fields:
            values.pop(name, None)
        else:
            values[name] = os.environ.get(f"{ENVIRONMENT}{name.upper()}")
    try:
        return ServerSettings(**{**values, **(flags or {})})
    except ValidationError as error:
        told = "\n".join(f"  {_told(one)}" for one in error.errors(include_url=False))
        raise ShoplensError(f"the settings of the server are faulty:\n{told}") from None


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(f"there is no file {path}") from None
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise ShoplensError(f"{path} cannot be read: {error}") from error
    return values


def _told(error: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    if error["type"] == "missing":
        return (
            f"{name} is not set: give --{name.replace('_', '-')}, {ENVIRONMENT}{name.upper()}, or "
            f"{name} in the file"
        )
    if error["type"] == "value_error":  # Ours, which say what was given.
        return f"{name}: {error['msg'].removeprefix('Value error, ')}"
    return f"{name}: {error['msg']}, not {error['input']!r}"
