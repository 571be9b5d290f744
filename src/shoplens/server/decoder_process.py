"""The program of a decoder process: photos come on standard input, answers leave on standard
output."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl
    import resource

from PIL import Image

from shoplens.errors import PhotoError
from shoplens.models.preparer import Preparer
from shoplens.pixels.decoding import decode, decoding, read_size
from shoplens.records import Box
from shoplens.server.decoder_messages import (
    LENGTH_BYTES,
    Answer,
    Job,
    PackedPhoto,
    Prepare,
    Ready,
    Refused,
    Shrink,
    Thumbnail,
    pack,
    pack_views,
    read_job,
    read_setup,
)

_PIPE_BYTES = 2**20
_QUALITY = 80
"""Of the JPEGs that thumbnails are."""


def main() -> None:
    """Answer messages until standard input ends."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C and service managers signal all processes; those that serve requests decide when
        # this one ends, by closing its input.
        signal.signal(ending, signal.SIG_IGN)
    jobs, answers = _own_streams()
    if (first := _received(jobs)) is None:
        return
    setup = read_setup(first)
    preparer = Preparer(setup.recipes)
    _set_limits(setup.memory_mb)
    _send(answers, Ready())
    while (body := _received(jobs)) is not None:
        _send(answers, _answer(read_job(body), preparer, setup.max_pixels))


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the streams of messages, and keep what codecs print out of them and of the logs."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    if sys.platform == "linux":
        for pipe in (jobs, answers):
            # By default it holds a sixth of a prepared photo. A user may not have many large ones.
            with suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    return jobs, answers


def _received(jobs: BinaryIO) -> bytes | None:
    length = jobs.read(LENGTH_BYTES)
    return jobs.read(int.from_bytes(length, "big")) if len(length) == LENGTH_BYTES else None


def _send(answers: BinaryIO, answer: Answer) -> None:
    answers.write(pack(answer))
    answers.flush()


def _set_limits(memory_mb: int) -> None:
    """Limit memory, and let a crash leave no photos on the disk, where the system can."""
    if sys.platform == "win32":
        return
    for limit, value in ((resource.RLIMIT_DATA, memory_mb * 10**6), (resource.RLIMIT_CORE, 0)):
        # Where a lower limit holds already, that stays; macOS refuses limits of memory.
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


def _answer(job: Job, preparer: Preparer, max_pixels: int) -> Answer:
    try:
        if isinstance(job, Prepare):
            return _prepared(job, preparer, max_pixels)
        return _thumbnail(job, max_pixels)
    except PhotoError as error:
        return Refused(error.reason, str(error))
    except MemoryError:
        return Refused("too_large", "not enough memory to decode it")
    except Exception as error:
        return Refused("corrupt", f"it cannot be decoded: {error}", traceback.format_exc())


def _prepared(job: Prepare, preparer: Preparer, max_pixels: int) -> PackedPhoto:
    if job.recipes is not None:
        preparer = Preparer(job.recipes)
    box = None if job.box is None else Box.parse(job.box, read_size(job.data))
    target, side = preparer.decode_target(job.domain)
    with decoding(
        job.data, box=box, target=target, target_side=side, max_pixels=max_pixels
    ) as decoded:
        views = pack_views(preparer.prepare(decoded, job.domain))
    region = decoded.box
    return PackedPhoto(
        views,
        decoded.size,
        None if region is None else (region.x0, region.y0, region.x1, region.y1),
        decoded.clipped,
    )


def _thumbnail(job: Shrink, max_pixels: int) -> Thumbnail:
    image = decode(job.data, target=job.side, max_pixels=max_pixels).image
    image.thumbnail((job.side, job.side), Image.Resampling.BICUBIC)
    # A JPEG's comment, its place and its camera would be written again.
    image.info.clear()
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return Thumbnail(stream.getvalue())


if __name__ == "__main__":
    main()
