from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXPORTER_WARNINGS

from shoplens.errors import DataError, MissingError
from shoplens.training.config import Config
from shoplens.training.export import make_recipe
from shoplens.training.loop import load_run, train

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_run(run).network.state_dict()


def test_a_run_leaves_weights_curves_and_a_report(tiny: Config, tmp_path: Path) -> None:
    report = train(tiny, tmp_path / "run")
    assert report.steps == 6
    assert report.n_products + report.n_held_out == 8
    assert report.n_held_out > 0
    assert set(report.scores["result"]) == {"made"}
    assert {"prepare", "views", "train", "validate", "centres"} <= set(report.seconds)
    saved = json.loads((tmp_path / "run" / "report.json").read_text())
    assert saved["scores"]["result"]["made"]["value"] == report.scores["result"]["made"].value
    with (tmp_path / "run" / "curves.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(bool(row["loss/supcon"]) for row in rows) == 6
    assert sum(bool(row["map@1000/made"]) for row in rows) == 2
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    trained = load_run(tmp_path / "run")
    assert set(trained.centres) == {"user", "seller"}
    assert len(trained.centres["user"]) == 16


def test_frozen_stages_come_out_as_they_went_in_and_the_others_do_not(
    tiny: Config, tmp_path: Path
) -> None:
    whole = tiny.model_copy(
        update={"network": tiny.network.model_copy(update={"random_weights": False})}
    )
    train(whole, tmp_path / "run")
    from shoplens.training.backbones import load_backbone

    start = load_backbone("imagenet:lite0").stages.state_dict()
    end = load_run(tmp_path / "run").network.stages.state_dict()
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert {int(name.split(".")[0]) for name in changed} == {5, 6, 7, 8}


@pytest.mark.parametrize("frozen", [0, 5])
def test_a_stopped_run_goes_on_and_ends_in_the_same_weights(
    tiny: Config, tmp_path: Path, frozen: int
) -> None:
    config = tiny.model_copy(
        update={"network": tiny.network.model_copy(update={"frozen_stages": frozen})}
    )
    train(config, tmp_path / "whole")

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=stop)
    report = train(config, tmp_path / "cut", resume=True)
    assert report.steps == 6
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert (tmp_path / "cut" / "curves.csv").read_text() == (
        tmp_path / "whole" / "curves.csv"
    ).read_text()


def test_a_seed_decides_the_weights(tiny: Config, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        train(tiny.model_copy(update={"seed": seed}), tmp_path / name)
    one, two, other = (weights(tmp_path / name) for name in ("one", "two", "other"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_training_teaches(tiny: Config, tmp_path: Path) -> None:
    """Among the training products, positives come nearer than they were under the start weights."""
    values = tiny.model_dump()
    values["losses"] = [{"kind": "supcon"}]
    values["network"] |= {"random_weights": False, "frozen_stages": 6}
    values["optimiser"] |= {"epochs": 1, "steps_per_epoch": 40, "learning_rate": 1e-3}
    train(Config.model_validate(values), tmp_path / "run")
    with (tmp_path / "run" / "curves.csv").open() as stream:
        losses = [float(r["loss/supcon"]) for r in csv.DictReader(stream) if r["loss/supcon"]]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_no_epochs_keep_the_start_weights(tiny: Config, tmp_path: Path) -> None:
    untrained = tiny.model_copy(
        update={"optimiser": tiny.optimiser.model_copy(update={"epochs": 0})}
    )
    report = train(untrained, tmp_path / "run")
    assert report.steps == 0
    assert report.scores["start"] == report.scores["result"]


def test_a_larger_model_than_its_views_has_the_centres_of_its_own_size(
    tiny: Config, tmp_path: Path
) -> None:
    def of_size(**sizes: int) -> Config:
        network = tiny.network.model_copy(update={"input_size": sizes.get("model")})
        views = tiny.views.model_copy(update={"input_size": sizes["views"]})
        still = tiny.optimiser.model_copy(update={"epochs": 0})
        return tiny.model_copy(update={"network": network, "views": views, "optimiser": still})

    small, large = of_size(views=32), of_size(views=64)
    mixed = of_size(views=32, model=64)
    for name, config in (("small", small), ("large", large), ("mixed", mixed)):
        train(config, tmp_path / name)
    found = {name: load_run(tmp_path / name) for name in ("small", "large", "mixed")}
    assert found["mixed"].centres == found["large"].centres != found["small"].centres
    assert make_recipe(found["mixed"]).input_size == 64
    assert make_recipe(found["small"]).input_size == 32


def test_views_smaller_than_the_model_are_learnt_from(tiny: Config, tmp_path: Path) -> None:
    network = tiny.network.model_copy(update={"input_size": 64})
    train(tiny.model_copy(update={"network": network}), tmp_path / "run")
    (file,) = (tmp_path / "run" / "views").glob("*.npy")
    assert np.load(file, mmap_mode="r").shape[-1] == 32 // 16
    assert load_run(tmp_path / "run").config.input_size == 64


def test_a_share_of_the_start_weights_is_chosen_by_validation(tiny: Config, tmp_path: Path) -> None:
    config = tiny.model_copy(
        update={"averaging": tiny.averaging.model_copy(update={"start_share": (0.0, 1.0)})}
    )
    report = train(config, tmp_path / "run")
    best = max(report.scores["result"]["made"].value, report.scores["start"]["made"].value)
    assert report.scores["result"]["made"].value == best
    assert report.start_share in (0.0, 1.0)


def test_a_folder_with_a_run_is_not_written_over(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path / "run")
    with pytest.raises(DataError, match="--resume"):
        train(tiny, tmp_path / "run")
    with pytest.raises(DataError, match="another configuration"):
        train(tiny.model_copy(update={"seed": 9}), tmp_path / "run", resume=True)


def test_a_folder_without_a_run_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"model\.pt"):
        load_run(tmp_path)


def test_photos_that_cannot_be_read_are_counted(tiny: Config, tmp_path: Path) -> None:
    (tiny.photos[0].table.parent / "red-user-0.jpg").write_bytes(b"no photo")
    report = train(tiny, tmp_path / "run")
    assert report.to_json()["failures"] == {"not_an_image": 1}


def test_a_soup_is_never_worse_than_the_last_epoch(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path / "plain")
    soup = tiny.model_copy(update={"averaging": tiny.averaging.model_copy(update={"soup": True})})
    report = train(soup, tmp_path / "soup")
    assert len(list((tmp_path / "soup" / "epochs").glob("*.pt"))) == 2
    with (tmp_path / "plain" / "curves.csv").open() as stream:
        by_epoch = [float(r["map@1000/made"]) for r in csv.DictReader(stream) if r["map@1000/made"]]
    assert report.scores["result"]["made"].value >= max(by_epoch) - 1e-6
