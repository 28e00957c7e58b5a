"""Records on disk, found by their id: a file of records, and a table of where they are.

What is dropped stays where it is until the batch is committed, and is only passed over.
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
    """A record, and where it is."""

    value: int
    """Its place in the file times two, plus its kind."""
    slot: int
    """Its slot in the table."""
    record: bytes


class IndexedFile:
    """Predictions that wait and ids that were resolved: the two kinds of `entries`."""

    def __init__(self, folder: Path | None, make_hash: Callable[[str], int]) -> None:
        self._make_hash = make_hash
        self._file = SegmentFile(folder)
        self._table = HashTable()
        self._begin()

    def _begin(self) -> None:
        self._dropped: dict[int, tuple[int, int]] = {}
        """Value to slot, and bytes of the record."""
        self._missing: list[str | None] = [None, None]
        """The id of each kind that was found last not to be there."""

    def find(self, name: str, kind: int) -> FoundEntry | None:
        """The record of an id."""
        # The same is asked more than once in a row: of a new event whether its id waits, then
        # whether it was resolved; of an id to be resolved, what is known of it.
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
        """The record under a hash and a number: a prediction's offset, or of a resolution."""
        for slot, value in self._table.find(key):
            if value & 1 == kind and value not in self._dropped:
                record = self._file.read(value >> 1)
                if number_in(record) == number:
                    return FoundEntry(value, slot, record)
        return None

    def hashes(self, names: Iterable[str]) -> list[int]:
        """The hash of each id; never zero, which says that a slot of the table is free."""
        make_hash = self._make_hash
        return [make_hash(name) & _HASH or 1 for name in names]

    def holds(self, keys: Numbers, kind: int) -> npt.NDArray[np.bool_]:
        """Of each hash, whether there is a record of a kind."""
        return self._table.holds(keys, kind)

    def drop(self, found: FoundEntry) -> None:
        """It is no more."""
        value, slot, record = found
        self._dropped[value] = slot, len(record)

    def bring_back(self) -> None:
        """What was dropped is there again."""
        self._begin()

    def write(self, keys: list[int], records: list[bytes], kind: int) -> None:
        """Write records under their hashes."""
        if keys:
            places = self._file.append(records)
            self._table.add(keys, [place * 2 + kind for place in places])
        self._missing = [None, None]

    def forget_dropped(self) -> None:
        """What was dropped never comes back."""
        if self._dropped:
            for value, (_, size) in self._dropped.items():
                self._file.count(value >> 1, -size)
            self._table.remove([slot for slot, _ in self._dropped.values()])
        self._begin()

    def tidy_up(self) -> None:
        """Let disk space be used again, where much of it is of no more use."""
        self._file.free_empty()
        segment = self._file.sparsest()
        if segment is not None:
            self._move_out_of(segment)

    def _move_out_of(self, segment: int) -> None:
        """Copy what still matters to the end of the file, so that the segment can be used again."""
        for place, record in self._file.records(segment):
            kind = record[0]
            (key,) = self.hashes([name_in(record).decode("utf-8", "surrogatepass")])
            for slot, value in self._table.find(key):
                if value == place * 2 + kind:
                    (moved,) = self._file.append([record])
                    self._table.replace(slot, moved * 2 + kind)
                    self._file.count(place, -len(record))
        self._file.free_empty()

    def size(self) -> int:
        """Bytes that the file has."""
        return self._file.size()

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


# The constructor of a named tuple costs three times as much, for each label.
_new_found: Callable[..., FoundEntry] = tuple.__new__
