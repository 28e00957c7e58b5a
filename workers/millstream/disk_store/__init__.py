"""Pending predictions on disk, for tens of millions of them."""

from pathlib import Path
from typing import Literal

from millstream.core.join.pending_store import MemoryPendingStore, PendingStore
from millstream.disk_store.store import DiskStore


def new_store(kind: Literal["memory", "disk"], folder: Path | None) -> PendingStore:
    """An empty store; on disk in `folder` (None: where the system keeps temporary files).

    Raises `Stop` where the folder cannot be written to.
    """
    return MemoryPendingStore() if kind == "memory" else DiskStore(folder)
