"""A hash table from 64-bit hashes to 64-bit numbers in 16 bytes a slot.

A dict of numbers needs 100 to 130 bytes for each; this one 24 to 48, and a few tenths of a
microsecond more for each call. Several entries may have the same hash: whoever asks compares
what the numbers stand for.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SMALLEST = 1 << 10
Numbers = npt.NDArray[np.int64]


class HashTable:
    """Open addressing with linear probing; a removal closes the gap, so nothing ever decays."""

    def __init__(self) -> None:
        self._entries = 0
        self._allocate(SMALLEST)

    def __len__(self) -> int:
        """How many entries there are."""
        return self._entries

    def bytes(self) -> int:
        """How much memory it takes."""
        return 16 * (self._mask + 1)

    def find(self, key: int) -> Sequence[int]:
        """The values of a hash, in no order."""
        keys, mask = self._keys, self._mask
        slot = key & mask
        values: Sequence[int] = ()
        while found := keys[slot]:
            if found == key:
                values = (*values, self._values[slot])
            slot = (slot + 1) & mask
        return values

    def first(self, key: int, parity: int) -> int:
        """A value of a hash that is even (0) or odd (1), the first that is met; below 0: none."""
        keys, values, mask = self._keys, self._values, self._mask
        slot = key & mask
        while found := keys[slot]:
            if found == key and (value := values[slot]) & 1 == parity:
                return value
            slot = (slot + 1) & mask
        return -1

    def add(self, key: int, value: int) -> None:
        """Add an entry; `key` is above 0."""
        if 3 * self._entries >= 2 * self._mask:
            self._grow()
        keys, mask = self._keys, self._mask
        slot = key & mask
        while keys[slot]:
            slot = (slot + 1) & mask
        keys[slot] = key
        self._values[slot] = value
        self._entries += 1

    def replace(self, key: int, value: int, new: int) -> None:
        """Give an entry another value."""
        self._values[self._slot(key, value)] = new

    def remove(self, key: int, value: int) -> None:
        """Take out an entry that is there."""
        keys, values, mask = self._keys, self._values, self._mask
        gap = self._slot(key, value)
        slot = gap
        while following := keys[(slot := (slot + 1) & mask)]:
            # It may move into the gap unless its own place lies behind that.
            if (slot - following) & mask >= (slot - gap) & mask:
                keys[gap], values[gap] = following, values[slot]
                gap = slot
        keys[gap] = 0
        self._entries -= 1

    def _slot(self, key: int, value: int) -> int:
        keys, values, mask = self._keys, self._values, self._mask
        slot = key & mask
        while found := keys[slot]:
            if found == key and values[slot] == value:
                return slot
            slot = (slot + 1) & mask
        raise KeyError(key)

    def _allocate(self, size: int) -> None:
        self._mask = size - 1
        self._key_array: Numbers = np.zeros(size, np.int64)
        self._value_array: Numbers = np.zeros(size, np.int64)
        # Reading one number from a memoryview takes a third of the time.
        self._keys = memoryview(self._key_array.data)
        self._values = memoryview(self._value_array.data)

    def _grow(self) -> None:
        """Twice the room. In one go by numpy, because in Python ten million take ten seconds."""
        taken = np.flatnonzero(self._key_array)
        keys, values = self._key_array[taken], self._value_array[taken]
        self._allocate(2 * (self._mask + 1))
        homes = keys & self._mask
        order = np.argsort(homes, kind="stable")
        keys, values, homes = keys[order], values[order], homes[order]
        # In the order of their own places, each comes to its own or right behind the one before.
        steps = np.arange(len(homes))
        places = np.maximum.accumulate(homes - steps) + steps
        fits = places <= self._mask
        self._key_array[places[fits]] = keys[fits]
        self._value_array[places[fits]] = values[fits]
        self._entries = int(fits.sum())
        for key, value in zip(keys[~fits].tolist(), values[~fits].tolist(), strict=True):
            self.add(key, value)
