"""Predictions that wait on disk, for tens of millions of them.

In memory a waiting prediction is an entry of a hash table (its place in the file, found by the
hash of its id) and a row in each of two queues (when it is due, when it came): some eighty bytes.
The rest lies in a file that is only appended to. Nothing of it outlives the process, so nothing of
it can be torn or out of date: another process fills its own from the logs.

What an open batch changes lies beside all that, as objects in memory, and is written in one go when
the batch was committed. So most labels that come soon find their predictions in memory, and an
aborted batch is undone by forgetting it.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path

from millstream.core.waiting import MAX_STALE, Oldest, Resolved, Waiting
from millstream.stores.entries import (
    IS_RESOLVED,
    IS_WAITING,
    is_of,
    name_in,
    number_in,
    pack,
    pack_resolved,
    to_bytes,
    unpack,
    unpack_head,
    unpack_resolved,
)
from millstream.stores.fifo import Fifo
from millstream.stores.runs import Row, RunQueue
from millstream.stores.segments import SegmentFile
from millstream.stores.table import HashTable

MOST_OPEN = 32_768
"""Changes that may be in memory: more than a batch makes. A restore makes more; it cannot be undone
from then on, but begins anew."""
_HASH = 0x7FFF_FFFF_FFFF_FFFF
_Found = tuple[int, int, bytes]
"""Value of an entry on disk, its slot in the table, and its record."""


class DiskStore:
    """A `WaitingStore` in a file."""

    def __init__(self, folder: Path | None = None, make_hash: Callable[[str], int] = hash) -> None:
        """Keeps its file in `folder` (None: where the system keeps temporary files)."""
        self._folder = folder
        self._make_hash = make_hash
        self._empty()

    def _empty(self) -> None:
        self._file = SegmentFile(self._folder)
        # A value is the record's place times two, plus one for an id that was resolved.
        self._table = HashTable()
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
        self._fresh: dict[str, Waiting] = {}
        self._fresh_due: list[tuple[int, int, str]] = []
        """A heap of (time, offset, id); entries that no longer wait are passed over when met."""
        self._fresh_resolved: dict[str, Resolved] = {}
        self._gone: dict[int, tuple[int, int]] = {}
        """Of what is no more: value to slot, and bytes of its record."""
        self._popped: list[Row] = []
        """Rows taken from `_due`."""
        self._before = self._waiting, self._remembered
        self._missing: list[str | None] = [None, None]
        """The id that was not found last on disk, among those that wait and those resolved."""
        self._oldest: Oldest | None = None
        self._oldest_resolved: Resolved | None = None
        """Of those on disk."""

    # -- predictions ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many predictions wait."""
        return self._waiting

    def __contains__(self, name: object) -> bool:
        """Whether a prediction waits under an id."""
        return name in self._fresh or self._find(str(name), IS_WAITING) is not None

    def add(self, waiting: Waiting) -> None:
        """Let a prediction wait; none waits under its id."""
        name = str(waiting.id)
        self._fresh[name] = waiting
        heappush(self._fresh_due, (waiting.time, waiting.offset, name))
        self._waiting += 1
        self._write_if_many()

    def take(self, name: str) -> Waiting | None:
        """The prediction that waits under an id, which waits no longer."""
        fresh = self._fresh.pop(name, None)
        if fresh is not None:
            self._waiting -= 1
            return fresh
        found = self._find(name, IS_WAITING)
        return None if found is None else self._take(found)

    def take_due(self, before: int) -> Waiting | None:
        """The one of the earliest time (then offset), taken, if its time lies before this one."""
        found = None
        while (row := self._due.peek()) is not None and row[0] < before:
            if (found := self._numbered(row[2], row[1], IS_WAITING)) is not None:
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
        return None if found is None else self._take(found)

    def oldest(self) -> Oldest | None:
        """The one that was added first of those that wait; it goes on waiting."""
        while self._oldest is None and (pair := self._arrived.peek()) is not None:
            found = self._numbered(pair[1], pair[0], IS_WAITING)
            if found is None:
                self._arrived.pop()
            else:
                self._oldest = unpack_head(found[2])
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
        found = self._numbered(self._hash(name), offset, IS_WAITING)
        if found is not None and is_of(found[2], to_bytes(name)):
            self._take(found)

    def _take(self, found: _Found) -> Waiting:
        value, slot, record = found
        self._gone[value] = slot, len(record)
        self._waiting -= 1
        waiting = unpack(record)
        if self._oldest is not None and self._oldest.offset == waiting.offset:
            self._oldest = None
        self._write_if_many()
        return waiting

    # -- resolved ids ---------------------------------------------------------------------------

    def remember(self, name: str, resolved: Resolved) -> bool:
        """Remember an id as the one resolved last; it does not tell whether it was the first."""
        # Taken out first, so that the order of the memory is that of resolution.
        if self._fresh_resolved.pop(name, None) is None:
            before = self._find(name, IS_RESOLVED)
            if before is None:
                self._remembered += 1
            else:
                self._gone[before[0]] = before[1], len(before[2])
                self._oldest_resolved = None
        self._fresh_resolved[name] = resolved
        self._write_if_many()
        return False

    def recall(self, name: str) -> Resolved | None:
        """What is remembered of an id."""
        fresh = self._fresh_resolved.get(name)
        if fresh is not None:
            return fresh
        found = self._find(name, IS_RESOLVED)
        return None if found is None else unpack_resolved(found[2])

    def remembered(self) -> int:
        """How many ids are remembered."""
        return self._remembered

    def oldest_resolved(self) -> Resolved | None:
        """What was remembered first of what is remembered."""
        if self._oldest_resolved is None:
            found = self._first_resolved()
            if found is None:
                return next(iter(self._fresh_resolved.values()), None)
            self._oldest_resolved = unpack_resolved(found[2])
        return self._oldest_resolved

    def forget_oldest(self) -> None:
        """Forget that one."""
        found = self._first_resolved()
        if found is not None:
            self._gone[found[0]] = found[1], len(found[2])
            self._oldest_resolved = None
        else:
            del self._fresh_resolved[next(iter(self._fresh_resolved))]
        self._remembered -= 1
        self._write_if_many()

    def _first_resolved(self) -> _Found | None:
        while (pair := self._resolved.peek()) is not None:
            number, key = pair
            found = self._numbered(key, number, IS_RESOLVED)
            if found is not None:
                return found
            self._resolved.pop()
        return None

    # -- entries on disk ------------------------------------------------------------------------

    def _hash(self, name: str) -> int:
        # Zero says that a slot of the table is free.
        return self._make_hash(name) & _HASH or 1

    def _find(self, name: str, kind: int) -> _Found | None:
        # The same is asked more than once in a row: of a new event whether its id waits, then
        # whether it was resolved; of an id to be resolved, what is known of it.
        if name is self._missing[kind]:
            return None
        slots = self._table.find(self._make_hash(name) & _HASH or 1)
        if not slots:
            self._missing = [name, name]
            return None
        wanted = to_bytes(name)
        for slot in slots:
            value = self._table.value(slot)
            if value & 1 == kind and value not in self._gone:
                record = self._file.read(value >> 1)
                if is_of(record, wanted):
                    return value, slot, record
        self._missing[kind] = name
        return None

    def _numbered(self, key: int, number: int, kind: int) -> _Found | None:
        """What is on disk under a hash and a number: a prediction's offset, or of a resolution."""
        for slot in self._table.find(key):
            value = self._table.value(slot)
            if value & 1 == kind and value not in self._gone:
                record = self._file.read(value >> 1)
                if number_in(record) == number:
                    return value, slot, record
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
        for row in self._popped:
            self._due.push(row)
        for queue in (self._arrived, self._resolved):
            queue.rollback()
        self._waiting, self._remembered = self._before
        self._begin()
        return True

    def _write_if_many(self) -> None:
        """Bound what is in memory: a batch never makes so many changes, a restore may."""
        if len(self._fresh) + len(self._fresh_resolved) + len(self._gone) > MOST_OPEN:
            self._write()
            self._can_go_back = False

    def _write(self) -> None:
        """Write what has changed, and begin anew."""
        for value, (_, size) in self._gone.items():
            self._file.count(value >> 1, -size)
        if self._gone:
            self._table.remove([slot for slot, _ in self._gone.values()])
        keys: list[int] = []
        values: list[int] = []
        for name, waiting in self._fresh.items():
            key = self._hash(name)
            keys.append(key)
            values.append(self._file.append(pack(to_bytes(name), waiting)) * 2 + IS_WAITING)
            self._due.push((waiting.time, waiting.offset, key))
            self._arrived.push(waiting.offset, key)
        for name, resolved in self._fresh_resolved.items():
            self._number += 1
            key = self._hash(name)
            record = pack_resolved(to_bytes(name), self._number, resolved)
            keys.append(key)
            values.append(self._file.append(record) * 2 + IS_RESOLVED)
            self._resolved.push(self._number, key)
        if keys:
            self._table.add(keys, values)
        for queue in (self._arrived, self._resolved):
            queue.commit()
        self._begin()
        self._tidy_up()

    def _tidy_up(self) -> None:
        """Let go of rows of what waits no longer, and of the disk's, where they are many."""
        most = 2 * self._waiting + MAX_STALE
        if len(self._due) > most:
            self._due.keep(lambda rows: self._table.holds(rows[:, 2], IS_WAITING))
        if len(self._arrived) > most:
            self._arrived.keep(lambda pairs: self._table.holds(pairs[:, 1], IS_WAITING))
        self._file.free_empty()
        segment = self._file.sparsest()
        if segment is not None:
            self._move_out_of(segment)

    def _move_out_of(self, segment: int) -> None:
        """Copy what still matters to the end of the file, so that the segment can be used again."""
        for place, record in self._file.records(segment):
            kind = record[0]
            key = self._hash(name_in(record).decode("utf-8", "surrogatepass"))
            for slot in self._table.find(key):
                if self._table.value(slot) == place * 2 + kind:
                    self._table.replace(slot, self._file.append(record) * 2 + kind)
                    self._file.count(place, -len(record))
        self._file.free_empty()

    def clear(self) -> None:
        """Forget everything, as if it were new."""
        self._file.close()
        self._empty()

    def queued(self) -> int:
        """How many rows its queues have, stale ones included."""
        return len(self._due) + len(self._arrived) + len(self._resolved)

    def disk_bytes(self) -> int:
        """How large its file is."""
        return self._file.size()

    def close(self) -> None:
        """Let go of memory and disk; the store is of no more use."""
        self._file.close()
