"""What of a partition outlives an aborted batch: its waiting predictions, where a disk has them."""

from millstream.core.join.pending_store import PendingStore
from millstream.core.processing.progress import NOTHING, StoreProgress


class RetainedStore:
    """A store of waiting predictions, and which part of the logs is in it.

    It is changed by the shard as batches go, and stands for the last one that was committed
    whenever a restore begins. It is believed only as far as the logs can be seen to go on from
    there: what it has not seen is folded on top of it, by source positions. In doubt it is emptied.
    """

    def __init__(self, store: PendingStore, *, fenced: bool) -> None:
        """`fenced`: transactions see to it that no other owner writes between our commits.

        Without them the log may hold predictions on events that no commit covers, written before
        or after any point of it that we remember.
        """
        self.store = store
        self._fenced = fenced
        self._known = NOTHING

    def begin_restore(self, committed: int | None) -> StoreProgress:
        """Go back to the last commit; returns what is in the store then.

        `committed`: the group's offset of events, None where there is none.
        """
        moved_back = committed is not None and committed < self._known.events
        if not self._fenced or moved_back or not self.store.rollback():
            self.store.clear()
            self._known = NOTHING
        return self._known

    def restored(self, known: StoreProgress) -> None:
        """All logs have been folded, up to these ends."""
        self.store.commit()
        self._known = known

    def committed(self, events: int) -> None:
        """A batch was committed that takes events up to this offset."""
        self._known = self._known._replace(events=events)

    def close(self) -> None:
        """The partition is gone."""
        self.store.close()
