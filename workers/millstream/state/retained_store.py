"""A store of pending predictions that survives an aborted batch."""

from millstream.core.join.pending_store import PendingStore
from millstream.core.processing.progress import NOTHING, StoreProgress


class RetainedStore:
    """A store of pending predictions, and the part of the logs that is in it.

    The processor changes it with each batch; a restore begins from the last committed state. The
    records after that are replayed on top of it, by source positions. In doubt it is emptied.
    """

    def __init__(self, store: PendingStore, *, fenced: bool) -> None:
        """`fenced`: transactions prevent that another owner writes between our commits.

        Without them the log may hold predictions on events that no commit covers, written before
        or after any offset that is remembered here.
        """
        self.store = store
        self._fenced = fenced
        self._progress = NOTHING

    def begin_restore(self, committed: int | None) -> StoreProgress:
        """Roll back to the last commit; returns the part of the logs that is left in the store.

        `committed`: the group's offset of events, None where there is none.
        """
        moved_back = committed is not None and committed < self._progress.events
        if not self._fenced or moved_back or not self.store.rollback():
            self.store.clear()
            self._progress = NOTHING
        return self._progress

    def restored(self, progress: StoreProgress) -> None:
        """Commit a store into which the logs are replayed, up to these ends."""
        self.store.commit()
        self._progress = progress

    def committed(self, events: int) -> None:
        """Note that the group has committed this offset of events."""
        self._progress = self._progress._replace(events=events)

    def close(self) -> None:
        """Close the store."""
        self.store.close()
