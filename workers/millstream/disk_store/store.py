"""Predictions that wait on disk, for tens of millions of them.

In memory a waiting prediction is an entry of a hash table (its place in the file, found by the
hash of its id) and a row in each of two queues (when it is due, when it came): some ninety bytes.
The rest lies in a file that is only appended to. Nothing of it outlives the process, so nothing of
it can be torn or out of date: another process fills its own from the logs.

What an open batch changes lies beside all that, as objects in memory, and is written in one go when
the batch was committed. So most labels that come soon find their predictions in memory, and an
aborted batch is undone by forgetting it.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path

from millstream.core.join.pending_store import MAX_STALE, CompletedId, Oldest, PendingPrediction
from millstream.disk_store.fifo_queue import Fifo
from millstream.disk_store.indexed_file import FoundEntry, IndexedFile
from millstream.disk_store.record_format import (
    IS_RESOLVED,
    IS_WAITING,
    is_of,
    pack,
    pack_resolved,
    to_bytes,
    unpack,
    unpack_head,
    unpack_resolved,
)
from millstream.disk_store.sorted_runs import Row, RunQueue

MOST_OPEN = 32_768
"""Predictions and resolved ids that may be added in memory: more than a batch has. A restore adds
more; it cannot be undone from then on, but begins anew."""
_ANY_TIME = -(2**63)
"""Before all times, ms."""


class DiskStore:
    """A `PendingStore` in a file."""

    def __init__(self, folder: Path | None = None, make_hash: Callable[[str], int] = hash) -> None:
        """Keeps its file in `folder` (None: where the system keeps temporary files)."""
        self._folder = folder
        self._make_hash = make_hash
        self._empty()

    def _empty(self) -> None:
        self._file = IndexedFile(self._folder, self._make_hash)
        self._due = RunQueue()  # (time, offset, hash)
        self._arrived = Fifo()  # (offset, hash)
        self._resolved = Fifo()  # (number, hash); numbers rise
        self._number = 0
        self._waiting = self._remembered = 0
        """How many there are, with the open batch."""
        self._can_go_back = False
        self._begin()

    def _begin(self) -> None:
        """Begin with a batch that has changed nothing."""
        self._fresh: dict[str, PendingPrediction] = {}
        self._fresh_due: list[tuple[int, int, str]] = []
        """A heap of (time, offset, id); entries that no longer wait are passed over when met."""
        self._fresh_resolved: dict[str, CompletedId] = {}
        self._room = MOST_OPEN
        """How much may be added before it has to be written."""
        self._none_due_before = _ANY_TIME
        """What waits has no earlier time than this; nearly all questions for it end here."""
        self._popped: list[Row] = []
        """Rows taken from `_due`."""
        self._before = self._waiting, self._remembered
        self._oldest: Oldest | None = None
        self._oldest_resolved: CompletedId | None = None
        """Of those on disk."""

    # -- predictions ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many predictions wait."""
        return self._waiting

    def __contains__(self, name: object) -> bool:
        """Whether a prediction waits under an id."""
        return name in self._fresh or self._file.find(str(name), IS_WAITING) is not None

    def add(self, waiting: PendingPrediction) -> None:
        """Let a prediction wait; none waits under its id."""
        name = str(waiting.id)
        self._fresh[name] = waiting
        heappush(self._fresh_due, (waiting.time, waiting.offset, name))
        self._waiting += 1
        self._none_due_before = min(self._none_due_before, waiting.time)
        self._room -= 1
        if not self._room:
            self._write_early()

    def take(self, name: str) -> PendingPrediction | None:
        """The prediction that waits under an id, which waits no longer."""
        fresh = self._fresh.pop(name, None)
        if fresh is not None:
            self._waiting -= 1
            return fresh
        found = self._file.find(name, IS_WAITING)
        return None if found is None else self._take(found)

    def take_due(self, before: int) -> PendingPrediction | None:
        """The one of the earliest time (then offset), taken, if its time lies before this one."""
        if before <= self._none_due_before:
            return None
        found = None
        while (row := self._due.peek()) is not None and row[0] < before:
            if (found := self._file.numbered(row[2], row[1], IS_WAITING)) is not None:
                break
            self._popped.append(self._due.pop())
        heap = self._fresh_due
        while heap and heap[0][0] < before:
            time, offset, name = heap[0]
            waiting = self._fresh.get(name)
            if waiting is not None and waiting.offset == offset:
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
        """The one that was added first of those that wait; it goes on waiting."""
        while self._oldest is None and (pair := self._arrived.peek()) is not None:
            found = self._file.numbered(pair[1], pair[0], IS_WAITING)
            if found is None:
                self._arrived.pop()
            else:
                self._oldest = unpack_head(found.record)
        if self._oldest is None:
            for each in self._fresh.values():
                return Oldest(each.id, each.offset, max(each.time, each.predicted_at))
        return self._oldest

    def discard(self, name: str, offset: int) -> None:
        """The prediction on the event at a source offset waits no longer, if it does."""
        fresh = self._fresh.get(name)
        if fresh is not None:
            if fresh.offset == offset:
                self.take(name)
            return
        (key,) = self._file.hashes([name])
        found = self._file.numbered(key, offset, IS_WAITING)
        if found is not None and is_of(found.record, to_bytes(name)):
            self._take(found)

    def _take(self, found: FoundEntry) -> PendingPrediction:
        self._file.drop(found)
        self._waiting -= 1
        waiting = unpack(found.record)
        if self._oldest is not None and self._oldest.offset == waiting.offset:
            self._oldest = None
        return waiting

    # -- resolved ids ---------------------------------------------------------------------------

    def remember(self, name: str, resolved: CompletedId) -> bool:
        """Remember an id as the one resolved last; it does not tell whether it was the first."""
        # Taken out first, so that the order of the memory is that of resolution.
        if self._fresh_resolved.pop(name, None) is None:
            before = self._file.find(name, IS_RESOLVED)
            if before is None:
                self._remembered += 1
            else:
                self._file.drop(before)
                self._oldest_resolved = None
        self._fresh_resolved[name] = resolved
        self._room -= 1
        if not self._room:
            self._write_early()
        return False

    def recall(self, name: str) -> CompletedId | None:
        """What is remembered of an id."""
        fresh = self._fresh_resolved.get(name)
        if fresh is not None:
            return fresh
        found = self._file.find(name, IS_RESOLVED)
        return None if found is None else unpack_resolved(found.record)

    def remembered(self) -> int:
        """How many ids are remembered."""
        return self._remembered

    def oldest_resolved(self) -> CompletedId | None:
        """What was remembered first of what is remembered."""
        if self._oldest_resolved is None:
            found = self._first_resolved()
            if found is None:
                return next(iter(self._fresh_resolved.values()), None)
            self._oldest_resolved = unpack_resolved(found.record)
        return self._oldest_resolved

    def forget_oldest(self) -> None:
        """Forget that one."""
        found = self._first_resolved()
        if found is not None:
            self._file.drop(found)
            self._oldest_resolved = None
        else:
            del self._fresh_resolved[next(iter(self._fresh_resolved))]
        self._remembered -= 1

    def _first_resolved(self) -> FoundEntry | None:
        while (pair := self._resolved.peek()) is not None:
            number, key = pair
            found = self._file.numbered(key, number, IS_RESOLVED)
            if found is not None:
                return found
            self._resolved.pop()
        return None

    # -- the end of a batch ---------------------------------------------------------------------

    def commit(self) -> None:
        """What was changed so far is final."""
        self._write()
        self._can_go_back = True

    def rollback(self) -> bool:
        """Undo what was changed since the last commit; False where that cannot be done."""
        if not self._can_go_back:
            return False
        self._due.push(self._popped)
        for queue in (self._arrived, self._resolved):
            queue.rollback()
        self._file.bring_back()
        self._waiting, self._remembered = self._before
        self._begin()
        return True

    def _write_early(self) -> None:
        """Bound what is in memory: a batch never adds so much, a restore may."""
        self._write()
        self._can_go_back = False

    def _write(self) -> None:
        """Write what has changed, and begin anew."""
        self._file.forget_dropped()
        self._write_predictions()
        self._write_resolved()
        for queue in (self._arrived, self._resolved):
            queue.commit()
        self._begin()
        self._tidy_up()

    def _write_predictions(self) -> None:
        fresh = self._fresh
        keys = self._file.hashes(fresh)
        self._file.write(
            keys, [pack(to_bytes(name), each) for name, each in fresh.items()], IS_WAITING
        )
        waiting = list(zip(keys, fresh.values(), strict=True))
        self._due.push([(each.time, each.offset, key) for key, each in waiting])
        self._arrived.push([(each.offset, key) for key, each in waiting])

    def _write_resolved(self) -> None:
        resolved = self._fresh_resolved
        keys, first = self._file.hashes(resolved), self._number + 1
        self._number += len(resolved)
        records = [
            pack_resolved(to_bytes(name), number, each)
            for number, (name, each) in enumerate(resolved.items(), first)
        ]
        self._file.write(keys, records, IS_RESOLVED)
        self._resolved.push(list(enumerate(keys, first)))

    def _tidy_up(self) -> None:
        """Let go of rows of what waits no longer, and of the disk's, where they are many."""
        most = 2 * self._waiting + MAX_STALE
        if len(self._due) > most:
            self._due.keep(lambda rows: self._file.holds(rows[:, 2], IS_WAITING))
        if len(self._arrived) > most:
            self._arrived.keep(lambda pairs: self._file.holds(pairs[:, 1], IS_WAITING))
        self._file.tidy_up()

    def clear(self) -> None:
        """Forget everything, as if it were new."""
        self._file.close()
        self._empty()

    def disk_bytes(self) -> int:
        """How large its file is."""
        return self._file.size()

    def close(self) -> None:
        """Let go of memory and disk; the store is of no more use."""
        self._file.close()
