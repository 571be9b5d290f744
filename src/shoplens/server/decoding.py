"""Untrusted photos are decoded in processes of their own, which can be limited and killed.

A fault in a codec then ends one process and fails one photo. Each process takes one photo at a
time, over its own two pipes: there is nothing that a process which dies could leave locked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from shoplens.cores import usable_cores
from shoplens.errors import PhotoError, ShoplensError
from shoplens.models.encoder import Encoder
from shoplens.models.recipe import Recipe
from shoplens.models.views import Prepared
from shoplens.pixels.opening import MAX_PIXELS
from shoplens.records import REASONS, Box, Domain
from shoplens.server.decoder_messages import (
    LENGTH_BYTES,
    Answer,
    PackedPhoto,
    Prepare,
    Ready,
    Refused,
    Setup,
    Shrink,
    Thumbnail,
    pack,
    read_answer,
    unpack_views,
)
from shoplens.server.overload import OverloadedError

_LOG = logging.getLogger(__name__)

_PROGRAM = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from shoplens.server.decoder_process import main
main()
"""
"""Run with our own `sys.path`, the process finds the same packages, wherever it is started."""
_ENVIRONMENT = {
    # One photo at a time: threads of their own would only take memory.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # The C library would give the memory of each photo back to the system and ask for it again for
    # the next, which takes half as long as decoding it.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
}
_START_SECONDS = 60.0
"""How long a process may take to import what it needs: less than a second, on an idle machine."""
_STOP_SECONDS = 5.0
_LARGEST_ANSWER = 2**28
"""Bytes of an answer: more than the views of any sensible recipe take."""
_READ_AHEAD = 2**20
"""Bytes of an answer that are taken from the pipe while the event loop is busy elsewhere."""
_BROKEN = (OSError, EOFError, ValueError, msgspec.MsgspecError)
"""What talking to a process raises that has ended, or that answers nonsense."""


@dataclass(frozen=True, slots=True)
class PreparedPhoto:
    """A photo that is ready for the encoder."""

    prepared: Prepared
    width: int
    """In pixels, of the upright photo at full scale, as are `height` and `box`."""
    height: int
    box: Box | None
    """The region that was asked for, clipped to the photo; None is the whole photo."""
    clipped: bool
    """Whether a part of that region lay outside the photo."""


class DecoderPool:
    """Processes that decode photos, each for a limited time and with limited memory.

    Call `start` once and `close` at the end, or use it in an `async with` block.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        n_processes: int | None = None,
        seconds: float = 10.0,
        memory_mb: int = 2000,
        max_pixels: int = MAX_PIXELS,
        most_waiting: int = 64,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a pool; its processes begin with `start`.

        Args:
            encoder: photos are prepared as its recipes say.
            n_processes: photos that are decoded at the same time; None takes one for each usable
                core.
            seconds: how long a process may take for one photo before it is killed.
            memory_mb: data of a process, in 10^6 bytes, where the system can limit that. The
                largest photos (WebP with transparency) take 1500.
            max_pixels: photos of more pixels are refused.
            most_waiting: photos that may wait for a process; they are held in memory.
            on_lost: called whenever a process crashed or was killed; another one takes its place.
        """
        self._seconds = seconds
        self._most_waiting = most_waiting
        self._on_lost = on_lost
        setup = Setup(encoder.recipes, max_pixels, memory_mb)
        self._decoders = [_Decoder(setup) for _ in range(n_processes or usable_cores())]
        # The one that was used last has its memory at hand.
        self._free: asyncio.LifoQueue[_Decoder] = asyncio.LifoQueue()
        for decoder in self._decoders:
            self._free.put_nowait(decoder)
        self._n_waiting = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    @property
    def depth(self) -> int:
        """How many photos wait for a process."""
        return self._n_waiting

    @property
    def process_ids(self) -> list[int]:
        """The processes that run, for those who watch their memory."""
        return [d.process.pid for d in self._decoders if d.process is not None and d.is_running]

    async def start(self) -> None:
        """Start all processes; raises `ShoplensError` when they cannot be started."""
        try:
            await asyncio.gather(*(decoder.start() for decoder in self._decoders))
        except RuntimeError as error:
            raise ShoplensError(str(error)) from error

    async def close(self) -> None:
        """Finish the photos that were handed in, and end the processes."""
        if self._is_closed:
            return
        self._is_closed = True
        for _ in self._decoders:
            await (await self._free.get()).stop()

    async def __aenter__(self) -> DecoderPool:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def prepare(
        self,
        data: bytes,
        box: str | None = None,
        domain: Domain = "user",
        *,
        recipes: tuple[Recipe, ...] | None = None,
    ) -> PreparedPhoto:
        """Decode a photo and make what the encoder is shown of it.

        The result is bit for bit what the library makes in its own process.

        Args:
            data: the bytes of a file in a format that shoplens reads.
            box: `x,y,w,h` or `rel:x,y,w,h` (see `Box.parse`); None takes the whole photo.
            domain: who took it.
            recipes: of another encoder, which is to be shown the photo; None for this pool's.

        Raises:
            PhotoError: the photo or the box cannot be used; `too_slow` and `crashed` are reasons
                that only processes have.
            OverloadedError: too many photos wait.
            RuntimeError: the pool is closed, or a process cannot be started again.
        """
        answer = await self._answer(Prepare(data, box, domain, recipes))
        if not isinstance(answer, PackedPhoto):
            raise _unexpected(answer)
        width, height = answer.size
        region = None if answer.box is None else Box(*answer.box)
        return PreparedPhoto(unpack_views(answer.views), width, height, region, answer.clipped)

    async def thumbnail(self, data: bytes, side: int) -> bytes:
        """Return a small picture of a photo: an upright JPEG without metadata.

        `side` is the length of its longer side in pixels; smaller photos are not enlarged.

        Raises as `prepare`.
        """
        answer = await self._answer(Shrink(data, side))
        if not isinstance(answer, Thumbnail):
            raise _unexpected(answer)
        return answer.data

    async def _answer(self, job: Prepare | Shrink) -> Answer:
        if self._is_closed:
            raise RuntimeError("the decoders are closed")
        if self._free.empty() and self._n_waiting >= self._most_waiting:
            raise OverloadedError(f"{self._n_waiting:,} photos wait to be decoded already")
        self._n_waiting += 1
        try:
            decoder = await self._free.get()
        finally:
            self._n_waiting -= 1
        # Who asked may leave, but a process has to finish what it began before it takes another.
        answer: Answer = await asyncio.shield(self._task(self._asked(decoder, job)))
        if isinstance(answer, Refused):
            if answer.fault:
                _LOG.error("a photo made its decoder raise an error:\n%s", answer.fault)
            raise PhotoError(
                answer.reason if answer.reason in REASONS else "corrupt", answer.detail
            )
        return answer

    async def _asked(self, decoder: _Decoder, job: Prepare | Shrink) -> Answer:
        try:
            return await decoder.ask(job, self._seconds)
        finally:
            if decoder.is_running:
                self._free.put_nowait(decoder)
            else:
                self._on_lost()
                self._task(self._replace(decoder))

    async def _replace(self, decoder: _Decoder) -> None:
        """Start the process of a decoder again, so that no photo has to wait for that."""
        try:
            await decoder.start()
        except RuntimeError:
            _LOG.exception("a decoder process could not be replaced")
        finally:
            self._free.put_nowait(decoder)

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # The event loop itself keeps none alive.
        task.add_done_callback(self._tasks.discard)
        return task


