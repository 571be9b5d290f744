"""Make ``examples/furniture``: renders of free furniture models as a product search test set.

    python3 scripts/render_furniture/make.py --out examples/furniture [--jobs N]

Each product gets two studio photos (the gallery) and two phone-like snapshots in a room (the
queries, with a box around the product), so that a search from snapshot to studio photo can be
tried without any third-party picture. Runs again where it stopped: photos that exist are kept
(a higher count in retakes.json takes one anew). Seeded; the same Blender gives the same photos.

Needs Debian's ``blender`` (3.4), ``sweethome3d-furniture`` and ``python3-numpy`` (Blender uses
the system's Python), and Pillow and numpy in the Python that runs this script.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import re
import subprocess
import zipfile
import zlib
from pathlib import Path

from PIL import Image
from post import phone, studio
from products import CLUTTER, COLOURS, PAINTED, PRODUCTS, placement

HERE = Path(__file__).parent
MODELS = Path("/usr/share/sweethome3d/furniture/BlendSwap-CC-0.sh3f")
BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
RAW = Path("~/.cache/shoplens/furniture-raw")
SEED = 20
RETAKES: dict[str, int] = json.loads((HERE / "retakes.json").read_text())


def seed_of(text: str) -> int:
    """A photo's seed; its entry in retakes.json, a count, gives it another one."""
    return zlib.crc32(f"{SEED} {text} {RETAKES.get(text, 0)}".encode())


def read_catalogue(folder: Path) -> dict[str, dict]:
    """The collection's own list: for each model its file, size in metres, name and author."""
    entries: dict[str, dict[str, str]] = {}
    text = (folder / "PluginFurnitureCatalog.properties").read_text(encoding="latin-1")
    for line in text.splitlines():
        if found := re.match(r"(\w+)#(\d+)=(.*)", line.strip()):
            entries.setdefault(found[2], {})[found[1]] = found[3]
    catalogue = {}
    for entry in entries.values():
        model = Path(entry["model"]).stem
        catalogue[model] = {
            "model": model,
            "obj": str(folder / entry["model"].lstrip("/")),
            "size": [float(entry[k]) / 100 for k in ("width", "depth", "height")],
            "rotation": [float(x) for x in entry.get("modelRotation", "").split()],
            "name": entry["name"],
            "creator": entry.get("creator", "unknown"),
            "place": placement(model),
            "painted": PAINTED.get(model, ()),
            "clutter": model in CLUTTER,
        }
    return catalogue


def plan(model: str, size: list[float]) -> list[dict]:
    """The four photos of one product: what the scene script and the developing need to know."""
    shots = []
    colours = COLOURS.get(model, (None,) * 4)
    upright = size[2] > 1.15 * max(size[0], size[1])
    for k, name in enumerate(("s0", "s1", "u0", "u1")):
        full = f"{model}-{name}"
        rng = random.Random(seed_of(full))
        shot = {"name": full, "model": model, "seed": seed_of(full), "colour": colours[k]}
        if k < 2:
            side = 1 if zlib.crc32(model.encode()) % 2 else -1
            azimuth = side * rng.uniform(24, 42)
            if k == 1:
                azimuth = rng.choice((rng.uniform(-6, 6), -side * rng.uniform(30, 60)))
            shot |= {
                "kind": "seller",
                "style": int(rng.random() < (0.3 if k == 0 else 0.6)),
                "azimuth": azimuth,
                "elevation": rng.uniform(12, 24) if k == 0 else rng.uniform(4, 34),
                "lens": rng.uniform(55, 85),
                "roll": 0,
                "fill": rng.uniform(0.74, 0.88),
                "centre": [0.5, 0.5],
                "frame": [360, 360],
                "samples": 18,
            }
        else:
            tall = rng.random() < (0.85 if upright else 0.4)
            shot |= {
                "kind": "user",
                "mood": rng.choices(("day", "lamp", "flash"), (5, 4, 1.6))[0],
                "cut": rng.random() < 0.2,
                "look": rng.randrange(1000),
                "frame": [300, 400] if tall else [400, 300],
                "samples": 16,
            }
        shots.append(shot)
    return shots


