from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from core_conftest import Run, picture
from ray.cluster_utils import Cluster
from slow_photos import reads, slow, wait_until

from shoplens import Embeddings, PhotoSet, embed, load_encoder, read_dataset, read_gallery
from shoplens.distributed.on_ray import Summary, embed_on_ray
from shoplens.distributed.packing import PackedModel, pack_model
from shoplens.distributed.partitions import cut
from shoplens.distributed.to_folder import Cluster as Machines
from shoplens.distributed.to_folder import embed_to_folder
from shoplens.embedding.settings import EmbeddingSettings
from shoplens.errors import FailureLimitError, ModelError
from shoplens.vectors.part_folder import PartFolder

# Ray's own code and Python's multiprocessing in its start.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("cluster"),
]

N_PHOTOS = 48
N_ROWS = 4


@pytest.fixture
def toy(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    """Return many photos, of which one is damaged and one not there."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N_PHOTOS):
        picture(i).save(folder / f"{i:02}.png")
    (folder / "07.png").write_bytes(b"no picture")
    photos = read_gallery(folder)
    (folder / "30.png").unlink()
    return photos


def on_ray(photos: PhotoSet, model: Path, output: Path, **options: object) -> Summary:
    packed, encoder = pack_model(model)
    recipe = encoder.recipe
    return embed_on_ray(
        cut(photos, N_ROWS),
        packed,
        recipe.dimension,
        PartFolder(output),
        name=recipe.name,
        **options,  # type: ignore[arg-type]
    )


def check_congruent(output: Path, photos: PhotoSet, expected: Embeddings) -> None:
    """Check that every photo is there once, with the very vector of the local engine."""
    table = PartFolder(output).read_all()
    assert table["photo_id"].to_pylist() == expected.ids.tolist()
    assert table["sha256"].to_pylist() == list(expected.sha256)
    loaded = Embeddings.load(output, photos)
    np.testing.assert_array_equal(loaded.vectors, expected.vectors)
    assert [(f.row, f.reason) for f in loaded.failures] == [
        (f.row, f.reason) for f in expected.failures
    ]
    assert loaded.fingerprint == expected.fingerprint


def test_a_node_that_dies_loses_and_doubles_nothing(
    cluster: Cluster, photos: PhotoSet, toy: Path, tmp_path: Path
) -> None:
    expected = embed(photos, load_encoder(toy))
    log = tmp_path / "log"
    slowly = slow(photos, 0.5, log)
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    assert len(cluster.list_all_nodes()) == 3

    def kill() -> None:
        # In the middle of a partition, after it has finished one.
        wait_until(lambda: reads(log, victim.node_id) >= N_ROWS + 2)
        cluster.remove_node(victim, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    told: list[int] = []
    summary = on_ray(
        slowly, toy, tmp_path / "parts", progress=lambda _, done, total: told.append(done)
    )
    killer.join()
    assert len(cluster.list_all_nodes()) == 2
    # Those it had begun were read again, and only those; none when its worker, which outlives the
    # node by a moment, still wrote the partition.
    assert N_PHOTOS <= reads(log) <= N_PHOTOS + N_ROWS
    assert N_ROWS + 2 <= reads(log, victim.node_id) <= 2 * N_ROWS
    check_congruent(tmp_path / "parts", photos, expected)
    assert summary.n_photos == N_PHOTOS
    assert told == list(range(N_ROWS, N_PHOTOS + 1, N_ROWS))
    assert [(f.row, f.id, f.reason) for f in summary.failures] == [
        (7, 7, "not_an_image"), (30, 30, "missing"),
    ]  # fmt: skip


def test_a_second_run_computes_what_is_not_there(
    photos: PhotoSet, toy: Path, tmp_path: Path
) -> None:
    output = tmp_path / "parts"
    assert on_ray(photos, toy, output).n_kept == 0
    (output / "part-000002.parquet").unlink()
    log = tmp_path / "log"
    summary = on_ray(slow(photos, 0, log), toy, output)
    # The photo that is not there is looked for again.
    assert summary.n_kept == N_PHOTOS - N_ROWS - 1
    assert reads(log) == N_ROWS + 1
    check_congruent(output, photos, embed(photos, load_encoder(toy)))


def test_what_ray_tells_does_not_mix_with_results(
    cluster: Cluster,
    photos: PhotoSet,
    toy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = {"out": "", "err": ""}

    def arrived() -> bool:
        captured = capsys.readouterr()
        printed["out"] += captured.out
        printed["err"] += captured.err
        return "a machine is gone" in printed["out"] + printed["err"]

    def tell(stage: str, done: int, total: int) -> None:
        if done == N_ROWS:
            worker = ray._private.worker.global_worker
            ray._private.utils.push_error_to_driver(worker, "node_died", "a machine is gone")
            wait_until(arrived)

    output = str(tmp_path / "parts")
    machines = Machines(cluster.address, N_ROWS, by_file=False)
    settings = EmbeddingSettings(model=str(toy))
    embed_to_folder(list(cut(photos, N_ROWS)), output, settings, machines, progress=tell)
    assert "a machine is gone" in printed["err"]
    assert "a machine is gone" not in printed["out"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_run_again_it_goes_on(
    run: Run, cluster: Cluster, tmp_path: Path, stop: signal.Signals
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(120):
        picture(i, (400, 300)).save(folder / f"{i:03}.jpg", quality=90)
    output = tmp_path / "parts"
    words = ["embed", str(folder), "-o", str(output), "--engine", "ray", "--partition-rows", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoplens", *words, "--address", cluster.address],
        stderr=subprocess.PIPE,
    )
    records = output / "_records"
    wait_until(lambda: process.poll() is not None or any(records.glob("part-*.json")))
    process.send_signal(stop)
    _, err = process.communicate()
    assert process.returncode == (130 if stop == signal.SIGINT else -stop), err.decode()
    assert not (output / "_manifest.json").exists()
    values = run(*words, "--json", "-").json
    assert 0 < values["n_cached"] < 120
    check_congruent(output, read_gallery(folder), embed(read_gallery(folder), load_encoder()))


def test_a_model_travels_without_its_folder(
    photos: PhotoSet, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    first = make_model("first")
    both = tmp_path / "both"
    both.mkdir()
    shutil.copytree(make_model("second", mean=[90.0] * 3), both / "second")
    members = [{"model": str(first), "weight": 2}, {"model": "second"}]
    (both / "ensemble.json").write_text(json.dumps({"name": "both", "members": members}))
    expected = embed(photos, load_encoder(both))
    packed, encoder = pack_model(both)
    shutil.rmtree(both)
    shutil.rmtree(first)
    folder = PartFolder(tmp_path / "parts")
    embed_on_ray(cut(photos, 20), packed, encoder.dimension, folder, name="both")
    check_congruent(tmp_path / "parts", photos, expected)


def test_a_machine_with_other_versions_is_refused(
    photos: PhotoSet, toy: Path, tmp_path: Path
) -> None:
    packed, encoder = pack_model(toy)
    other = PackedModel(
        packed.model, packed.files, None, packed.fingerprint, {**packed.versions, "numpy": "1.0"}
    )
    folder = PartFolder(tmp_path / "parts")
    with pytest.raises(ModelError, match=r"numpy .* instead of 1\.0"):
        embed_on_ray(cut(photos, 20), other, encoder.dimension, folder, name="toy")
    assert folder.manifest() is None


def test_too_many_failures_stop_the_run(photos: PhotoSet, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(FailureLimitError):
        on_ray(photos, toy, tmp_path / "parts", max_failures=1, max_tasks=1)
    assert PartFolder(tmp_path / "parts").manifest() is None
    assert len(on_ray(photos, toy, tmp_path / "parts", max_failures=2).failures) == 2


def test_the_command_embeds_queries_with_boxes(
    run: Run,
    make_dataset: Callable[..., Path],
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Workers have other working folders.
    monkeypatch.chdir(tmp_path)
    queries = [(4, "a", "8,8,40,30"), (2, "b", "0,0,90,48"), (9, "c", "70,0,9,9")]
    data = make_dataset(queries=queries)
    output = tmp_path / "parts"
    words = ("embed", data.name, "--queries", "-o", "parts", "--model", toy, "--engine", "ray")
    values = run(*words, "--json", "-").json
    assert (values["n_photos"], values["n_clipped"], values["n_failed"]) == (3, 1, 1)
    assert values["failed_photos"][0]["reason"] == "outside_box"
    expected = embed(read_dataset(data).queries, load_encoder(toy))
    check_congruent(output, read_dataset(data).queries, expected)
    again = run(*words, "--json", "-")
    assert again.json["n_cached"] == 3
    assert "3 there from an earlier run" in again.err


def test_a_lance_dataset_is_made_of_the_parts(
    run: Run, photos: PhotoSet, toy: Path, tmp_path: Path
) -> None:
    folder = photos[0].path.parent
    output = tmp_path / "vectors.lance"
    words = ("embed", folder, "-o", output, "--model", toy, "--engine", "ray", "--partition-rows")
    assert run(*words, 20).code == 0
    photos = read_gallery(folder)
    expected = embed(photos, load_encoder(toy))
    loaded = Embeddings.load(output, photos)
    np.testing.assert_array_equal(loaded.vectors, expected.vectors)
    assert loaded.fingerprint == expected.fingerprint
    check_congruent(tmp_path / "vectors.lance.parts", photos, expected)
    # Again: nothing is computed, and the dataset is written anew.
    again = run(*words, 20, "--json", "-").json
    assert again["n_cached"] == len(photos)
    np.testing.assert_array_equal(Embeddings.load(output, photos).vectors, expected.vectors)


@pytest.mark.parametrize("ids", [True, False])
def test_parquet_files_with_photos_are_partitions(
    run: Run, toy: Path, tmp_path: Path, ids: bool
) -> None:
    catalogue = tmp_path / "catalogue"
    (catalogue / "b").mkdir(parents=True)
    for number, name in enumerate(("a.parquet", "b/b.parquet", "c.parquet")):
        rows = []
        for i in range(5 * number, 5 * number + 5):
            picture(i).save(tmp_path / "photo.png")
            rows.append({"image": (tmp_path / "photo.png").read_bytes()})
            if ids:
                rows[-1]["photo_id"] = 100 - i
        pq.write_table(pa.Table.from_pylist(rows), catalogue / name, row_group_size=2)
    photos = read_gallery(catalogue)
    expected = embed(photos, load_encoder(toy))
    for name, more in (("by-file", ["--by-file"]), ("by-rows", ["--partition-rows", 4])):
        output = tmp_path / name
        words = ("embed", catalogue, "-o", output, "--model", toy, "--engine", "ray", *more)
        assert run(*words).code == 0
        check_congruent(output, photos, expected)
        assert len(list(output.glob("*.parquet"))) == (3 if more == ["--by-file"] else 4)
