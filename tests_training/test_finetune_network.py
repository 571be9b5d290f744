from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import EXPORTER_WARNINGS
from PIL import Image

from shoplens import embed, evaluate, load_encoder, rank, read_dataset
from shoplens.adaptation import choosing, finetuning, network_stage
from shoplens.adaptation.choosing import Fold, Pairs, average_precisions
from shoplens.adaptation.finetuning import finetune
from shoplens.adaptation.frozen import FrozenModel
from shoplens.adaptation.frozen_ensemble import freeze
from shoplens.adaptation.network_stage import NetworkStage
from shoplens.adaptation.ways import look_at
from shoplens.cli.adaptation_options import tell_adapted
from shoplens.datasets.dataset import Dataset
from shoplens.errors import ModelError, ShoplensError
from shoplens.models import BASE_MODEL, DEFAULT_MODEL, load_recipe
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import read_model, write_model
from shoplens.training.backbones import Backbone
from shoplens.training.config import NetworkConfig
from shoplens.training.graphs import to_onnx
from shoplens.training.lite import lite_stages, load_convolutions
from shoplens.training.network import Network
from shoplens.training.tuning import Tuning

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from made_grids import make_grids

pytestmark = [pytest.mark.filterwarnings(warning) for warning in EXPORTER_WARNINGS]
SIDE = 96
QUICK = Tuning(steps=15, products=12, rate=1e-3, warm_up=2, weight_decay=0, saved_every=5)
IN_EARNEST = network_stage.TUNING
NETWORK_FITTED_TO = NetworkStage.fitted_to


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in network for small photos, with a head of random numbers."""
    weights, recipe = read_model(BASE_MODEL)
    stages = lite_stages("lite0")
    load_convolutions(stages, weights)
    grey = (127, 127, 127)
    backbone = Backbone(stages, 1280, recipe.mean, recipe.std, "pad", grey, ("made",))
    torch.manual_seed(0)
    network = Network(backbone, NetworkConfig(dimension=32)).eval()
    folder = tmp_path_factory.mktemp("models") / "small"
    made = replace(recipe, name="small", input_size=SIDE, dimension=32, nested=(), centres={})
    write_model(folder, to_onnx(network, SIDE), made)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer parts and steps than in earnest."""
    monkeypatch.setattr(choosing, "FOLDS", 2)
    monkeypatch.setattr(network_stage, "TUNING", QUICK)


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    return read_dataset(make_grids(tmp_path / "shop", 24, around=40))


@pytest.fixture
def red(tmp_path: Path) -> Dataset:
    """A shop whose users' photos are red: a head is certain to gain."""
    folder = make_grids(tmp_path / "red", 40, around=10)
    for file in (folder / "queries").iterdir():
        with Image.open(file) as picture:
            darker = np.asarray(picture) * np.array([1, 0.5, 0.5])
        Image.fromarray(darker.astype(np.uint8)).save(file)
    return read_dataset(folder)


def knowing_what_is_held_out(stage: NetworkStage, fold: Fold) -> tuple[Pairs, LinearHead]:
    every = fold._replace(kept=np.union1d(fold.kept, fold.held_out))
    return NETWORK_FITTED_TO(stage, every)


def convolutions(model: Path) -> list[bytes]:
    graph = onnx.load_from_string(read_model(model)[0]).graph
    return [t.SerializeToString() for t in graph.initializer if len(t.dims) == 4]


def test_photos_of_products_it_is_tuned_on_come_nearer(
    shop: Dataset, small: Path, tmp_path: Path
) -> None:
    seen = look_at(shop, FrozenModel(small), cache=False)
    pairs = seen.ways[0].pairs
    every = Fold(pairs.products, pairs.products, 0, 16.0)
    stage = NetworkStage(seen, 32, tmp_path / "mine")

    def score(pairs: Pairs, head: LinearHead) -> float:
        return float(average_precisions(pairs, head, np.arange(len(pairs.queries))).mean())

    before = score(pairs, every.head(pairs, 32))
    assert score(*stage.fitted_to(every)) > before + 0.05
    assert (tmp_path / "mine.unfinished").is_dir()
    stage.done()
    assert not (tmp_path / "mine.unfinished").exists()


def test_what_is_held_out_has_no_part_in_the_tuning(
    shop: Dataset, small: Path, tmp_path: Path
) -> None:
    seen = look_at(shop, FrozenModel(small), cache=False)
    way = seen.ways[0]
    pairs = way.pairs
    held_out, kept = pairs.products[:8], pairs.products[8:]
    fold = Fold(held_out, kept, 0, 16.0)
    # Sellers' photos of what is held out exchange their labels.
    other = dict(zip(pairs.products, [*held_out[::-1], *kept], strict=True))
    exchanged = replace(
        pairs,
        gallery_products=np.array([other[product] for product in pairs.gallery_products]),
    )
    changed = replace(seen, ways=(way._replace(pairs=exchanged),))
    found = [
        NetworkStage(each, 32, tmp_path / name).tuned(fold).weights
        for name, each in (("one", seen), ("other", changed))
    ]
    assert found[0] == found[1]
    # It does learn: from other products, something else.
    every = Fold(held_out, pairs.products, 0, 16.0)
    assert NetworkStage(seen, 32, tmp_path / "every").tuned(every).weights != found[0]


def test_of_many_products_one_part_is_validated(
    shop: Dataset, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkStage, "fitted_to", knowing_what_is_held_out)
    monkeypatch.setattr(finetuning, "MANY_PRODUCTS", 23)
    report = finetune(shop, tmp_path / "mine", model=small, network=True)
    assert report.network_gain is not None
    assert report.network_gain.exceeds(0)
    assert (report.n_products, report.n_queries) == (12, 24)


