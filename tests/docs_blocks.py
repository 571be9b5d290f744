"""The blocks of code in README and docs: which are run, how, and which are marked as not run.

A block is Python (```python), JavaScript (```js) or commands (``` or ```console, where `$ ` begins
a command and the lines below show its output). Every such block is run, unless an HTML comment
above it says why not:

    <!-- not run: needs a Ray cluster -->

`<!-- run: NAME -->` asks for a preparation of that name (`PREPARATIONS`). It begins in the folder
that the page began in, as Python does, whatever folder commands went to. Blocks of other kinds
(```text, ```json) are neither. The blocks of a page are run one after another in one folder, as a
reader would type them, and share their Python names. `shoplens serve` goes on until the end of the
page, on a free port: its address in later blocks is replaced.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import made_layouts
import numpy as np
from conftest import ROOT
from PIL import Image

from shoplens import Embeddings, read_dataset

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
COMMANDS = ("", "console")
PLACEHOLDERS = ("DATASET", "FOLDER")
"""Words in commands that stand for a labelled test set."""
CODE = ("python", "js")
OTHERS = ("text", "json", "layers", "toml", "yaml")

FENCE = re.compile(
    r"(?:^ *<!-- (?P<marker>(?:(?!-->).)*) -->\n)?"
    r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    row: int
    kind: str
    text: str
    not_run: str | None = None
    """Why not."""
    preparation: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.row}"


@dataclass(frozen=True)
class Command:
    """A command, and the lines that the page shows below it."""

    words: list[str]
    shown: list[str]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of Python and of commands on a page.

    Raises:
        ValueError: a block is of a kind that nobody knows, or a marker is none.
    """
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        row = text.count("\n", 0, fence.start("kind")) + 1
        kind, marker = fence["kind"], fence["marker"]
        if kind in OTHERS:
            continue
        if kind not in (*CODE, *COMMANDS):
            raise ValueError(f"{page.name}, line {row}: a block of an unknown kind, {kind!r}")
        what, _, rest = (marker or "").partition(": ")
        if what not in ("", "run", "not run") or (what and not rest):
            raise ValueError(f"{page.name}, line {row}: no marker of blocks: {marker!r}")
        found.append(
            Block(
                page,
                row,
                kind,
                fence["text"],
                rest if what == "not run" else None,
                rest if what == "run" else None,
            )
        )
    return found


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a block."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.kind != "console":
        lines = [f"$ {line}" for line in lines if line.strip()]
    shown: list[str] = []
    words: list[str] = []
    for line in [*lines, "$ "]:
        if not line.startswith("$ "):
            shown.append(line)
            continue
        if words:
            yield Command(words, shown)
            words, shown = [], []
        *before, words = _split(shlex.split(line[2:], comments=True))
        for each in before:
            yield Command(each, [])


def _split(words: list[str]) -> list[list[str]]:
    """Split a line at its `&&`."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def furnish(folder: Path) -> None:
    """Put into a folder what the pages suppose: photos, a snapshot, a test set, the examples."""
    furniture = ROOT / "examples" / "furniture"
    (folder / "examples").symlink_to(ROOT / "examples")
    for name in PLACEHOLDERS:
        shutil.copytree(ROOT / "src" / "shoplens" / "sample", folder / name)
    (folder / "photos").mkdir()
    shown = sorted((furniture / "gallery").glob("*.jpg"))
    for photo in shown[:8]:
        shutil.copy(photo, folder / "photos")
    with Image.open(shown[0]) as photo:
        photo.resize((500, 400)).save(folder / "snapshot.jpg")
        photo.save(folder / "other.jpg")


Shoplens = Callable[..., object]


def two_rankings(folder: Path, shoplens: Shoplens) -> None:
    """Write rankings of the sample to compare."""
    _rank_twice("DATASET", "a.npz", "b.npz", shoplens)


def before_and_after(folder: Path, shoplens: Shoplens) -> None:
    """Write rankings of the furniture to compare."""
    _rank_twice("examples/furniture", "after.npz", "before.npz", shoplens)


def _rank_twice(dataset: str, first: str, second: str, shoplens: Shoplens) -> None:
    """Write a ranking by the built-in model, and one by a part of its vectors."""
    shoplens("rank", dataset, "-o", first, "--save-vectors", "vectors")
    photos = read_dataset(dataset)
    for side in ("queries", "gallery"):
        file = Path("vectors") / f"{side}.parquet"
        saved = Embeddings.load(file, getattr(photos, side))
        np.save(f"{side}.npy", saved.vectors[:, :128])
    sides = ("--query-vectors", "queries.npy", "--gallery-vectors", "gallery.npy")
    shoplens("rank", dataset, "-o", second, *sides)


def two_submissions(folder: Path, shoplens: Shoplens) -> None:
    """Write a submission that guesses, and one that uses the built-in model."""
    shoplens("challenge", "new", "by-chance", "--ranker", "random")
    shoplens("challenge", "new", "with-model")


def an_answer(folder: Path, shoplens: Shoplens) -> None:
    """Write an answer to the sample."""
    shoplens("rank", "FOLDER", "-o", "answer.npy")


def an_old_submission(folder: Path, shoplens: Shoplens) -> None:
    """Write a submission that guesses."""
    shoplens("challenge", "new", "old-submission", "--ranker", "random")


def a_challenge(folder: Path, shoplens: Shoplens) -> None:
    """Create a challenge without submissions."""
    shoplens("challenge", "create", "autumn", "--data", "examples/furniture")


def tagged_photos(folder: Path, shoplens: Shoplens) -> None:
    """Sort the sample's photos by who took them, and write a table of others to train with."""
    rows = {"user": "queries", "seller": "gallery"}
    shutil.rmtree(folder / "photos")
    for domain, side in rows.items():
        header, *lines = (folder / "DATASET" / f"{side}.csv").read_text("utf-8").splitlines()
        names = header.split(",")
        for line in lines:
            values = dict(zip(names, line.split(","), strict=True))
            place = folder / "photos" / domain / values["product_id"]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "DATASET" / values["img_path"], place)
    lines = ["img_path,source,domain,product_id,category"]
    for number in range(4):
        name = f"train-{number}.jpg"
        Image.linear_gradient("L").rotate(90 * number).convert("RGB").save(folder / name)
        lines.append(f"{name},made,seller,p{number},gradient")
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def products(folder: Path, shoplens: Shoplens) -> None:
    """Write a table of the photos with attributes."""
    lines = ["seller_img_id,img_path,product_id,category,price"]
    for number, photo in enumerate(sorted((folder / "photos").iterdir())):
        category = ("chair", "lamp")[number % 2]
        lines.append(f"{number},photos/{photo.name},p{number // 2},{category},{30 * number}")
    (folder / "products.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def published_datasets(folder: Path, shoplens: Shoplens) -> None:
    """Write tiny trees in the layouts of two published datasets."""
    made_layouts.stanford_online_products(folder)
    made_layouts.rp2k(folder)


PREPARATIONS: dict[str, Callable[[Path, Shoplens], None]] = {
    "with two rankings": two_rankings,
    "with rankings from before and after": before_and_after,
    "with two submissions": two_submissions,
    "with an answer": an_answer,
    "with an old submission": an_old_submission,
    "with a challenge": a_challenge,
    "with tagged photos": tagged_photos,
    "with a table of products": products,
    "with published datasets": published_datasets,
}
"""By the name that a marker uses: gets the folder and a function that runs `shoplens`."""
