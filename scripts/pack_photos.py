"""Pack training photos small enough to carry to a machine with a graphics processor.

    python scripts/pack_photos.py train-photos/train.csv packed/train-photos --sources grocery
    python scripts/pack_photos.py renders/train.csv packed/renders

Every photo becomes a WebP, upright, of `--side` pixels at most; a transparent ground stays, boxes
are scaled with their photo. The packed folder holds a training table like the first
(docs/training.md), and `shoplens train CONFIG --tables packed` takes it in its place. Stopped, it
goes on where it was.
Needs Pillow only.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

BOX_COLUMNS = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")


@dataclass(frozen=True)
class Packing:
    """How photos are packed."""

    source: Path
    target: Path
    side: int
    quality: int

    def photo(self, row: dict[str, str]) -> dict[str, str] | None:
        """Pack the photo of a row; return its row in the packed table, None of a faulty one."""
        name = str(Path(row["img_path"]).with_suffix(".webp"))
        try:
            with Image.open(self.source / row["img_path"]) as image:
                upright = ImageOps.exif_transpose(image)
                scale = min(1.0, self.side / max(upright.size))
                if not (self.target / name).is_file():
                    self._write(upright, scale, self.target / name)
        except (OSError, SyntaxError, ValueError):
            return None
        boxes = {
            column: f"{float(row[column]) * scale:.2f}" for column in BOX_COLUMNS if row.get(column)
        }
        return {**row, **boxes, "img_path": name}

    def _write(self, image: Image.Image, scale: float, file: Path) -> None:
        transparent = "A" in image.getbands() or "transparency" in image.info
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.convert("RGBA" if transparent else "RGB").resize(
            size, Image.Resampling.LANCZOS
        )
        data = io.BytesIO()
        small.save(data, "WEBP", quality=self.quality, method=4)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".part")
        temporary.write_bytes(data.getvalue())
        temporary.replace(file)


def main() -> None:
    """Pack a table's photos."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--sources", nargs="+", help="of the table's column source; all by default")
    parser.add_argument("--side", type=int, default=288, help="longest, in pixels")
    parser.add_argument("--quality", type=int, default=80)
    arguments = parser.parse_args()
    packing = Packing(arguments.table.parent, arguments.output, arguments.side, arguments.quality)
    with arguments.table.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = list(reader.fieldnames or ())
        rows = [
            row for row in reader if not arguments.sources or row["source"] in arguments.sources
        ]
    with ThreadPoolExecutor() as pool:
        packed = list(pool.map(packing.photo, rows))
    kept = [row for row in packed if row is not None]
    for row, result in zip(rows, packed, strict=True):
        if result is None:
            print(f"left out, not to be read: {row['img_path']}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / arguments.table.name).open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(kept)
    size = sum((packing.target / row["img_path"]).stat().st_size for row in kept)
    counts = Counter(row["source"] for row in kept)
    print(
        f"{len(kept):,} of {len(rows):,} photos, {size / 1e6:.1f} MB: "
        + ", ".join(f"{count:,} {source}" for source, count in counts.items())
    )


if __name__ == "__main__":
    main()
