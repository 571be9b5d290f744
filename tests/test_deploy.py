"""The files of deploy/, against what the service, the package and each other say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Run, picture

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("tomllib", reason="needs Python 3.11")
pytest.importorskip("yaml")

import tomllib
import yaml
from made_shops import make_shop, serving

from shoplens.server.keys import create_key
from shoplens.server.metrics import Metrics
from shoplens.server.settings import ENVIRONMENT, ServerSettings

DEPLOY = ROOT / "deploy"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def settings() -> dict[str, Any]:
    return tomllib.loads(text("shoplens.toml"))


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return found


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["optional-dependencies"])


def seconds_to_stop() -> float:
    fields = ServerSettings.model_fields
    return sum(
        float(settings().get(name, fields[name].default))
        for name in ("drain_seconds", "shutdown_seconds")
    )


def test_the_settings_are_accepted(run: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(1).save(photos / "a.png")
    assert run("index", photos, "--catalog", tmp_path / "shop").code == 0
    keys = tmp_path / "keys.json"
    create_key(keys, "search")
    own = ("--catalog", tmp_path / "shop", "--keys", keys)
    checked = run("serve", "--config", DEPLOY / "shoplens.toml", "--check", *own)
    assert checked.code == 0, checked.err
    assert "allowed_hosts = ['search.shop.example']" in checked.out


def test_containers_set_only_what_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    in_image = dict(re.findall(rf"\b({ENVIRONMENT}\w+)=(\S+)", text("Dockerfile")))
    beside = compose()["services"]["shoplens"]["environment"]
    for name, value in {**in_image, **beside}.items():
        assert name.removeprefix(ENVIRONMENT).lower() in ServerSettings.model_fields
        monkeypatch.setenv(name, value)
    set_up = ServerSettings()
    assert set_up.catalog == "milvus://milvus:19530/shop"
    assert set_up.rate == 600


def test_a_container_may_ask_itself_whether_it_is_ready(tmp_path: Path) -> None:
    names = {"host": "0.0.0.0", "allowed_hosts": ["search.shop.example"]}
    with serving(make_shop(tmp_path / "shop", 1), **names) as client:
        for host, status in (("127.0.0.1:8000", 200), ("evil.example", 403)):
            assert client.get("/readyz", headers={"Host": host}).status_code == status


def test_images_have_extras_that_there_are() -> None:
    [default] = re.findall(r"^ARG EXTRAS=(\S+)$", text("Dockerfile"), re.MULTILINE)
    assert set(default.split(",")) <= extras()
    asked = compose()["services"]["shoplens"]["build"]["args"]["EXTRAS"]
    assert {"serve", "milvus"} <= set(asked.split(",")) <= extras()


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    kept = re.findall(r"^!(\S+)$", text("Dockerfile.dockerignore"), re.MULTILINE)
    copied = re.findall(r"^COPY ((?!--from).+) \S+$", text("Dockerfile"), re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert name in kept


def test_what_the_services_name_is_declared() -> None:
    file = compose()
    for service in file["services"].values():
        assert set(service.get("depends_on", ())) <= set(file["services"])
        assert set(service["networks"]) <= set(file["networks"])
        volumes = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert volumes <= set(file["volumes"])
    assert (DEPLOY / file["services"]["shoplens"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / file["services"]["shoplens"]["build"]["dockerfile"]).is_file()
    # Milvus asks for no password.
    assert file["networks"]["back"]["internal"]
    assert all("ports" not in file["services"][name] for name in ("milvus", "etcd", "minio"))


def test_there_is_time_to_stop() -> None:
    [unit] = re.findall(r"^TimeoutStopSec=(\d+)$", text("shoplens.service"), re.MULTILINE)
    assert float(unit) > seconds_to_stop()
    grace = compose()["services"]["shoplens"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > seconds_to_stop()


def test_proxies_wait_longer_and_take_as_much_as_the_service() -> None:
    fields = ServerSettings.model_fields
    timeout = float(settings().get("timeout", fields["timeout"].default))
    [nginx] = re.findall(r"proxy_read_timeout (\d+)s;", text("nginx.conf"))
    [caddy] = re.findall(r"response_header_timeout (\d+)s\n", text("Caddyfile"))
    assert min(float(nginx), float(caddy)) > timeout
    most = settings()["max_upload_bytes"]
    [nginx] = re.findall(r"client_max_body_size (\d+)m;", text("nginx.conf"))
    [caddy] = re.findall(r"max_size (\d+)MB\n", text("Caddyfile"))
    assert int(nginx) * 2**20 >= most
    assert int(caddy) * 10**6 >= most
    [host] = settings()["allowed_hosts"]
    for proxy in ("nginx.conf", "Caddyfile"):
        assert host in text(proxy)
        assert f"127.0.0.1:{settings()['port']}" in text(proxy)


def test_alerts_watch_metrics_that_there_are() -> None:
    exposed = set(re.findall(r"^# TYPE (\w+) ", Metrics().text().decode(), re.MULTILINE))
    [group] = yaml.safe_load(text("alerts.yaml"))["groups"]
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for rule in group["rules"]:
        named = set(re.findall(r"\bshoplens_\w+", rule["expr"]))
        assert {re.sub("_(count|bucket|sum)$", "", name) for name in named} <= exposed
        assert f"| `{rule['alert']}` |" in page
    for name in re.findall(r"^\| `(shoplens_\w+)` \|", page, re.MULTILINE):
        assert name in exposed


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = text("shoplens.service").replace("/opt/shoplens/bin/shoplens", sys.executable)
    file = tmp_path / "shoplens.service"
    file.write_text(unit.replace("User=shoplens", "User=root"), encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0
    assert file.name not in checked.stderr
