from __future__ import annotations

import json
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from shoplens import embed, load_encoder
from shoplens.errors import MissingError, ModelError
from shoplens.models import load_recipe, unit
from shoplens.models.encoder import LeadingEncoder, RecipeEncoder
from shoplens.models.ensemble import Ensemble, Member
from shoplens.models.linear_head import LinearHead
from shoplens.models.model_folder import read_model
from shoplens.models.onnx_encoder import OnnxEncoder
from shoplens.parallel import parallel_map
from shoplens.records import Domain, Photo, PhotoSet, Vectors

MakeModel = Callable[..., Path]


def squares(n: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(n, 16, 16, 3), dtype=np.uint8)


def weights(d: int, f: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(d, f)).astype(np.float32)


ZERO = np.zeros(8, np.float32)


@pytest.fixture
def two(make_model: MakeModel) -> tuple[Path, Path]:
    """Two models of one size that differ in what they subtract."""
    return make_model("a"), make_model("b", mean=[90.0, 127.0, 160.0], licence="MIT")


@pytest.fixture
def write(tmp_path: Path, two: tuple[Path, Path]) -> Callable[..., Path]:
    """Write an ensemble beside its two members; returns its folder."""

    def make(*members: dict[str, object], **values: object) -> Path:
        folder = tmp_path / "models"
        entries = members or ({"model": "a", "weight": 3}, {"model": "b", "weight": 1})
        text = json.dumps({"name": "both", "members": entries, **values})
        (folder / "ensemble.json").write_text(text, encoding="utf-8")
        return folder

    return make


def test_cosines_are_the_weighted_mean_of_the_members(two: tuple[Path, Path]) -> None:
    first, second = (load_encoder(path) for path in two)
    both = Ensemble("both", [Member(first, 3), Member(second, 1)])
    pixels = squares(5)
    vectors = both.embed([(square[None],) * 2 for square in pixels], ["user"] * 5)
    assert vectors.shape == (5, 96)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    a, b = (encoder.encode(pixels, ["user"] * 5) for encoder in (first, second))
    np.testing.assert_allclose(vectors @ vectors.T, 0.75 * a @ a.T + 0.25 * b @ b.T, atol=1e-6)


def test_an_ensemble_speaks_for_its_members(two: tuple[Path, Path]) -> None:
    both = Ensemble("both", [Member(load_encoder(path), 1) for path in two])
    assert (both.name, both.dimension, both.nested) == ("both", 96, ())
    assert both.decode_target() == (16, "shorter")
    assert [member.weight for member in both.members] == [0.5, 0.5]


def test_the_fingerprint_is_of_members_and_weights(two: tuple[Path, Path]) -> None:
    a, b = (load_encoder(path) for path in two)

    def fingerprint(*members: tuple[object, float], name: str = "both") -> str:
        return Ensemble(name, [Member(*member) for member in members]).fingerprint  # type: ignore[arg-type]

    same = fingerprint((a, 3), (b, 1))
    assert len(same) == 16
    assert same == fingerprint((a, 0.75), (b, 0.25)) == fingerprint((a, 3), (b, 1), name="other")
    others = [fingerprint((a, 1), (b, 1)), fingerprint((b, 1), (a, 3)), fingerprint((a, 1))]
    assert len({same, a.fingerprint, b.fingerprint, *others}) == 6


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_impossible_weights_are_refused(two: tuple[Path, Path], weight: float) -> None:
    with pytest.raises(ModelError, match="weight of a must be a number above 0"):
        Member(load_encoder(two[0]), weight)


def test_an_ensemble_needs_members() -> None:
    with pytest.raises(ModelError, match="both has no members"):
        Ensemble("both", [])