@pytest.mark.parametrize(("n_products", "steps"), [(20, 20), (200, 20), (500, 50), (9_000, 300)])
def test_more_products_take_more_steps(
    n_products: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_stage, "TUNING", IN_EARNEST)
    assert network_stage._steps(n_products) == steps


def test_a_network_that_wins_is_written(
    shop: Dataset, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkStage, "fitted_to", knowing_what_is_held_out)
    report = finetune(shop, tmp_path / "mine", model=small, network=True)
    assert report.network_gain is not None
    assert report.network_gain.exceeds(0)
    assert report.gain.after == report.network_gain.after
    assert report.output is not None
    assert report.to_json()["network"]["kept"]
    before, after = convolutions(small), convolutions(report.output)
    same = [one == other for one, other in zip(before, after, strict=True)]
    assert same == [True] * (len(same) - 4) + [False] * 4
    assert "last stages and head fitted to 24" in load_recipe(report.output).sources[-1]
    encoder = load_encoder(report.output)
    queries, gallery = (embed(photos, encoder) for photos in (shop.queries, shop.gallery))
    found = evaluate(rank(queries, gallery), shop)["map@1000"].value
    assert found > report.gain.after.value - 0.05
    # All of the network has to look at a photo again.
    assert report.n_cached == 0
    assert not (tmp_path / "mine.unfinished").exists()


def test_a_network_that_does_not_win_is_left_as_it_was(
    red: Dataset,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    alone = finetune(red, tmp_path / "alone", model=small)
    # Steps of no length change nothing.
    monkeypatch.setattr(network_stage, "TUNING", replace(QUICK, rate=0))
    report = finetune(red, tmp_path / "mine", model=small, network=True)
    assert report.network_gain is not None
    assert report.network_gain.difference.value == pytest.approx(0, abs=1e-3)
    assert report.gain == alone.gain
    assert alone.kept
    assert report.output is not None
    assert convolutions(report.output) == convolutions(small)
    assert not report.to_json()["network"]["kept"]
    assert tell_adapted(report, "queries", None) == 0
    told = capsys.readouterr()
    assert "gain of the network over the head" in told.out
    assert "the network stays as it is" in told.err


def test_a_stopped_run_goes_on_with_the_same_result(
    shop: Dataset, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkStage, "fitted_to", knowing_what_is_held_out)
    straight = finetune(shop, tmp_path / "straight", model=small, network=True, name="mine")
    told: list[tuple[str, int]] = []

    def stop(stage: str, done: int, total: int) -> None:
        told.append((stage, done))
        if (stage, done) == ("tune", 7):
            raise KeyboardInterrupt

    arguments = {"model": small, "network": True, "name": "mine"}
    with pytest.raises(KeyboardInterrupt):
        finetune(shop, tmp_path / "mine", progress=stop, **arguments)
    assert ("maps of queries", 48) in told
    assert (tmp_path / "mine.unfinished").is_dir()
    assert not (tmp_path / "mine").exists()
    told.clear()

    def tell(stage: str, done: int, total: int) -> None:
        told.append((stage, done))

    report = finetune(shop, tmp_path / "mine", progress=tell, **arguments)
    assert not [stage for stage, _ in told if stage.startswith("maps")]
    assert next(done for stage, done in told if stage == "tune") == 5
    assert report.new_fingerprint == straight.new_fingerprint
    assert not (tmp_path / "mine.unfinished").exists()


def test_what_is_unfinished_of_another_shop_is_begun_anew(
    shop: Dataset, small: Path, tmp_path: Path
) -> None:
    seen = look_at(shop, FrozenModel(small), cache=False)
    NetworkStage(seen, 32, tmp_path / "mine")
    left = tmp_path / "mine.unfinished" / "left.pt"
    left.touch()
    NetworkStage(seen, 32, tmp_path / "mine")
    assert left.exists()
    NetworkStage(seen, 16, tmp_path / "mine")
    assert not left.exists()
    of_the_user = tmp_path / "yours.unfinished" / "notes.txt"
    of_the_user.parent.mkdir()
    of_the_user.touch()
    with pytest.raises(ShoplensError, match="so it is left alone"):
        NetworkStage(seen, 16, tmp_path / "yours")
    assert of_the_user.exists()


def test_what_cannot_be_tuned_is_refused_before_photos_are_looked_at(
    shop: Dataset, tmp_path: Path
) -> None:
    def unexpected(*_: object) -> None:
        pytest.fail("photos were looked at")

    with pytest.raises(ModelError, match="no EfficientNet-Lite in floating point"):
        finetune(
            shop, tmp_path / "mine", model="lite0-products-int8", network=True, progress=unexpected
        )
    assert not (tmp_path / "mine.unfinished").exists()


def test_the_networks_of_an_ensemble_are_not_tuned(shop: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is an ensemble, whose networks are not tuned"):
        finetune(shop, tmp_path / "mine", model=DEFAULT_MODEL, network=True)
    assert not (tmp_path / "mine.unfinished").exists()


@pytest.mark.parametrize(("network", "expected"), [(True, BASE_MODEL), (False, DEFAULT_MODEL)])
def test_where_no_model_is_named_it_is_one_that_can_be_fitted(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool, expected: str
) -> None:
    def seen(*_: object, **__: object) -> None:
        raise LookupError

    monkeypatch.setattr(FrozenModel, "see", seen)
    asked = []

    def freezing(model: str, device: str) -> object:
        asked.append(model)
        return freeze(model, device)

    monkeypatch.setattr("shoplens.adaptation.finetuning.freeze", freezing)
    with pytest.raises(LookupError):
        finetune(shop, tmp_path / "mine", network=network)
    assert asked == [expected]
