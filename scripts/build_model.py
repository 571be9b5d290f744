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
CONFIGS = ROOT / "examples" / "training"
BUILD = ROOT / "build"
MODEL = ROOT / "src" / "shoplens" / "models" / "builtin" / "lite0-products"
"""Beside it, `lite0-products-int8` is the same network in 8-bit integers."""


def run(*command: str | Path) -> None:
    """Run a command and stop when it fails."""
    shown = [str(word) for word in command]
    print("+", " ".join(shown), flush=True)
    # The second configuration names the first one's model relative to here.
    if code := subprocess.run(shown, check=False, cwd=ROOT).returncode:
        raise SystemExit(code)


def main() -> None:
    """Render, train, export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=MODEL)
    arguments = parser.parse_args()
    tables, output = arguments.tables.resolve(), arguments.output.resolve()
    sample = ROOT / "examples" / "furniture"
    run(
        sys.executable, ROOT / "scripts" / "render_bulk" / "make.py", tables / "renders",
        "--exclude-products", sample,
    )  # fmt: skip
    shoplens = (sys.executable, "-m", "shoplens")
    for name in ("lite0-tuned", "lite0-products"):
        config, folder = CONFIGS / f"{name}.yaml", BUILD / name
        if not (folder / "model.pt").is_file():
            run(*shoplens, "train", config, "-o", folder, "--tables", tables, "--resume")
        if name == "lite0-tuned" and not (folder / "model").is_dir():
            run(*shoplens, "export", folder, "-o", folder / "model", "--photos", sample)
    int8 = output.with_name(f"{output.name}-int8")
    for precision, folder in (("fp16", output), ("int8", int8)):
        run(
            *shoplens, "export", BUILD / "lite0-products", "-o", folder, "--precision", precision,
            "--name", folder.name, "--photos", sample, "--evaluate-on", sample, "--force",
        )  # fmt: skip


if __name__ == "__main__":
    main()
