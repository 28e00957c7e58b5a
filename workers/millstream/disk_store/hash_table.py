"""A hash table from 64-bit hashes to 64-bit numbers in 16 bytes a slot.

A dict needs 100 to 130 bytes for each entry, this one 32 to 64. Several entries may have the same
hash: the caller compares the records behind the numbers. Changes come many at a time, for NumPy,
since in Python each entry would cost as much as reading its record.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SMALLEST = 1 << 10
CHUNK = 1 << 16
"""Slots that are copied at once while the table grows."""
FEW = 32
"""Up to so many entries, one at a time is faster than NumPy."""
Numbers = npt.NDArray[np.int64]


class HashTable:
    """Open addressing with linear probing; a removal closes its gap, so nothing ever decays.

    Each slot has its key and, right behind it, its value: where both are far from the processor,
    they come together. A free slot has key 0.
    """

    def __init__(self) -> None:
        self._entries = 0
        self._allocate(SMALLEST)

    def __len__(self) -> int:
        """Number of entries."""
        return self._entries

    def bytes(self) -> int:
        """Its memory in bytes."""
        return self._slots.nbytes

    def find(self, key: int) -> Sequence[tuple[int, int]]:
        """Slot and value of each entry of a hash, unordered; valid until the next change."""
        keys, mask = self._keys, self._mask
        slot = key & mask
        entries: Sequence[tuple[int, int]] = ()
        while found := keys[slot]:
            if found == key:
                entries = (*entries, (slot, self._values[slot]))
            slot = (slot + 1) & mask
        return entries

    def contains(self, keys: Numbers, parity: int) -> npt.NDArray[np.bool_]:
        """For each hash, whether it has an entry whose value is even (0) or odd (1)."""
        slots, mask, found = self._slots, self._mask, np.zeros(len(keys), np.bool_)
        at, left = keys & mask, np.arange(len(keys))
        while len(left):
            there, values = slots[at].T
            hit = (there == keys[left]) & (values & 1 == parity)
            found[left[hit]] = True
            probing = ~hit & (there != 0)
            at, left = (at[probing] + 1) & mask, left[probing]
        return found

    def add(self, keys: Sequence[int], values: Sequence[int]) -> None:
        """Add entries; each key is above 0."""
        # With half of the slots used, the next free one is two or three slots away on average; with
        # two thirds, five, and the longest probes cost most of NumPy's turns below.
        while 2 * (self._entries + len(keys)) >= self._mask:
            self._grow()
        self._insert(np.array(keys, np.int64), np.array(values, np.int64))

    def replace(self, slot: int, value: int) -> None:
        """Give the entry in a slot another value."""
        self._slots[slot, 1] = value

    def remove(self, slots: Sequence[int]) -> None:
        """Remove the entries in these slots."""
        keys, mask, gaps = self._slots[:, 0], self._mask, np.array(slots, np.int64)
        keys[gaps] = 0
        self._entries -= len(slots)
        # An entry behind a gap, up to the next free slot, may belong before it.
        behind, at = [], (gaps + 1) & mask
        while len(at := at[keys[at] != 0]):
            behind.append(at)
            at = (at + 1) & mask
        if behind:
            moved = np.unique(np.concatenate(behind))
            entries = self._slots[moved]
            keys[moved] = 0
            self._entries -= len(moved)
            self._insert(entries[:, 0], entries[:, 1])

    def _insert(self, keys: Numbers, values: Numbers) -> None:
        """Add entries to a table that is large enough."""
        slots, mask = self._slots, self._mask
        self._entries += len(keys)
        at, left = keys & mask, np.arange(len(keys))
        while len(left) > FEW:
            # Of several that reach the same free slot, the last one stays; the others move on.
            free = slots[at, 0] == 0
            slots[at[free], 1] = left[free]
            stays = free & (slots[at, 1] == left)
            slots[at[stays], 0] = keys[left[stays]]
            slots[at[stays], 1] = values[left[stays]]
            at, left = (at[~stays] + 1) & mask, left[~stays]
        used = self._keys
        for home, number in zip(at.tolist(), left.tolist(), strict=True):
            slot = home
            while used[slot]:
                slot = (slot + 1) & mask
            slots[slot] = keys[number], values[number]

    def _allocate(self, slots: int) -> None:
        self._mask = slots - 1
        self._slots: Numbers = np.zeros((slots, 2), np.int64)
        # Reading one number from a memoryview takes a third of the time.
        self._keys, self._values = (memoryview(self._slots[:, i].data) for i in (0, 1))

    def _grow(self) -> None:
        """Double the slots; in chunks, or the copies would need as much memory again."""
        before, self._entries = self._slots, 0
        self._allocate(2 * len(before))
        for start in range(0, len(before), CHUNK):
            slots = before[start : start + CHUNK]
            entries = slots[slots[:, 0] != 0]
            self._insert(entries[:, 0], entries[:, 1])
