from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from shoplens.errors import DataError, MissingError
from shoplens.training.config import Augmentation, Config, read_config

SMALLEST = """
name: small
licence: Apache-2.0
photos:
  - table: training.csv
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, text)
    return str(caught.value)


def test_the_smallest_file(tmp_path: Path) -> None:
    config = read(tmp_path, SMALLEST)
    assert config.name == "small"
    assert config.losses[0].kind == "supcon"
    assert config.optimiser.epochs == 10


def test_values_are_taken(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        SMALLEST
        + """
network: {frozen_stages: 5, dimension: 256, nested: [64, 128]}
losses:
  - {kind: arcface, margin: 0.4}
  - {kind: keep, weight: 0.5}
optimiser: {learning_rate: 1e-3}
averaging: {start_share: [0, 0.3]}
""",
    )
    assert config.network.nested == (64, 128)
    assert [loss.kind for loss in config.losses] == ["arcface", "keep"]
    assert config.optimiser.learning_rate == 0.001  # YAML 1.1 takes 1e-3 for a string
    assert config.averaging.start_share == (0, 0.3)


def test_photos_are_taken_as_they_are_unless_augmentation_is_asked_for(tmp_path: Path) -> None:
    config = read(tmp_path, SMALLEST + "views: {augmentation: none}\n")
    assert set(config.views.augmentation.model_dump().values()) == {0}
    assert read(tmp_path, SMALLEST).views.augmentation == config.views.augmentation
    full = read(tmp_path, SMALLEST + "views: {augmentation: full}\n")
    assert full.views.augmentation == Augmentation()
    milder = read(tmp_path, SMALLEST + "views: {augmentation: {blur: 0}}\n")
    assert milder.views.augmentation == Augmentation(blur=0)
    assert "views.augmentation" in complaint(
        tmp_path, SMALLEST + "views: {augmentation: nothing}\n"
    )


def test_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    absolute = tmp_path / "elsewhere" / "more.csv"
    config = read(tmp_path, SMALLEST + f"  - table: {absolute}\n  - table: ../up.csv\n")
    assert [source.table for source in config.photos] == [
        tmp_path / "training.csv",
        absolute,
        tmp_path / ".." / "up.csv",
    ]


@pytest.mark.parametrize(
    ("lines", "place", "meant"),
    [
        ("license: MIT", "license", "licence"),
        ("optimizer: {}", "optimizer", "optimiser"),
        ("network: {frozen_stage: 3}", "network.frozen_stage", "frozen_stages"),
        ("views: {augmentation: {colour_varient: 1}}", "views.augmentation.colour_varient", ""),
        ("losses: [{kind: supcon}, {kind: keep, temprature: 1}]", "losses.1.temprature", ""),
        ("batch: {view: 4}", "batch.view", "views"),
    ],
)
def test_a_misspelt_key_is_told_what_it_was_meant_to_be(
    tmp_path: Path, lines: str, place: str, meant: str
) -> None:
    meant = (
        meant
        or {"colour_varient": "colour_variant", "temprature": "temperature"}[
            place.rsplit(".", 1)[1]
        ]
    )
    assert f"{place}: no such key; did you mean {meant!r}?" in complaint(tmp_path, SMALLEST + lines)


def test_a_misspelt_key_in_a_list_of_sources(tmp_path: Path) -> None:
    message = complaint(tmp_path, SMALLEST + "    repeats: 2\n")
    assert "photos.0.repeats: no such key; did you mean 'repeat'?" in message


def test_a_key_like_no_other_is_told_all_keys(tmp_path: Path) -> None:
    message = complaint(tmp_path, SMALLEST + "holdout: {zzz: 1}")
    assert "holdout.zzz: no such key; known keys are seed, share" in message


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("seed: many", "seed"),
        ("batch: {products: 1}", "batch.products"),
        ("batch: 32", "batch"),
        ("holdout: {share: 1.5}", "holdout.share"),
        ("losses: []", "losses"),
        ("losses: [{kind: softmax}]", "losses.0.kind"),
        ("network: {dimension: 128, nested: [64, 128]}", "network"),
        ("averaging: {ema: 1}", "averaging.ema"),
        ("optimiser: {learning_rate: .nan}", "optimiser.learning_rate"),
    ],
)
def test_a_value_outside_the_schema_is_named(tmp_path: Path, lines: str, place: str) -> None:
    assert f"\n  {place}: " in complaint(tmp_path, SMALLEST + lines)


def test_the_value_is_shown(tmp_path: Path) -> None:
    assert "(got 'many')" in complaint(tmp_path, SMALLEST + "seed: many")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    message = complaint(tmp_path, "name: 3\nseed: x\nphotos: []\nbach: {}\n")
    places = {line.split(":")[0].strip() for line in message.splitlines()[1:]}
    assert places == {"name", "seed", "photos", "bach", "licence"}
    assert message.startswith(str(tmp_path / "run.yaml"))


@pytest.mark.parametrize("text", ["a: [1, 2", "\ta: 1", "a: b: c"])
def test_what_is_not_yaml_is_told(tmp_path: Path, text: str) -> None:
    assert "run.yaml is not YAML" in complaint(tmp_path, text)


@pytest.mark.parametrize("text", ["", "[1, 2]", "just words"])
def test_what_is_no_table_of_keys_is_told(tmp_path: Path, text: str) -> None:
    assert "must contain keys and values" in complaint(tmp_path, text)


def test_keys_that_are_no_words_are_told(tmp_path: Path) -> None:
    assert "run.yaml" in complaint(tmp_path, SMALLEST + "1: 2\n")


def test_tags_run_no_code(tmp_path: Path) -> None:
    assert "is not YAML" in complaint(tmp_path, "name: !!python/object/apply:os.getcwd []")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.yaml"):
        read_config(tmp_path / "none.yaml")


def test_a_file_of_other_bytes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_config(path)


def test_a_configuration_does_not_change(tmp_path: Path) -> None:
    config = read(tmp_path, SMALLEST)
    for section, key in ((config, "seed"), (config.batch, "views"), (config.losses[0], "kind")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, 1)
    assert isinstance(config.losses, tuple)
