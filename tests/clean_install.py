"""Run by `make.py wheel` with the wheel installed alone: what a plain install must be able to do.

Not a pytest file: pytest is not installed there.
"""

import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import shoplens

installed = {d.metadata["Name"].lower() for d in distributions()}
unwanted = installed & {"torch", "torchvision", "pyarrow", "opencv-python", "scipy", "pandas"}
if unwanted:
    raise SystemExit(f"the core install brought {sorted(unwanted)}")
if version("shoplens") != shoplens.__version__:
    raise SystemExit("metadata and package disagree about the version")
if not Path("demo.html").read_text(encoding="utf-8").startswith("<!doctype html>"):
    raise SystemExit("shoplens demo wrote no page")
# A needed extra that is missing must say how to get it, with exit code 3.
Path("vectors.parquet").write_bytes(b"PAR1")
sample = Path(shoplens.__file__).parent / "sample"
result = subprocess.run(
    [sys.executable, "-m", "shoplens", "evaluate", str(sample),
     "--gallery-vectors", "vectors.parquet", "--query-vectors", "vectors.parquet"],
    capture_output=True, text=True, check=False,
)  # fmt: skip
if result.returncode != 3 or "pip install 'shoplens[parquet]'" not in result.stderr:
    raise SystemExit(f"missing extra: exit code {result.returncode}, {result.stderr}")
print(f"clean install of shoplens {shoplens.__version__}: ok")
