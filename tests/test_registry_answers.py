"""Answer arrays that teams made themselves: taken in, checked, scored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Run
from made_challenges import END, NOW, SAMPLE, make_challenge, make_submission, send

from shoplens.challenge.registry.copies import require_copy
from shoplens.challenge.registry.intake import ANSWER, submit_answer
from shoplens.challenge.registry.submissions import list_submissions
from shoplens.challenge.registry.work import work
from shoplens.challenge.site.build import build_site
from shoplens.datasets.dataset import Dataset, read_dataset
from shoplens.errors import ChallengeError, DataError, MissingError, RankingError
from shoplens.ranking import Ranking

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return read_dataset(SAMPLE)


def perfect(dataset: Dataset) -> npt.NDArray[np.int32]:
    """Return the answer that puts all photos of each query's product first."""
    products = [photo.product_id for photo in dataset.gallery]
    rows = [
        sorted(range(len(products)), key=lambda at: products[at] != query.product_id)
        for query in dataset.queries
    ]
    return dataset.gallery.ids[np.array(rows)]


def save(folder: Path, array: npt.NDArray[Any], name: str = "mine.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


def test_an_answer_is_scored_and_not_run(tmp_path: Path, dataset: Dataset) -> None:
    registry = make_challenge(tmp_path, "Owls", accepts_answers=True)
    file = save(tmp_path, perfect(dataset))
    receipt = submit_answer(registry, file, "owls", now=NOW, tags=["external data"])
    assert (receipt.id, receipt.round, receipt.left_today) == (1, "main", 4)
    kept = require_copy(registry.submissions, receipt.content)
    assert [path.name for path in kept.iterdir()] == [ANSWER]
    np.testing.assert_array_equal(np.load(kept / ANSWER), perfect(dataset))

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("an answer is not run")

    [finished] = work(registry, runner=never, clock=lambda: NOW)
    assert (finished.outcome.verdict, finished.public) == ("ok", 1.0)
    [record] = list_submissions(registry, NOW)
    assert (record.kind, record.label, record.state) == ("answer", "mine", "done")
    assert record.tags == ("answer array", "external data")
    assert (record.public, record.private, record.seconds) == (1.0, None, None)
    assert list_submissions(registry, END)[0].private == 1.0
    public, private = registry.board("public", END), registry.board("private", END)
    built = build_site(tmp_path / "site", public, private, challenge=registry.folder)
    assert "answer array" in (built.folder / "submissions" / "1.html").read_text()


@pytest.mark.parametrize(
    ("chain", "batch_side", "tag"),
    [
        (("exact",), False, None),
        (("query-views(2)", "exact", "regions(3)"), False, None),
        (("exact", "alpha-qe:k=2,alpha=3,gap=0.1"), False, "gallery-side re-ranking"),
        (("exact", "csls:k=10,weight=0.35"), True, "batch-side re-ranking"),
    ],
)
def test_a_saved_ranking_that_was_re_ranked_is_tagged(
    tmp_path: Path, dataset: Dataset, chain: tuple[str, ...], batch_side: bool, tag: str | None
) -> None:
    registry = make_challenge(tmp_path, "Owls", accepts_answers=True)
    file = tmp_path / "mine.npz"
    ranking = Ranking(
        dataset.queries.ids, perfect(dataset), None, chain=chain, batch_side=batch_side
    )
    ranking.save(file)
    submit_answer(registry, file, "Owls", now=NOW)
    [record] = list_submissions(registry, NOW)
    assert record.tags == ("answer array", *([] if tag is None else [tag]))


def test_answers_and_folders_share_the_days_limit(tmp_path: Path, dataset: Dataset) -> None:
    registry = make_challenge(tmp_path, "Owls", accepts_answers=True, per_day=2)
    file = save(tmp_path, perfect(dataset))
    assert submit_answer(registry, file, "Owls", now=NOW).left_today == 1
    send(registry, make_submission(tmp_path / "folder"), "Owls")
    with pytest.raises(ChallengeError, match="2 a day are allowed"):
        submit_answer(registry, file, "Owls", now=NOW)
    again = submit_answer(registry, file, "Owls", now=NOW + DAY, label="again")
    assert again.same_as == (1,)
    assert [one.kind for one in list_submissions(registry, NOW)] == ["answer", "folder", "answer"]


def test_the_rules_hold_for_answers(tmp_path: Path, dataset: Dataset) -> None:
    file = save(tmp_path, perfect(dataset))
    folders_only = make_challenge(tmp_path, "Owls")
    with pytest.raises(ChallengeError, match="takes no answer arrays"):
        submit_answer(folders_only, file, "Owls", now=NOW)
    other = tmp_path / "other"
    other.mkdir()
    registry = make_challenge(other, "Owls", accepts_answers=True)
    for moment in (NOW - DAY, END):
        with pytest.raises(ChallengeError, match=r"no round|ended"):
            submit_answer(registry, file, "Owls", now=moment)
    with pytest.raises(DataError, match="no team 'Herons'"):
        submit_answer(registry, file, "Herons", now=NOW)
    with pytest.raises(MissingError):
        submit_answer(registry, tmp_path / "none.npy", "Owls", now=NOW)
    assert not list_submissions(registry, NOW)
    assert not list(registry.submissions.iterdir())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda answer: answer[1:], "39 rows"),
        (lambda answer: answer[:, 1:], "39 columns"),
        (lambda answer: answer + 10**6, "of no gallery photo"),
        (lambda answer: np.repeat(answer[:, :1], answer.shape[1], axis=1), "repeat"),
        (lambda answer: answer.astype(str), "text"),
        (lambda answer: answer.ravel(), "shape"),
    ],
)
def test_a_faulty_answer_is_refused_with_all_findings_and_does_not_count(
    tmp_path: Path, dataset: Dataset, change: Any, told: str
) -> None:
    registry = make_challenge(tmp_path, "Owls", accepts_answers=True)
    with pytest.raises(RankingError, match=told):
        submit_answer(registry, save(tmp_path, change(perfect(dataset))), "Owls", now=NOW)
    assert not list_submissions(registry, NOW)
    sound = save(tmp_path, perfect(dataset))
    assert submit_answer(registry, sound, "Owls", now=NOW).left_today == 4


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    registry = make_challenge(tmp_path, "Owls", accepts_answers=True)
    file = save(tmp_path, np.array([[Trap()]], dtype=object))
    with pytest.raises(RankingError, match="not an answer"):
        submit_answer(registry, file, "Owls", now=NOW)
    assert not (tmp_path / "sprung").exists()