def test_the_members_of_a_member_stand_in_its_place(two: tuple[Path, Path]) -> None:
    a, b = (load_encoder(path) for path in two)
    inner = Ensemble("inner", [Member(a, 1), Member(b, 3)])
    outer = Ensemble("outer", [Member(inner, 2), Member(a, 2)])
    assert [member.encoder for member in outer.members] == [a, b, a]
    assert [member.weight for member in outer.members] == [0.125, 0.375, 0.5]
    flat = Ensemble("flat", [Member(a, 1), Member(b, 3), Member(a, 4)])
    assert outer.fingerprint == flat.fingerprint
    pixels = squares(4)
    vectors = outer.embed([(square[None],) * 3 for square in pixels], ["user"] * 4)
    joined = inner.embed([(square[None],) * 2 for square in pixels], ["user"] * 4)
    alone = a.encode(pixels, ["user"] * 4)
    expected = (joined @ joined.T + alone @ alone.T) / 2
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-6)


def test_a_head_takes_what_the_members_give(two: tuple[Path, Path]) -> None:
    a, b = (load_encoder(path) for path in two)
    centre = np.linspace(-0.1, 0.1, 8, dtype=np.float32)
    head = LinearHead(weights(8, 96), np.ones(8, np.float32), {"seller": centre})
    plain = Ensemble("both", [Member(a, 3), Member(b, 1)])
    both = Ensemble("both", [Member(a, 3), Member(b, 1)], head=head, nested=[2, 4])
    assert (both.dimension, both.nested) == (8, (2, 4))
    prepared = [(square[None],) * 2 for square in squares(4)]
    domains: list[Domain] = ["user", "seller", "seller", "user"]
    expected = head.vectors(plain.embed(prepared, domains), domains)
    np.testing.assert_array_equal(both.embed(prepared, domains), expected)
    assert both.embed([], []).shape == (0, 8)
    cut = LeadingEncoder(both, 4).embed(prepared, domains)
    np.testing.assert_allclose(cut, unit(expected[:, :4]), atol=1e-6)
    assert both.fingerprint != plain.fingerprint
    other = LinearHead(head.weight, head.bias, {"seller": centre * 2})
    assert Ensemble("x", both.members, head=other).fingerprint != both.fingerprint


def test_a_member_with_a_head_stays_whole(two: tuple[Path, Path]) -> None:
    a, b = (load_encoder(path) for path in two)
    inner = Ensemble("inner", [Member(a, 1), Member(b, 3)], head=LinearHead(weights(8, 96), ZERO))
    outer = Ensemble("outer", [Member(b, 1), Member(inner, 3)])
    assert [member.encoder for member in outer.members] == [b, inner]
    assert (outer.dimension, len(outer.recipes)) == (48 + 8, 3)
    # Each network is shown what was prepared for it.
    shown = [squares(4, seed) for seed in range(3)]
    vectors = outer.embed(
        [tuple(one[None] for one in each) for each in zip(*shown, strict=True)], ["user"] * 4
    )
    joined = inner.embed(
        [(x[None], y[None]) for x, y in zip(*shown[1:], strict=True)], ["user"] * 4
    )
    alone = b.encode(shown[0], ["user"] * 4)
    expected = 0.75 * joined @ joined.T + 0.25 * alone @ alone.T
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "nested", "problem"),
    [
        (LinearHead(weights(8, 95), ZERO), [], "takes 95 numbers, and its members give 96"),
        (None, [4], r"cannot be cut \(`nested`\) without a head"),
        (LinearHead(weights(8, 96), ZERO), [4, 2], "ascending lengths below 8, got"),
        (LinearHead(weights(8, 96), ZERO), [8], "ascending lengths below 8, got"),
        (LinearHead(weights(8, 96), ZERO), [0], "ascending lengths below 8, got"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    two: tuple[Path, Path], head: LinearHead | None, nested: list[int], problem: str
) -> None:
    with pytest.raises(ModelError, match=problem):
        Ensemble("both", [Member(load_encoder(p), 1) for p in two], head=head, nested=nested)


# From folders and zips.


def test_a_folder_may_hold_a_head(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(head="head.npz", nested=[4])
    with pytest.raises(MissingError, match=r"ensemble both has no head\.npz, its head"):
        load_encoder(folder)
    head = LinearHead(weights(8, 96), ZERO)
    (folder / "head.npz").write_bytes(head.to_bytes())
    found = load_encoder(folder)
    assert isinstance(found, Ensemble)
    assert found.head is not None
    assert (found.head.digest, found.nested) == (head.digest, (4,))
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder).as_posix())
    assert load_encoder(tmp_path / "both.zip").fingerprint == found.fingerprint
    (folder / "head.npz").write_bytes(b"no head")
    with pytest.raises(ModelError, match=r"models: the head is no \.npz file"):
        load_encoder(folder)


