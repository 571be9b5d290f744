"""What runs a submission, inside its limits: builds its ranker and sends its answer out.

It stands alone on purpose: it runs under the submission's own Python, which may not have shoplens,
and needs only NumPy. It is run as a program in the submission's folder, with the variable
`AICROWD_DATASET_DIR` set. It writes messages to file descriptor 3 (JSON, one a line) and the answer
to descriptor 4, as the bytes of an .npy file. A submission can write to both: neither is trusted.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

STATUS, ANSWER = 3, 4
SHOWN = 500
"""Characters of a message that are sent."""


def tell(**values: object) -> None:
    """Tell the harness something."""
    with contextlib.suppress(OSError):
        os.write(STATUS, json.dumps(values).encode() + b"\n")


def make_ranker() -> object:
    """Build the object with `predict_product_ranks`: the submission's wrapper, or its ranker."""
    data = os.environ["AICROWD_DATASET_DIR"]
    tell(phase="import")
    ranker = importlib.import_module("my_submission.user_config").My_Ranker
    wrapper = None
    if Path("my_submission", "aicrowd_wrapper.py").is_file():
        module = importlib.import_module("my_submission.aicrowd_wrapper")
        wrapper = getattr(module, "AIcrowdWrapper", None)
    for kind in (ranker, wrapper):
        tell_messages_of(kind)
    tell(phase="construct")
    if wrapper is not None:
        return wrapper(dataset_dir=data)
    return ranker(data, str(Path(data, "gallery.csv")), str(Path(data, "queries.csv")))


def tell_messages_of(kind: object) -> None:
    """Let what a submission says through `raise_aicrowd_error` reach its author."""
    original = getattr(kind, "raise_aicrowd_error", None)
    if original is None or getattr(original, "told", False):
        return

    def raise_aicrowd_error(self: object, msg: object, *rest: object) -> object:
        tell(message=str(msg)[:SHOWN])
        return original(self, msg, *rest)

    raise_aicrowd_error.told = True  # type: ignore[attr-defined]
    with contextlib.suppress(AttributeError, TypeError):
        kind.raise_aicrowd_error = raise_aicrowd_error  # type: ignore[attr-defined]


class Pipe:
    """Where the answer goes. NumPy does not take it for a file, whose position it would ask for."""

    def write(self, data: bytes) -> None:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(ANSWER, rest) :]


def send(answer: object) -> None:
    """Send the answer; if it is not an array of plain values, say so instead."""
    import numpy as np  # noqa: PLC0415 - only now: importing it is the submission's time.

    if answer is None:
        tell(no_answer=True)
        return
    try:
        array = np.asarray(answer)
        if array.dtype.hasobject:
            raise ValueError("it holds Python objects")
    except (ValueError, TypeError) as error:
        tell(refused=f"{type(answer).__name__} is not an array of numbers: {error}"[:SHOWN])
        return
    np.lib.format.write_array(Pipe(), array, allow_pickle=False)
    tell(phase="end")


def kind_of(error: BaseException) -> str:
    """Return which limit an error is about, if any."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return "memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk"
    if isinstance(error, BlockingIOError) or "can't start new thread" in str(error):
        return "processes"
    return ""


def main() -> int:
    """Run the submission in this folder; return the exit code."""
    # In place of the folder of this file, whose modules are no one else's.
    sys.path[0] = os.getcwd()  # noqa: PTH109
    try:
        ranker = make_ranker()
        tell(phase="predict")
        answer = ranker.predict_product_ranks()  # type: ignore[attr-defined]
        tell(phase="answer")
        send(answer)
    except SystemExit as error:
        if not error.code:
            return 0
        print(error.code, file=sys.stderr)  # noqa: T201
        tell(left=str(error.code)[:SHOWN])
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # Whatever it was, its author wants to know.
        tell(error=type(error).__name__, text=str(error)[:SHOWN], kind=kind_of(error))
        with contextlib.suppress(BaseException):
            traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    # Threads that never end and exit handlers are not waited for.
    os._exit(code & 0xFF)
