from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Run, picture

from shoplens import Embeddings, PhotoSet, embed, load_encoder, read_dataset, read_gallery


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Path:
    return make_model(centres={"user": [0.05] * 48})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of six photos, of which the fourth is damaged and the last a copy."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        picture(i).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "5.png").write_bytes((folder / "0.png").read_bytes())
    return folder


def test_vectors_are_those_of_python(run: Run, photos: Path, toy: Path, tmp_path: Path) -> None:
    expected = embed(read_gallery(photos), load_encoder(toy))
    for name in ("v.npy", "v.parquet"):
        result = run("embed", photos, "-o", tmp_path / name, "--model", toy, "--json", "-")
        assert result.code == 0
        loaded = Embeddings.load(tmp_path / name, read_gallery(photos))
        np.testing.assert_array_equal(loaded.vectors, expected.vectors)
        assert [f.row for f in loaded.failures] == [3]
    values = result.json
    # Whether a file is an image is looked at each time.
    assert (values["n_photos"], values["n_cached"], values["n_failed"]) == (6, 5, 1)
    assert values["failures"] == {"not_an_image": 1}
    assert values["failed_photos"][0]["path"] == "3.png"
    assert values["model"]["fingerprint"] == expected.fingerprint
    assert "1 failed, not_an_image" in result.err
    assert np.isnan(np.load(tmp_path / "v.npy")[3]).all()


def test_a_second_run_is_served_from_the_cache(
    run: Run, photos: Path, toy: Path, tmp_path: Path
) -> None:
    words = ("embed", photos, "-o", tmp_path / "v.npy", "--model", toy, "--json", "-")
    # The copy is found in the first run already.
    assert run(*words).json["n_cached"] == 1
    first = (tmp_path / "v.npy").read_bytes()
    assert run(*words).json["n_cached"] == 5
    assert (tmp_path / "v.npy").read_bytes() == first
    assert run(*words, "--no-cache").json["n_cached"] == 0
    assert (tmp_path / "v.npy").read_bytes() == first


def test_the_cache_serves_the_other_commands(
    run: Run, make_dataset: Callable[..., Path], toy: Path, tmp_path: Path
) -> None:
    data = make_dataset()
    run("embed", data, "-o", tmp_path / "v.npy", "--model", toy)
    values = run("evaluate", data, "--model", toy, "--json", "-").json
    assert values["n_cached"] == 3
    query = data / "queries" / "0.png"
    assert "3 from the cache" in run("search", query, "--gallery", data, "--model", toy).err


def test_queries_are_embedded_as_users_photos(
    run: Run, make_dataset: Callable[..., Path], toy: Path, tmp_path: Path
) -> None:
    data = make_dataset(queries=[(4, "a", "8,8,40,30"), (2, "b", "0,0,64,48")])
    run("embed", data, "--queries", "-o", tmp_path / "v.parquet", "--model", toy)
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["photo_id"].to_pylist() == [4, 2]
    assert table["domain"].to_pylist() == ["user", "user"]
    expected = embed(read_dataset(data).queries, load_encoder(toy)).vectors
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), expected)


@pytest.mark.parametrize("limit", ["0", "16%"])
def test_too_many_failures_stop_the_run(
    run: Run, photos: Path, toy: Path, tmp_path: Path, limit: str
) -> None:
    output = tmp_path / "v.npy"
    result = run("embed", photos, "-o", output, "--model", toy, "--max-failures", limit)
    assert result.code == 1
    assert "1 of the first 4 photos failed (1 not_an_image)" in result.err
    assert not output.exists()


@pytest.mark.parametrize("limit", ["1", "20%"])
def test_failures_within_the_limit_do_not(
    run: Run, photos: Path, toy: Path, tmp_path: Path, limit: str
) -> None:
    output = tmp_path / "v.npy"
    assert run("embed", photos, "-o", output, "--model", toy, "--max-failures", limit).code == 0