def test_a_changed_ground_truth_is_noticed(tmp_path: Path, dataset: Dataset) -> None:
    registry = make_challenge(tmp_path, "Owls", accepts_answers=True)
    with registry.database.change(NOW) as change:
        change.execute("UPDATE challenge SET queries_sha256 = 'other'")
    with pytest.raises(DataError, match="ground truth has changed"):
        submit_answer(registry, save(tmp_path, perfect(dataset)), "Owls", now=NOW)


def test_an_answer_on_the_command_line(run: Run, tmp_path: Path, dataset: Dataset) -> None:
    place = tmp_path / "autumn"
    made = run(
        "challenge", "create", place, "--data", SAMPLE, "--accept-answers", "--json", "-"
    )  # fmt: skip
    assert made.json["accepts_answers"] is True
    run("challenge", "team", "add", place, "Owls")
    file = save(tmp_path, perfect(dataset))
    sent = run("challenge", "submit", place, file, "--team", "Owls", "--label", "by hand")
    assert "submission 1 is in the queue (round main); 4 more today" in sent.out
    assert run("challenge", "work", place).out.splitlines()[-1] == (
        "submission 1, Owls: ok, public mAP@1000 1.0000"
    )
    [shown] = run("challenge", "submissions", place, "--json", "-").json["submissions"]
    assert (shown["kind"], shown["public"], shown["wall_seconds"]) == ("answer", 1.0, None)
    refused = run("challenge", "submit", place, save(tmp_path, np.zeros((2, 2))), "--team", "Owls")
    assert refused.code == 1
    assert "error: the answer has 2 rows" in refused.err