class _Decoder:
    """One process, and the one that takes its place when it has ended."""

    def __init__(self, setup: Setup) -> None:
        self._setup = pack(setup)
        self.process: subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start the process and wait until it is ready; raises `RuntimeError` if it fails."""
        try:
            self.process = await subprocess.create_subprocess_exec(
                sys.executable,
                *("-c", _PROGRAM, json.dumps(sys.path)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_ENVIRONMENT},
                limit=_READ_AHEAD,
            )
            answer = await asyncio.wait_for(self._exchanged(self._setup), _START_SECONDS)
        except (*_BROKEN, asyncio.TimeoutError) as error:
            await self._kill()
            raise RuntimeError(f"a decoder process cannot be started: {error!r}") from error
        if not isinstance(answer, Ready):
            raise _unexpected(answer)

    async def ask(self, job: Prepare | Shrink, seconds: float) -> Answer:
        """Return the answer to a job; raises `PhotoError` where the process gives none in time."""
        if not self.is_running:
            await self.start()
        try:
            return await asyncio.wait_for(self._exchanged(pack(job)), seconds)
        except asyncio.TimeoutError:
            await self._kill()
            raise PhotoError(
                "too_slow", f"decoding it took longer than the limit of {seconds:g} s"
            ) from None
        except _BROKEN as error:
            code = await self._kill()
            _LOG.warning("a decoder process ended on a photo (exit code %s): %r", code, error)
            raise PhotoError("crashed", "its decoder crashed, or ran out of memory") from error

    async def stop(self) -> None:
        """End the process, which has nothing to do."""
        if self.process is None or self.process.stdin is None:
            return
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
        except asyncio.TimeoutError:
            await self._kill()

    async def _exchanged(self, message: bytes | bytearray) -> Answer:
        """Send a message and return the answer.

        Raises one of `_BROKEN` when the process has ended or answers nonsense.
        """
        assert self.process is not None
        to, answers = self.process.stdin, self.process.stdout
        assert to is not None
        assert answers is not None
        to.write(message)
        await to.drain()
        length = int.from_bytes(await answers.readexactly(LENGTH_BYTES), "big")
        if length > _LARGEST_ANSWER:
            raise ValueError(f"an answer of {length:,} bytes")
        return read_answer(await answers.readexactly(length))

    async def _kill(self) -> int | None:
        """Kill the process; returns its exit code, which tells of a crash."""
        if self.process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        return await self.process.wait()


def _unexpected(answer: msgspec.Struct) -> RuntimeError:
    return RuntimeError(f"a decoder process answered with {type(answer).__name__}")