def read_note(raw: Path, shot: dict) -> dict:
    """What the scene script noted of a photo; empty if it is missing or was planned otherwise."""
    path = raw / f"{shot['name']}.json"
    note = json.loads(path.read_text()) if path.exists() else {}
    return note if note.get("shot") == shot else {}


def render(args: argparse.Namespace, catalogue: dict, plans: list[list[dict]]) -> None:
    """Spread the products over some Blender processes and wait for them."""
    todo = [[s for s in shots if not read_note(args.raw, s)] for shots in plans]
    todo = [shots for shots in todo if shots]
    if not todo:
        return
    parts = [part for n in range(args.jobs) if (part := todo[n :: args.jobs])]
    jobs = args.raw / "jobs.json"
    jobs.write_text(json.dumps({"raw": str(args.raw), "catalogue": catalogue, "parts": parts}))
    threads = max((os.cpu_count() or 1) // len(parts), 1)
    running = []
    for n in range(len(parts)):
        command = ["blender", "-b", "-noaudio", "-t", str(threads), "--python-exit-code", "1"]
        command += ["-P", str(HERE / "scene.py"), "--", str(jobs), str(n)]
        log = (args.raw / f"log{n}.txt").open("w")
        running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
    if sum(process.wait() for process in running):
        raise SystemExit(f"Blender failed: see {args.raw}/log*.txt; run again to go on")


def number_of(text: str) -> int:
    """An id that fits int32, says nothing and stays when other products come or go."""
    return zlib.crc32(f"id {text}".encode()) % 2_000_000_000 + 1


def save(picture: Image.Image, path: Path, quality: int) -> None:
    """Write beside the place, then rename: a photo that exists is whole."""
    part = path.with_suffix(".part")
    picture.save(part, "JPEG", quality=quality, optimize=True)
    part.replace(path)


def develop(args: argparse.Namespace, plans: list[list[dict]]) -> list[dict]:
    """Make JPEGs and tables of the raw renders that exist; one row per product."""
    rng = random.Random(SEED)
    gallery, queries, made = [], [], []
    for shots in plans:
        notes = [read_note(args.raw, shot) for shot in shots]
        if not all(notes):
            continue
        model = shots[0]["model"]
        product = number_of(model)
        made.append({"model": model, "product_id": product})
        for shot, note in zip(shots, notes, strict=True):
            raw = args.raw / f"{shot['name']}.png"
            number = number_of(shot["name"])
            seller = shot["kind"] == "seller"
            path = f"{'gallery' if seller else 'queries'}/{number}.jpg"
            if seller:
                gallery.append([number, path, product])
            else:
                queries.append([number, path, *note["box"], product])
            target = args.out / path
            if target.exists() and target.stat().st_mtime >= raw.stat().st_mtime:
                continue
            mask = Image.open(args.raw / f"{shot['name']}-mask.png").convert("L")
            if seller:
                picture, quality = studio(Image.open(raw), mask, shot["style"], shot["seed"])
            else:
                picture, quality = phone(Image.open(raw), mask, shot["mood"], shot["seed"])
            save(picture, target, quality)
    for rows in (gallery, queries):
        if len({row[0] for row in rows}) < len(rows):
            raise SystemExit("two photos have the same id: change number_of")
    for rows in (gallery, queries):
        rng.shuffle(rows)
        while any(a[-1] == b[-1] for a, b in itertools.pairwise(rows)):  # a product's photos apart
            rng.shuffle(rows)
    write_table(args.out / "gallery.csv", ["seller_img_id", "img_path", "product_id"], gallery)
    write_table(args.out / "queries.csv", ["user_img_id", "img_path", *BOX, "product_id"], queries)
    kept = {row[1] for row in gallery + queries}
    for old in [*args.out.glob("gallery/*"), *args.out.glob("queries/*")]:
        if f"{old.parent.name}/{old.name}" not in kept:
            old.unlink()
    return made


def write_table(path: Path, header: list[str], rows: list[list]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_readme(out: Path, catalogue: dict, made: list[dict]) -> None:
    """Say what the pictures are, whose models they show, and how to make them again."""
    lines = [
        "# Furniture renders",
        "",
        f"A small test set: {len(made)} household products, each with two seller photos",
        "(`gallery/`) and two user photos with a box around the product (`queries/`).",
        "",
        "**These are renders, not photographs.** The studio shots and the phone-like snapshots",
        "were made with Blender from 3D models; rooms, floors and walls are procedural",
        "textures. Results on them say that a pipeline works, not how well it would do on real",
        "photos.",
        "",
        "Products that differ only by colour count as one product: those marked below show",
        "other colours in some of their photos. Other furniture stands around and at times in",
        "front of the product; the box holds the part of the product that can be seen.",
        "",
        "## Tables",
        "",
        "- `gallery.csv`: `seller_img_id,img_path,product_id`",
        "- `queries.csv`: `user_img_id,img_path,bbox_x,bbox_y,bbox_w,bbox_h,product_id`; the box",
        "  in whole pixels, top left corner and size",
        "",
        "## Licence and credits",
        "",
        "The models are the Blend Swap CC-0 collection of Sweet Home 3D",
        "(`BlendSwap-CC-0.sh3f`, Debian package `sweethome3d-furniture`), dedicated to the public",
        "domain under [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/), cleaned and",
        "converted by Emmanuel Puybaret. The renders are likewise CC0. Clutter in the rooms",
        "comes from the same collection. The two Winchester seats of the collection are left",
        "out, since their own licence page says CC-BY.",
        "",
        "CC0 asks for no credit; thanks to the authors all the same:",
        "",
        "| product_id | model | name | author | colours |",
        "|---|---|---|---|---|",
    ]
    for row in made:
        entry = catalogue[row["model"]]
        mark = "several" if row["model"] in COLOURS else ""
        cells = (row["product_id"], row["model"], entry["name"], entry["creator"], mark)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    others = sorted({catalogue[m]["creator"] for m in CLUTTER})
    lines += [
        "",
        f"Models that stand around them are by {', '.join(others)}.",
        "",
        "## Making them again",
        "",
        "```",
        "apt-get install --no-install-recommends blender sweethome3d-furniture \\",
        "    python3-numpy python3-pil",
        "/usr/bin/python3 scripts/render_furniture/make.py --out examples/furniture --jobs 2",
        "```",
        "",
    ]
    (out / "README.md").write_text("\n".join(lines))


def main() -> None:
    """Render what is missing, develop all, write tables and README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--raw", type=Path, default=RAW, help="raw renders (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="Blender processes")
    parser.add_argument("--models", type=Path, default=MODELS, help="the .sh3f collection")
    parser.add_argument("--no-render", action="store_true", help="use the renders there are")
    parser.add_argument("--only", nargs="*", help="render only these models")
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.raw = args.raw.expanduser().resolve()
    for folder in (args.raw, args.out / "gallery", args.out / "queries"):
        folder.mkdir(parents=True, exist_ok=True)
    models = args.raw / "models"
    if not models.exists():
        with zipfile.ZipFile(args.models) as archive:
            archive.extractall(models.with_suffix(".part"))
        models.with_suffix(".part").rename(models)
    catalogue = read_catalogue(models)
    plans = [plan(model, catalogue[model]["size"]) for model in PRODUCTS]
    if not args.no_render:
        render(args, catalogue, [p for p in plans if not args.only or p[0]["model"] in args.only])
    if args.only:
        print(f"rendered to {args.raw}; run again without --only to develop photos and tables")
        return
    made = develop(args, plans)
    write_readme(args.out, catalogue, made)
    print(f"{len(made)} products, {4 * len(made)} photos in {args.out}")


if __name__ == "__main__":
    main()
