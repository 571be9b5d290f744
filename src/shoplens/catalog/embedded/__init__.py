"""The embedded engine: the truth in one SQLite file, and what is derived from it beside it.

`store` is the truth: `rows`, which are read (`reading`) and changed (`writing`) in transactions.
`segments` are derived from it: vectors and `columns` in the form in which they are searched, some
with an approximate index (`graphs`). `snapshot` is all of it at one moment, which `moments` gives
threads to read; `scan` and `nearest` search that. `compaction` says which segments are joined,
`segment_folder` writes and removes them, `verification` checks everything, `backup` copies the
store, `engine` puts it together.
"""

from __future__ import annotations

from shoplens.catalog.embedded.backup import restore_backup
from shoplens.catalog.embedded.engine import EmbeddedCatalog

__all__ = ["EmbeddedCatalog", "restore_backup"]
