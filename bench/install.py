"""What a plain install costs: megabytes on disk, and seconds to import."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from statistics import median

from measuring import ROOT, finish, table

IMPORTS = 9


def size_mb(folder: Path) -> float:
    """Return a folder's size in 10^6 bytes, compiled bytecode left out."""
    files = (f for f in folder.rglob("*") if f.is_file() and f.suffix != ".pyc")
    return sum(f.stat().st_size for f in files) / 1e6


def seconds(python: Path, code: str) -> float:
    """Return the median seconds that `code` takes in a fresh interpreter, start-up left out."""
    timing = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    return median(
        float(subprocess.run([python, "-c", timing], capture_output=True, check=True).stdout)
        for _ in range(IMPORTS)
    )


def main() -> None:
    """Install into an empty environment, measure, print, write."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "environment"
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        (packages,) = folder.glob("lib/python*/site-packages")
        before = {entry.name for entry in packages.iterdir()}
        started = time.perf_counter()
        subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
        took = time.perf_counter() - started
        sizes = {
            entry.name: size_mb(entry)
            for entry in packages.iterdir()
            if entry.name not in before and entry.is_dir() and not entry.name.endswith(".dist-info")
        }
        imports = {
            "import shoplens": seconds(python, "import shoplens"),
            "import shoplens; shoplens.load_encoder()": seconds(
                python, "import shoplens; shoplens.load_encoder()"
            ),
        }
    total = sum(sizes.values())
    rows = [
        [name, f"{mb:.1f}"]
        for name, mb in sorted(sizes.items(), key=lambda kv: -kv[1])
        if mb >= 0.5
    ]
    text = table(["package", "MB"], [["**all**", f"**{total:.0f}**"], *rows]) + "\n\n"
    text += table(
        ["step", "seconds (median)"], [[f"`{name}`", f"{s:.3f}"] for name, s in imports.items()]
    )
    values = {"megabytes": sizes, "total_mb": total, "imports": imports, "install_seconds": took}
    finish("install", "python3 make.py bench install", values, text)


if __name__ == "__main__":
    sys.exit(main())
