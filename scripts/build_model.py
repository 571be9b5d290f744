"""Train the built-in model again, from pictures to the model folder; anyone can run this.

    python3 make.py model --tables FOLDER

FOLDER holds `train-photos/train.csv` with its photos (of which the sources `grocery`, GroceryStore
dataset, MIT, and `clothing`, Clothing dataset, CC0, are used). `renders/` is made in it where it
is not there yet (Debian's `sweethome3d-furniture`, see scripts/render_bulk). Stopped at any moment,
the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "examples" / "training" / "lite2-products.yaml"
MODEL = ROOT / "src" / "shoplens" / "models" / "builtin" / "lite2-products"


def run(*command: str | Path) -> None:
    """Run a command and stop when it fails."""
    shown = [str(word) for word in command]
    print("+", " ".join(shown), flush=True)
    if code := subprocess.run(shown, check=False).returncode:
        raise SystemExit(code)


def main() -> None:
    """Render, train, export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=MODEL)
    parser.add_argument("--run", type=Path, default=ROOT / "build" / "lite2-products")
    arguments = parser.parse_args()
    sample = ROOT / "examples" / "furniture"
    renders = arguments.tables / "renders"
    run(
        sys.executable, ROOT / "scripts" / "render_bulk" / "make.py", renders,
        "--exclude-products", sample,
    )  # fmt: skip
    shoplens = (sys.executable, "-m", "shoplens")
    run(*shoplens, "train", CONFIG, "-o", arguments.run, "--tables", arguments.tables, "--resume")
    run(
        *shoplens, "export", arguments.run, "-o", arguments.output, "--precision", "fp16",
        "--evaluate-on", sample, "--force",
    )  # fmt: skip


if __name__ == "__main__":
    main()
