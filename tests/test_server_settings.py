"""One schema for the file, the environment and the flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT

from shoplens.cores import usable_cores
from shoplens.errors import MissingError, ShoplensError
from shoplens.server.settings import ServerSettings, is_loopback, read_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "serve.toml"
    file.write_text(
        'catalog = "from-file"\nport = 1\ntitle = "file"\ncors_origins = ["https://a.example"]\n'
    )
    return file


def test_flags_come_before_the_environment_and_that_before_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPLENS_SERVE_PORT", "2")
    monkeypatch.setenv("SHOPLENS_SERVE_CATALOG", "from-environment")
    settings = read_settings(config, {"catalog": "from-flag"})
    assert (settings.catalog, settings.port, settings.title) == ("from-flag", 2, "file")
    assert settings.cors_origins == ("https://a.example",)


def test_lists_are_separated_by_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_SERVE_CORS_ORIGINS", "https://a.example, http://b.example:8080")
    monkeypatch.setenv("SHOPLENS_SERVE_URL_NETWORKS", "10.1.0.0/16,fd00::/8")
    settings = read_settings(flags={"catalog": "c"})
    assert settings.cors_origins == ("https://a.example", "http://b.example:8080")
    assert [str(one) for one in settings.url_networks] == ["10.1.0.0/16", "fd00::/8"]


def test_defaults_follow_the_cores() -> None:
    settings = read_settings(flags={"catalog": "c"})
    assert settings.embedders == settings.decoders == usable_cores()
    assert settings.max_waiting == 16 * usable_cores()
    assert settings.on_loopback


def test_every_fault_is_named_at_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('colour = "red"\nmax_k = 0\ncors_origins = ["a.example/x"]\n')
    monkeypatch.setenv("SHOPLENS_SERVE_PROT", "8080")
    with pytest.raises(ShoplensError) as raised:
        read_settings(config)
    told = str(raised.value)
    assert "catalog is not set: give --catalog, SHOPLENS_SERVE_CATALOG, or catalog in the" in told
    assert "max_k: Input should be greater than or equal to 1, not 0" in told
    assert "colour: there is no such setting" in told
    assert "prot: there is no such setting" in told
    assert "'a.example/x' is no origin, such as https://shop.example" in told


def test_a_file_that_is_not_there_or_no_toml_is_refused(config: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"there is no file .*nowhere\.toml"):
        read_settings(tmp_path / "nowhere.toml")
    config.write_text("port = = 1")
    with pytest.raises(ShoplensError, match=r"serve\.toml cannot be read"):
        read_settings(config)


def test_settings_do_not_change() -> None:
    settings = read_settings(flags={"catalog": "c"})
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("shop.example", False),
    ],
)
def test_loopback_is_told_apart(host: str, own: bool) -> None:
    assert is_loopback(host) is own
    assert ServerSettings(catalog="c", host=host).on_loopback is own


def test_every_setting_is_explained() -> None:
    for name, field in ServerSettings.model_fields.items():
        assert field.description, name


def row(name: str) -> str:
    """Return the row of a setting in docs/service.md."""
    field = ServerSettings.model_fields[name]
    if field.is_required():
        default = "must be given"
    elif field.default_factory is not None:
        default = "by the cores"
    elif field.default in (None, ()):
        default = "none"
    else:
        default = f"`{json.dumps(field.default)}`"
    return f"| `{name}` | {default} | {' '.join((field.description or '').split())} |"


def test_the_guide_lists_every_setting() -> None:
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    table = page.rpartition("| setting | default | meaning |\n|---|---|---|\n")[2]
    listed = table.partition("\n\n")[0].splitlines()
    assert listed == [row(name) for name in ServerSettings.model_fields]