def test_a_member_of_a_built_in_ensemble_has_a_name() -> None:
    pair = load_encoder("lite0-lite2-products")
    assert isinstance(pair, Ensemble)
    for member, name in zip(pair.members, ("lite0", "lite2"), strict=True):
        alone = load_encoder(f"lite0-lite2-products/{name}")
        assert alone.fingerprint == member.encoder.fingerprint
    for name in ("lite1", "..", "lite0/", "head.npz", ""):
        with pytest.raises(MissingError, match="no model"):
            load_encoder(f"lite0-lite2-products/{name}")


def test_a_folder_with_its_members_is_an_ensemble(
    write: Callable[..., Path], two: tuple[Path, Path]
) -> None:
    found = load_encoder(write())
    a, b = (load_encoder(path) for path in two)
    expected = Ensemble("both", [Member(a, 3), Member(b, 1)])
    assert isinstance(found, Ensemble)
    assert (found.name, found.version) == (expected.name, expected.version)
    assert found.fingerprint == expected.fingerprint
    pixels = [(square[None],) * 2 for square in squares(2)]
    domains = ["user", "seller"]
    np.testing.assert_array_equal(
        found.embed(pixels, domains),  # type: ignore[arg-type]
        expected.embed(pixels, domains),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("prefix", ["", "both/"])
def test_a_zip_of_an_ensemble_is_the_same_model(
    tmp_path: Path, write: Callable[..., Path], prefix: str
) -> None:
    folder = write()
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    zipped = load_encoder(tmp_path / "both.zip")
    assert zipped.fingerprint == load_encoder(folder).fingerprint


def test_members_may_be_named_and_weights_left_out(write: Callable[..., Path]) -> None:
    found = load_encoder(write({"model": "lite0-products"}, {"model": "a"}, version="7"))
    assert isinstance(found, Ensemble)
    assert [m.encoder.name for m in found.members] == ["lite0-products", "a"]
    assert [m.weight for m in found.members] == [0.5, 0.5]
    assert found.decode_target()[0] == 384
    assert found.version == "7"


def test_a_member_may_be_a_zip_beside(
    tmp_path: Path, write: Callable[..., Path], two: tuple[Path, Path]
) -> None:
    with zipfile.ZipFile(tmp_path / "models" / "a.zip", "w") as archive:
        for path in two[0].iterdir():
            archive.write(path, path.name)
    zipped = load_encoder(write({"model": "a.zip"}, {"model": "b"}))
    assert zipped.fingerprint == load_encoder(write({"model": "a"}, {"model": "b"})).fingerprint


def test_a_zip_may_hold_zips_of_members(
    tmp_path: Path, write: Callable[..., Path], two: tuple[Path, Path]
) -> None:
    plain = load_encoder(write())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in two[0].iterdir():
            archive.write(path, f"a/{path.name}")
    folder = write({"model": "a.zip", "weight": 3}, {"model": "b"})
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.write(folder / "ensemble.json", "ensemble.json")
        archive.write(tmp_path / "a.zip", "a.zip")
        for path in two[1].iterdir():
            archive.write(path, f"b/{path.name}")
    assert load_encoder(tmp_path / "both.zip").fingerprint == plain.fingerprint


def test_a_file_in_a_zip_that_is_no_zip_is_refused(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    folder = write({"model": "a.zip"})
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.write(folder / "ensemble.json", "ensemble.json")
        archive.writestr("a.zip", b"no zip")
    with pytest.raises(ModelError, match=r"a\.zip: neither a folder nor a zip of one"):
        load_encoder(tmp_path / "both.zip")


def test_a_member_that_is_not_there_is_missing(write: Callable[..., Path]) -> None:
    with pytest.raises(MissingError, match="no model 'lite2-product'"):
        load_encoder(write({"model": "lite2-product"}))


def test_a_member_may_be_an_ensemble(tmp_path: Path, write: Callable[..., Path]) -> None:
    both = write()
    inner = tmp_path / "models" / "inner"
    inner.mkdir()
    text = json.dumps({"name": "inner", "members": [{"model": str(both / "b")}]})
    (inner / "ensemble.json").write_text(text)
    found = load_encoder(write({"model": "a", "weight": 3}, {"model": "inner"}))
    assert isinstance(found, Ensemble)
    assert [member.encoder.name for member in found.members] == ["a", "b"]


def test_an_ensemble_cannot_be_a_member_of_itself(write: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="is this one a member of itself"):
        load_encoder(write({"model": "."}))


def test_an_ensemble_has_no_recipe(write: Callable[..., Path]) -> None:
    for model in (write(), "lite0-lite2-products"):
        with pytest.raises(ModelError, match="it is an ensemble of several models"):
            load_recipe(model)


def test_ensembles_may_not_name_each_other(tmp_path: Path, write: Callable[..., Path]) -> None:
    inner = tmp_path / "models" / "inner"
    inner.mkdir()
    text = json.dumps({"name": "inner", "members": [{"model": "../../models"}]})
    (inner / "ensemble.json").write_text(text)
    with pytest.raises(ModelError, match="is this one a member of itself"):
        load_encoder(write({"model": "a"}, {"model": "inner"}))


@pytest.mark.parametrize(("n_levels", "loads"), [(4, True), (5, False)])
def test_ensembles_may_be_nested_to_a_depth(
    tmp_path: Path, two: tuple[Path, Path], n_levels: int, loads: bool
) -> None:
    model = two[0]
    for level in range(n_levels + 1):
        folder = tmp_path / f"level-{level}"
        folder.mkdir()
        text = json.dumps({"name": "one", "members": [{"model": str(model)}]})
        (folder / "ensemble.json").write_text(text)
        model = folder
    if loads:
        assert load_encoder(model).dimension == 48
    else:
        with pytest.raises(ModelError, match="nested too deeply"):
            load_encoder(model)


def test_an_ensemble_cannot_be_cut(write: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="cannot be cut to 48 dimensions; it offers 96"):
        load_encoder(write(), dimension=48)
    assert load_encoder(write(), dimension=96).dimension == 96


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ('{"members": ' + "[" * 100_000, "nested too deeply|is not JSON|`array`"),
        ("[]", "Expected `object`, got `array`"),
        ('{"name": "x"}', "missing required field `members`"),
        ('{"name": "x", "members": [], "kind": 1}', "unknown field `kind`"),
        ('{"name": "x", "members": []}', "x has no members"),
        ('{"name": "", "members": [{"model": "a"}]}', r"length >= 1 - at `\$\.name`"),
        ('{"name": 5, "members": [{"model": "a"}]}', r"Expected `str`, got `int` - at `\$\.name`"),
        ('{"name": "x", "members": {"a": 1}}', r"Expected `array`.*\$\.members"),
        ('{"name": "x", "members": ["a"]}', r"\$\.members\[0\]"),
        ('{"name": "x", "members": [{"weight": 1}]}', "missing required field `model`"),
        ('{"name": "x", "members": [{"model": 5}]}', r"\$\.members\[0\]\.model"),
        ('{"name": "x", "members": [{"model": "a", "share": 1}]}', "unknown field `share`"),
        ('{"name": "x", "members": [{"model": "a"}], "head": "../a"}', r"\$\.head"),
        ('{"name": "x", "members": [{"model": "a"}], "nested": [4]}', "without a head"),
        ('{"name": "x", "members": [{"model": "a", "weight": 0}]}', "weight of a must be"),
        ('{"name": "x", "members": [{"model": "a", "weight": null}]}', r"\$\.members\[0\]\.weight"),
    ],
)
def test_a_faulty_ensemble_is_refused(write: Callable[..., Path], text: str, problem: str) -> None:
    folder = write()
    (folder / "ensemble.json").write_text(text)
    with pytest.raises(ModelError, match=problem) as caught:
        load_encoder(folder)
    assert str(folder) in str(caught.value)


