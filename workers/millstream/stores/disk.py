"""Predictions that wait on disk, for tens of millions of them.

In memory a waiting prediction is an entry of a hash table (its place in the file, found by the
hash of its id) and a row in each of two queues (when it is due, when it came): about a hundred
bytes. The rest lies in a file that is only appended to. Nothing of it outlives the process, so
nothing of it can be torn or out of date: another process fills its own from the logs.

Within a process it outlives an aborted batch. Every change since the last `commit` is written down
with what it replaced; `rollback` walks back over that. Records in the file never change, so what
was removed is still there; only `commit` lets go of them.
"""

from array import array
from collections.abc import Callable
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

_HASH = 0x7FFF_FFFF_FFFF_FFFF


_Found = tuple[int, int, bytes]
"""Key and value of an entry, and the record that it stands for."""


class DiskStore:
    """A `WaitingStore` in a file."""

    def __init__(self, folder: Path | None = None, make_hash: Callable[[str], int] = hash) -> None:
        """Keeps its file in `folder` (None: where the system keeps temporary files)."""
        self._folder = folder
        self._make_hash = make_hash
        self._undo: array[int] | None = None
        """Key, value and bytes of each entry added (as a negative number: removed) since the last
        commit; None before the first one, when there is nothing to go back to."""
        self._popped: list[Row] = []
        """Rows taken from `_due` since then."""
        self._empty()

    def _empty(self) -> None:
        self._file = SegmentFile(self._folder)
        # A value is the record's place times two, plus one for an id that was resolved.
        self._table = HashTable()
        self._due = RunQueue()  # (time, offset, hash)
        self._arrived = Fifo()  # (offset, hash)
        self._resolved = Fifo()  # (number, hash)
        self._waiting = 0
        self._number = 0
        self._remembered = 0
        self._unknown: str | None = None
        """An id of which there is nothing, as it was found last."""
        self._oldest: Oldest | None = None
        self._oldest_resolved: Resolved | None = None

    # -- predictions ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many predictions wait."""
        return self._waiting

    def __contains__(self, name: object) -> bool:
        """Whether a prediction waits under an id."""
        return self._find(str(name), IS_WAITING) is not None

    def add(self, waiting: Waiting) -> None:
        """Let a prediction wait; none waits under its id."""
        name, offset = str(waiting.id), waiting.offset
        key = self._make_hash(name) & _HASH or 1
        self._insert(key, pack(to_bytes(name), waiting), IS_WAITING)
        self._due.push((waiting.time, offset, key))
        self._arrived.push(offset, key)
        if self._undo is None:
            self._drop_stale()

    def take(self, name: str) -> Waiting | None:
        """The prediction that waits under an id, which waits no longer."""
        key = self._make_hash(name) & _HASH or 1
        value = self._table.first(key, IS_WAITING)
        if value < 0:
            return None
        record = self._file.read(value >> 1)
        if not is_of(record, to_bytes(name)):  # another id of the same hash
            found = self._find(name, IS_WAITING)
            return None if found is None else self._take(found)
        return self._take((key, value, record))

    def take_due(self, before: int) -> Waiting | None:
        """The one of the earliest time (then offset), taken, if its time lies before this one."""
        while (row := self._due.peek()) is not None and row[0] < before:
            self._due.pop()
            if self._undo is not None:
                self._popped.append(row)
            found = self._at_offset(row[2], row[1])
            if found is not None:
                return self._take(found)
        return None

    def oldest(self) -> Oldest | None:
        """The one that was added first of those that wait; it goes on waiting."""
        while self._oldest is None and (pair := self._arrived.peek()) is not None:
            offset, key = pair
            found = self._at_offset(key, offset)
            if found is None:
                self._pop(self._arrived)
            else:
                self._oldest = unpack_head(found[2])
        return self._oldest

    def discard(self, name: str, offset: int) -> None:
        """The prediction on the event at a source offset waits no longer, if it does."""
        found = self._at_offset(self._hash(name), offset)
        if found is not None and is_of(found[2], to_bytes(name)):
            self._take(found)

    def _take(self, found: _Found) -> Waiting:
        self._remove(found)
        waiting = unpack(found[2])
        if self._oldest is not None and self._oldest.offset == waiting.offset:
            self._oldest = None
        return waiting

    def _at_offset(self, key: int, offset: int) -> _Found | None:
        """The prediction on the event at a source offset, if it waits."""
        if self._table.first(key, IS_WAITING) < 0:  # mostly
            return None
        for value in self._table.find(key):
            if value & 1 == IS_WAITING:
                record = self._file.read(value >> 1)
                if number_in(record) == offset:
                    return key, value, record
        return None

    def _drop_stale(self) -> None:
        """Take out of the queues what waits no longer, where that is most of them."""
        most = 2 * self._waiting + MAX_STALE
        if len(self._due) > most:
            self._due.keep(lambda row: self._waits(row[2]))
        if len(self._arrived) > most:
            self._arrived.keep(lambda pair: self._waits(pair[1]))

    def _waits(self, key: int) -> bool:
        return self._table.first(key, IS_WAITING) >= 0

    # -- resolved ids ---------------------------------------------------------------------------

    def remember(self, name: str, resolved: Resolved) -> None:
        """Remember an id as the one resolved last."""
        before = self._find(name, IS_RESOLVED)
        if before is not None:
            self._remove(before)
            self._oldest_resolved = None
        self._number += 1
        key = self._hash(name)
        self._insert(key, pack_resolved(to_bytes(name), self._number, resolved), IS_RESOLVED)
        self._resolved.push(self._number, key)

    def recall(self, name: str) -> Resolved | None:
        """What is remembered of an id."""
        found = self._find(name, IS_RESOLVED)
        return None if found is None else unpack_resolved(found[2])

    def remembered(self) -> int:
        """How many ids are remembered."""
        return self._remembered

    def oldest_resolved(self) -> Resolved | None:
        """What was remembered first of what is remembered."""
        if self._oldest_resolved is None:
            found = self._first_resolved()
            if found is not None:
                self._oldest_resolved = unpack_resolved(found[2])
        return self._oldest_resolved

    def forget_oldest(self) -> None:
        """Forget that one."""
        found = self._first_resolved()
        if found is not None:
            self._pop(self._resolved)
            self._remove(found)
            self._oldest_resolved = None

    def _first_resolved(self) -> _Found | None:
        while (pair := self._resolved.peek()) is not None:
            number, key = pair
            for value in self._table.find(key):
                if value & 1 == IS_RESOLVED:
                    record = self._file.read(value >> 1)
                    if number_in(record) == number:
                        return key, value, record
            self._pop(self._resolved)
        return None

    # -- entries --------------------------------------------------------------------------------

    def _hash(self, name: str) -> int:
        # Zero says that a slot of the table is free.
        return self._make_hash(name) & _HASH or 1

    def _find(self, name: str, kind: int) -> _Found | None:
        # Of a new event it is asked whether its id waits, and then whether it was resolved.
        if name is self._unknown:
            return None
        key = self._make_hash(name) & _HASH or 1
        values = self._table.find(key)
        if not values:
            self._unknown = name
            return None
        wanted = to_bytes(name)
        for value in values:
            if value & 1 == kind:
                record = self._file.read(value >> 1)
                if is_of(record, wanted):
                    return key, value, record
        return None

    def _insert(self, key: int, record: bytes, kind: int) -> None:
        size = len(record)
        place = self._file.append(record)
        value = place * 2 + kind
        self._table.add(key, value)
        self._unknown = None
        if kind == IS_WAITING:
            self._waiting += 1
        else:
            self._remembered += 1
        if self._undo is not None:
            self._undo.extend((key, value, size))

    def _remove(self, found: _Found) -> None:
        key, value, record = found
        size = len(record)
        self._table.remove(key, value)
        self._file.count(value >> 1, -size)
        if value & 1 == IS_WAITING:
            self._waiting -= 1
        else:
            self._remembered -= 1
        if self._undo is not None:
            self._undo.extend((key, value, -size))

    def _count(self, value: int, size: int) -> None:
        """An entry was added whose record has so many bytes; removed, where it is negative."""
        self._file.count(value >> 1, size)
        amount = 1 if size > 0 else -1
        if value & 1 == IS_WAITING:
            self._waiting += amount
        else:
            self._remembered += amount

    def _pop(self, queue: Fifo) -> None:
        queue.pop()
        if self._undo is None:
            queue.commit()

    # -- the end of a batch ---------------------------------------------------------------------

    def commit(self) -> None:
        """What was changed so far is final."""
        self._undo = None
        self._drop_stale()
        self._begin()
        self._file.free_empty()
        segment = self._file.sparsest()
        if segment is not None:
            self._move_out_of(segment)

    def rollback(self) -> bool:
        """Undo what was changed since the last commit; False where there was none."""
        if self._undo is None:
            return False
        for at in range(len(self._undo) - 3, -1, -3):
            key, value, size = self._undo[at : at + 3]
            if size > 0:
                self._table.remove(key, value)
            else:
                self._table.add(key, value)
            self._count(value, -size)
        for row in self._popped:
            self._due.push(row)
        for queue in (self._arrived, self._resolved):
            queue.rollback()
        self._oldest = self._oldest_resolved = self._unknown = None
        self._begin()
        return True

    def _begin(self) -> None:
        self._undo = array("q")
        self._popped = []
        for queue in (self._arrived, self._resolved):
            queue.commit()

    def _move_out_of(self, segment: int) -> None:
        """Copy what still matters to the end of the file, so that the segment can be used again."""
        for place, record in self._file.records(segment):
            kind = record[0]
            key = self._hash(name_in(record).decode("utf-8", "surrogatepass"))
            value = place * 2 + kind
            if value in self._table.find(key):
                new = self._file.append(record) * 2 + kind
                self._table.replace(key, value, new)
                self._file.count(place, -len(record))
        self._file.free_empty()

    def clear(self) -> None:
        """Forget everything, as if it were new."""
        self._file.close()
        self._undo = None
        self._popped = []
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
