"""Sizes of pending-prediction stores, of which the product asks nothing."""

from millstream.core.join.pending_store import MemoryPendingStore, PendingStore
from millstream.disk_store.store import DiskStore


def queued(store: PendingStore) -> int:
    """How many rows a store's queues have, stale ones included."""
    if isinstance(store, DiskStore):
        return len(store._due) + len(store._arrived) + len(store._completed)
    assert isinstance(store, MemoryPendingStore)
    return len(store._by_time)