@pytest.mark.parametrize("limit", ["-1", "many", "101%", "1.5"])
def test_a_limit_that_is_none_is_refused(run: Run, photos: Path, toy: Path, limit: str) -> None:
    result = run("embed", photos, "-o", "v.npy", "--model", toy, f"--max-failures={limit}")
    assert result.code == 2
    assert limit in result.err


def test_a_name_of_another_format_is_refused_before_the_work(run: Run, photos: Path) -> None:
    result = run("embed", photos, "-o", "vectors.txt")
    assert result.code == 1
    assert ".parquet, .lance or .npy" in result.err


def test_an_earlier_file_stays_when_the_run_fails(
    run: Run, photos: Path, toy: Path, tmp_path: Path
) -> None:
    output = tmp_path / "v.npy"
    output.write_bytes(b"earlier")
    run("embed", photos, "-o", output, "--model", toy, "--max-failures", "0")
    assert output.read_bytes() == b"earlier"
    assert not list(tmp_path.glob(".*.part"))


def test_killed_and_run_again_it_goes_on_and_gives_the_same(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(150):
        picture(i, (400, 300)).save(folder / f"{i:03}.jpg", quality=90)
    output = tmp_path / "v.npy"
    words = ["embed", str(folder), "-o", str(output), "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoplens", *words], stderr=subprocess.PIPE, env=os.environ
    )
    caches = Path(os.environ["SHOPLENS_CACHE"])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and not n_rows(caches):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = n_rows(caches)
    assert 0 < done < 150
    assert not output.exists()
    values = run(*words, "--json", "-").json
    assert values["n_cached"] >= done
    assert values["n_failed"] == 0
    resumed = output.read_bytes()
    assert run(*words, "--no-cache").code == 0
    assert output.read_bytes() == resumed


def n_rows(caches: Path) -> int:
    """Return how many photos the cache below a folder holds."""
    for file in caches.rglob("*.sqlite"):
        with closing(sqlite3.connect(file)) as database:
            try:
                return int(database.execute("SELECT count(*) FROM photos").fetchone()[0])
            except sqlite3.OperationalError:
                return 0
    return 0


def test_the_cache_command_tells_and_clears(
    run: Run, photos: Path, toy: Path, tmp_path: Path
) -> None:
    run("embed", photos, "-o", tmp_path / "v.npy", "--model", toy)
    held = run("cache", "--json", "-").json
    assert held["n_files"] == 1
    assert Path(held["folder"]).is_dir()
    assert run("cache", "--clear", "--json", "-").json["cleared"]
    assert run("cache", "--json", "-").json["n_files"] == 0


@pytest.mark.parametrize("name", ["v.npy", "v.parquet"])
def test_no_photos_make_a_file_without_rows(toy: Path, tmp_path: Path, name: str) -> None:
    embed(PhotoSet([]), load_encoder(toy)).save(tmp_path / name, PhotoSet([]))
    if name == "v.npy":
        assert np.load(tmp_path / name).shape == (0, 48)
    else:
        assert pq.read_table(tmp_path / name).num_rows == 0


def test_tables_may_name_urls_only_where_that_is_allowed(
    run: Run, photos: Path, toy: Path, tmp_path: Path
) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        table = tmp_path / "gallery.csv"
        url = f"http://127.0.0.1:{server.server_port}"
        table.write_text(f"seller_img_id,img_path\n0,{url}/0.png\n1,{url}/gone.png\n")
        words = ("embed", table, "-o", tmp_path / "v.npy", "--model", toy, "--json", "-")
        refused = run(*words)
        allowed = run(*words, "--remote")
        server.shutdown()
    assert refused.code == 1
    assert "--remote" in refused.err or "URL" in refused.err
    assert allowed.json["failures"] == {"missing": 1}
    expected = embed(read_gallery(photos), load_encoder(toy)).vectors[0]
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy")[0], expected)


def test_a_device_that_is_not_there_is_told(run: Run, photos: Path, toy: Path) -> None:
    result = run("embed", photos, "-o", "v.npy", "--model", toy, "--device", "cuda")
    assert result.code == 3
    assert "onnxruntime-gpu" in result.err
