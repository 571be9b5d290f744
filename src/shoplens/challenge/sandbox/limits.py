"""What a submission may use."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.errors import ShoplensError

_LARGEST = 10**12
"""More than any machine has, of whatever a limit counts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run. Megabytes are 10^6 bytes. The defaults are the challenge's budget.

    Raises `ShoplensError` when a limit is not positive.
    """

    seconds: float = 600.0
    """Wall-clock time, from the start of the submission's interpreter."""
    cpus: int | None = 4
    """Processor cores; None for all of them."""
    memory_mb: int | None = 16_000
    """Memory of all its processes and of its scratch files together; None for no limit."""
    processes: int = 1024
    """Processes and threads at one time."""
    scratch_mb: int = 2000
    """Files that it writes, all together; they are kept in memory."""
    scratch_files: int = 100_000
    """Files and folders that it makes."""
    output_mb: int = 500
    """The answer as an .npy file."""
    log_mb: int = 10
    """What it prints."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 < value <= _LARGEST:
                raise ShoplensError(f"the limit {name} is {value}; it must be above 0 and finite")
