"""A file of records with a table of their positions, by id.

A dropped record stays in the file until the batch is committed, and is only skipped.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from millstream.disk_store.hash_table import HashTable, Numbers
from millstream.disk_store.record_format import is_of, name_in, number_in, to_bytes
from millstream.disk_store.segment_file import SegmentFile

_HASH = 0x7FFF_FFFF_FFFF_FFFF


class FoundEntry(NamedTuple):
    """A record and its position."""

    value: int
    """Its position in the file times two, plus its kind."""
    slot: int
    """Its slot in the table."""
    record: bytes


class IndexedFile:
    """Pending predictions and completed ids: the two kinds of `record_format`."""

    def __init__(self, folder: Path | None, make_hash: Callable[[str], int]) -> None:
        self._make_hash = make_hash
        self._file = SegmentFile(folder)
        self._table = HashTable()
        self._begin()

    def _begin(self) -> None:
        self._dropped: dict[int, tuple[int, int]] = {}
        """Value to slot, and bytes of the record."""
        self._missing: list[str | None] = [None, None]
        """The id of each kind that was last looked up in vain."""

    def find(self, name: str, kind: int) -> FoundEntry | None:
        """The record of an id."""
        # The same id is looked up several times in a row: of a new event, whether it is pending,
        # then whether it is completed; before it is completed, what is remembered of it.
        if name == self._missing[kind]:
            return None
        entries = self._table.find(self._make_hash(name) & _HASH or 1)
        if not entries:
            self._missing = [name, name]
            return None
        wanted = to_bytes(name)
        for slot, value in entries:
            if value & 1 == kind and value not in self._dropped:
                record = self._file.read(value >> 1)
                if is_of(record, wanted):
                    if len(entries) == 1:
                        self._missing[1 - kind] = name
                    return _new_found(FoundEntry, (value, slot, record))
        self._missing[kind] = name
        return None

    def numbered(self, key: int, number: int, kind: int) -> FoundEntry | None:
        """The record of a hash and a number: the offset of a prediction, or a completed id's."""
        for slot, value in self._table.find(key):
            if value & 1 == kind and value not in self._dropped:
                record = self._file.read(value >> 1)
                if number_in(record) == number:
                    return FoundEntry(value, slot, record)
        return None

    def hashes(self, names: Iterable[str]) -> list[int]:
        """The hash of each id; never 0, which marks a free slot of the table."""
        make_hash = self._make_hash
        return [make_hash(name) & _HASH or 1 for name in names]

    def contains(self, keys: Numbers, kind: int) -> npt.NDArray[np.bool_]:
        """For each hash, whether there is a record of a kind."""
        return self._table.contains(keys, kind)

    def drop(self, found: FoundEntry) -> None:
        """Drop a record; until `forget_dropped`, `restore_dropped` restores it."""
        value, slot, record = found
        self._dropped[value] = slot, len(record)

    def restore_dropped(self) -> None:
        """Restore what was dropped."""
        self._begin()

    def write(self, keys: list[int], records: list[bytes], kind: int) -> None:
        """Write records under their hashes."""
        if keys:
            positions = self._file.append(records)
            self._table.add(keys, [position * 2 + kind for position in positions])
        self._missing = [None, None]

    def forget_dropped(self) -> None:
        """Make drops final."""
        if self._dropped:
            for value, (_, size) in self._dropped.items():
                self._file.count(value >> 1, -size)
            self._table.remove([slot for slot, _ in self._dropped.values()])
        self._begin()

    def compact(self) -> None:
        """Reuse disk space where much of it is dead."""
        self._file.free_empty()
        segment = self._file.sparsest()
        if segment is not None:
            self._evacuate(segment)

    def _evacuate(self, segment: int) -> None:
        """Copy live records to the end of the file, so that the segment can be reused."""
        for position, record in self._file.records(segment):
            kind = record[0]
            (key,) = self.hashes([name_in(record).decode("utf-8", "surrogatepass")])
            for slot, value in self._table.find(key):
                if value == position * 2 + kind:
                    (moved,) = self._file.append([record])
                    self._table.replace(slot, moved * 2 + kind)
                    self._file.count(position, -len(record))
        self._file.free_empty()

    def size(self) -> int:
        """Size of the file in bytes."""
        return self._file.size()

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


# The constructor of a named tuple costs three times as much, for each label.
_new_found: Callable[..., FoundEntry] = tuple.__new__
