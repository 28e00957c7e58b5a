"""A store of pending predictions on disk.

In memory a pending prediction is an entry of a hash table (its position in the file, by the hash of
its id) and a row in each of two queues (by due time, by arrival): some ninety bytes. The rest is in
a file that is only appended to. The file does not outlive the process, so it is never torn or out
of date: another process fills its own from the logs.

The changes of an open batch are objects in memory, written at once after its commit. So most labels
that come soon find their predictions in memory, and an aborted batch is undone by dropping them.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path

from millstream.core.join.pending_store import MAX_STALE, CompletedId, Oldest, PendingPrediction
from millstream.disk_store.fifo_queue import Fifo
from millstream.disk_store.indexed_file import FoundEntry, IndexedFile
from millstream.disk_store.record_format import (
    IS_COMPLETED,
    IS_PENDING,
    is_of,
    pack,
    pack_completed,
    to_bytes,
    unpack,
    unpack_completed,
    unpack_head,
)
from millstream.disk_store.sorted_runs import Row, RunQueue

MOST_OPEN = 32_768
"""Predictions and completed ids that may be added in memory: more than a batch has. A restore adds
more; it cannot be rolled back from then on, but begins anew."""
_ANY_TIME = -(2**63)
"""Before all times, ms."""


class DiskStore:
    """A `PendingStore` in a file."""

    def __init__(self, folder: Path | None = None, make_hash: Callable[[str], int] = hash) -> None:
        """Makes its file in `folder` (None: the temporary one); raises Stop if it cannot."""
        self._folder = folder
        self._make_hash = make_hash
        self._empty()

    def _empty(self) -> None:
        self._file = IndexedFile(self._folder, self._make_hash)
        self._due = RunQueue()  # (time, offset, hash)
        self._arrived = Fifo()  # (offset, hash)
        self._completed = Fifo()  # (number, hash); numbers rise
        self._number = 0
        self._pending = self._remembered = 0
        """Number of pending predictions and completed ids, those of the open batch included."""
        self._can_roll_back = False
        self._begin()

    def _begin(self) -> None:
        """Begin with a batch that has changed nothing."""
        self._fresh: dict[str, PendingPrediction] = {}
        self._fresh_due: list[tuple[int, int, str]] = []
        """A heap of (time, offset, id); stale entries are skipped when they are reached."""
        self._fresh_completed: dict[str, CompletedId] = {}
        self._room = MOST_OPEN
        """Entries that may be added before all are written."""
        self._none_due_before = _ANY_TIME
        """No pending prediction has an earlier time; nearly all calls of `take_due` end here."""
        self._popped: list[Row] = []
        """Rows popped from `_due`."""
        self._before = self._pending, self._remembered
        self._oldest: Oldest | None = None
        self._oldest_completed: CompletedId | None = None
        """The oldest entries on disk, if they are known."""

    # -- predictions ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of pending predictions."""
        return self._pending

    def __contains__(self, name: object) -> bool:
        """Whether a prediction is pending under an id."""
        return name in self._fresh or self._file.find(str(name), IS_PENDING) is not None

    def add(self, pending: PendingPrediction) -> None:
        """Add a prediction; none is pending under its id."""
        name = str(pending.id)
        self._fresh[name] = pending
        heappush(self._fresh_due, (pending.time, pending.offset, name))
        self._pending += 1
        self._none_due_before = min(self._none_due_before, pending.time)
        self._room -= 1
        if not self._room:
            self._write_early()

    def take(self, name: str) -> PendingPrediction | None:
        """Remove and return the pending prediction of an id."""
        fresh = self._fresh.pop(name, None)
        if fresh is not None:
            self._pending -= 1
            return fresh
        found = self._file.find(name, IS_PENDING)
        return None if found is None else self._take(found)

    def take_due(self, before: int) -> PendingPrediction | None:
        """Remove and return the one of the earliest time (then offset), if before `before`."""
        if before <= self._none_due_before:
            return None
        found = None
        while (row := self._due.peek()) is not None and row[0] < before:
            if (found := self._file.numbered(row[2], row[1], IS_PENDING)) is not None:
                break
            self._popped.append(self._due.pop())
        heap = self._fresh_due
        while heap and heap[0][0] < before:
            time, offset, name = heap[0]
            pending = self._fresh.get(name)
            if pending is not None and pending.offset == offset:
                if found is None or row is None or (time, offset) < row[:2]:
                    return self.take(name)
                break
            heappop(heap)
        if found is not None:
            return self._take(found)
        times = [queue[0] for queue in (row, heap[0] if heap else None) if queue is not None]
        self._none_due_before = min(times, default=before)
        return None

    def oldest(self) -> Oldest | None:
        """The pending prediction that was added first; it stays."""
        while self._oldest is None and (pair := self._arrived.peek()) is not None:
            found = self._file.numbered(pair[1], pair[0], IS_PENDING)
            if found is None:
                self._arrived.pop()
            else:
                self._oldest = unpack_head(found.record)
        if self._oldest is None:
            for each in self._fresh.values():
                return Oldest(each.id, each.offset, max(each.time, each.predicted_at))
        return self._oldest

    def discard(self, name: str, offset: int) -> None:
        """Remove the prediction of an id if its event has this source offset."""
        fresh = self._fresh.get(name)
        if fresh is not None:
            if fresh.offset == offset:
                self.take(name)
            return
        (key,) = self._file.hashes([name])
        found = self._file.numbered(key, offset, IS_PENDING)
        if found is not None and is_of(found.record, to_bytes(name)):
            self._take(found)

    def _take(self, found: FoundEntry) -> PendingPrediction:
        self._file.drop(found)
        self._pending -= 1
        pending = unpack(found.record)
        if self._oldest is not None and self._oldest.offset == pending.offset:
            self._oldest = None
        return pending

    # -- completed ids --------------------------------------------------------------------------

    def remember(self, name: str, completed: CompletedId) -> bool:
        """Remember an id as the last completed one; always returns False."""
        # Removed first, so that the order is that of completion.
        if self._fresh_completed.pop(name, None) is None:
            before = self._file.find(name, IS_COMPLETED)
            if before is None:
                self._remembered += 1
            else:
                self._file.drop(before)
                self._oldest_completed = None
        self._fresh_completed[name] = completed
        self._room -= 1
        if not self._room:
            self._write_early()
        return False

    def recall(self, name: str) -> CompletedId | None:
        """The completion of an id, if it is remembered."""
        fresh = self._fresh_completed.get(name)
        if fresh is not None:
            return fresh
        found = self._file.find(name, IS_COMPLETED)
        return None if found is None else unpack_completed(found.record)

    def remembered(self) -> int:
        """Number of remembered ids."""
        return self._remembered

    def oldest_resolved(self) -> CompletedId | None:
        """The completion that was remembered first."""
        if self._oldest_completed is None:
            found = self._first_completed()
            if found is None:
                return next(iter(self._fresh_completed.values()), None)
            self._oldest_completed = unpack_completed(found.record)
        return self._oldest_completed

    def forget_oldest(self) -> None:
        """Forget that one."""
        found = self._first_completed()
        if found is not None:
            self._file.drop(found)
            self._oldest_completed = None
        else:
            del self._fresh_completed[next(iter(self._fresh_completed))]
        self._remembered -= 1

    def _first_completed(self) -> FoundEntry | None:
        while (pair := self._completed.peek()) is not None:
            number, key = pair
            found = self._file.numbered(key, number, IS_COMPLETED)
            if found is not None:
                return found
            self._completed.pop()
        return None

    # -- the end of a batch ---------------------------------------------------------------------

    def commit(self) -> None:
        """Make all changes final."""
        self._write()
        self._can_roll_back = True

    def rollback(self) -> bool:
        """Undo the changes since the last commit; False where that is impossible."""
        if not self._can_roll_back:
            return False
        self._due.push(self._popped)
        for queue in (self._arrived, self._completed):
            queue.rollback()
        self._file.restore_dropped()
        self._pending, self._remembered = self._before
        self._begin()
        return True

    def _write_early(self) -> None:
        """Bound the memory of a restore; a batch never adds so much."""
        self._write()
        self._can_roll_back = False

    def _write(self) -> None:
        """Write the changes, and begin anew."""
        self._file.forget_dropped()
        self._write_predictions()
        self._write_completed()
        for queue in (self._arrived, self._completed):
            queue.commit()
        self._begin()
        self._compact()

    def _write_predictions(self) -> None:
        fresh = self._fresh
        keys = self._file.hashes(fresh)
        self._file.write(
            keys, [pack(to_bytes(name), each) for name, each in fresh.items()], IS_PENDING
        )
        pending = list(zip(keys, fresh.values(), strict=True))
        self._due.push([(each.time, each.offset, key) for key, each in pending])
        self._arrived.push([(each.offset, key) for key, each in pending])

    def _write_completed(self) -> None:
        completed = self._fresh_completed
        keys, first = self._file.hashes(completed), self._number + 1
        self._number += len(completed)
        records = [
            pack_completed(to_bytes(name), number, each)
            for number, (name, each) in enumerate(completed.items(), first)
        ]
        self._file.write(keys, records, IS_COMPLETED)
        self._completed.push(list(enumerate(keys, first)))

    def _compact(self) -> None:
        """Drop stale rows, and disk space, where they are many."""
        most = 2 * self._pending + MAX_STALE
        if len(self._due) > most:
            self._due.retain(lambda rows: self._file.contains(rows[:, 2], IS_PENDING))
        if len(self._arrived) > most:
            self._arrived.retain(lambda pairs: self._file.contains(pairs[:, 1], IS_PENDING))
        self._file.compact()

    def clear(self) -> None:
        """Forget everything."""
        self._file.close()
        self._empty()

    def disk_bytes(self) -> int:
        """Size of its file in bytes."""
        return self._file.size()

    def close(self) -> None:
        """Free memory and disk; the store cannot be used afterwards."""
        self._file.close()