class Meeting(RecipeEncoder):
    """An encoder that notes its thread, and may wait for others to be called at the same time."""

    def __init__(self, folder: Path, barrier: threading.Barrier | None = None) -> None:
        self._encoder = OnnxEncoder(*read_model(folder))
        self.recipe = self._encoder.recipes[0]
        self.fingerprint = self._encoder.fingerprint
        self.barrier = barrier
        self.threads: list[int] = []

    def encode(self, pixels: npt.NDArray[np.uint8], domains: Sequence[Domain]) -> Vectors:
        self.threads.append(threading.get_ident())
        if self.barrier is not None:
            self.barrier.wait(timeout=20)
        return self._encoder.encode(pixels, domains)


def test_members_compute_at_once_on_idle_cores(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplens.models.ensemble.usable_cores", lambda: 2)
    barrier = threading.Barrier(2)
    both = Ensemble("both", [Member(Meeting(path, barrier), 1) for path in two])
    found = both.embed([(squares(1),) * 2], ["user"])
    alone = Ensemble("both", [Member(load_encoder(path), 1) for path in two])
    monkeypatch.setattr("shoplens.models.ensemble.usable_cores", lambda: 1)
    np.testing.assert_array_equal(found, alone.embed([(squares(1),) * 2], ["user"]))


def test_members_compute_at_once_for_a_single_photo(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplens.models.ensemble.usable_cores", lambda: 2)
    barrier = threading.Barrier(2)
    both = Ensemble("both", [Member(Meeting(path, barrier), 1) for path in two])
    Image.fromarray(squares(1)[0]).save(tmp_path / "photo.png")
    photos = PhotoSet([Photo(0, "photo.png", tmp_path / "photo.png", "user")])
    assert embed(photos, both, cache=False).failures == ()


def test_members_take_turns_where_every_core_has_a_call(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplens.models.ensemble.usable_cores", lambda: 2)
    waiting = threading.Barrier(2)
    slow = Ensemble("slow", [Member(Meeting(two[0], waiting), 1)])
    members = [Meeting(path) for path in two]
    both = Ensemble("both", [Member(member, 1) for member in members])
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow.embed, [(squares(1),)], ["user"])
        while waiting.n_waiting == 0:
            assert not first.done()
            time.sleep(0.001)
        both.embed([(squares(1),) * 2], ["user"])
        waiting.wait(timeout=20)
        first.result()
    assert [member.threads for member in members] == [[threading.get_ident()]] * 2


def test_members_take_turns_where_many_photos_are_embedded(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplens.models.ensemble.usable_cores", lambda: 8)
    members = [Meeting(path) for path in two]
    both = Ensemble("both", [Member(member, 1) for member in members])

    def worker(shown: npt.NDArray[np.uint8]) -> int:
        both.embed([(shown,) * 2], ["user"])
        return threading.get_ident()

    workers = list(parallel_map(worker, [squares(1)], 1))
    assert members[0].threads == members[1].threads == workers


def test_an_error_of_a_member_is_that_of_the_ensemble(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoplens.models.ensemble.usable_cores", lambda: 2)
    broken = threading.Barrier(2)
    broken.abort()
    both = Ensemble("both", [Member(Meeting(two[0]), 1), Member(Meeting(two[1], broken), 1)])
    # A call that failed is no longer under way, so the last one still finds an idle core.
    for _ in range(2):
        with pytest.raises(threading.BrokenBarrierError):
            both.embed([(squares(1),) * 2], ["user"])
    barrier = threading.Barrier(2)
    at_once = Ensemble("both", [Member(Meeting(path, barrier), 1) for path in two])
    at_once.embed([(squares(1),) * 2], ["user"])
