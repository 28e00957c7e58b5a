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
    """Open addressing with linear probing; a removal closes the gap, so nothing ever decays.

    Each slot has its key and, right behind it, its value: where both are far from the processor,
    they come together. A place is that of a key, so places are even, and `_mask` the last of them.
    """

    def __init__(self) -> None:
        self._entries = 0
        self._allocate(SMALLEST)

    def __len__(self) -> int:
        """How many entries there are."""
        return self._entries

    def bytes(self) -> int:
        """How much memory it takes."""
        return self._array.nbytes

    def find(self, key: int) -> Sequence[int]:
        """The values of a hash, in no order."""
        cells, mask = self._cells, self._mask
        place = (key << 1) & mask
        values: Sequence[int] = ()
        while found := cells[place]:
            if found == key:
                values = (*values, cells[place + 1])
            place = (place + 2) & mask
        return values

    def first(self, key: int, parity: int) -> int:
        """A value of a hash that is even (0) or odd (1), the first that is met; below 0: none."""
        cells, mask = self._cells, self._mask
        place = (key << 1) & mask
        while found := cells[place]:
            if found == key and (value := cells[place + 1]) & 1 == parity:
                return value
            place = (place + 2) & mask
        return -1

    def add(self, key: int, value: int) -> None:
        """Add an entry; `key` is above 0."""
        if 3 * self._entries >= self._mask:  # two thirds of the slots
            self._grow()
        cells, mask = self._cells, self._mask
        place = (key << 1) & mask
        while cells[place]:
            place = (place + 2) & mask
        cells[place] = key
        cells[place + 1] = value
        self._entries += 1

    def replace(self, key: int, value: int, new: int) -> None:
        """Give an entry another value."""
        self._cells[self._place(key, value) + 1] = new

    def remove(self, key: int, value: int) -> None:
        """Take out an entry that is there."""
        cells, mask = self._cells, self._mask
        gap = place = self._place(key, value)
        while following := cells[(place := (place + 2) & mask)]:
            # It may move into the gap unless its own place lies behind that.
            if (place - (following << 1)) & mask >= (place - gap) & mask:
                cells[gap], cells[gap + 1] = following, cells[place + 1]
                gap = place
        cells[gap] = 0
        self._entries -= 1

    def _place(self, key: int, value: int) -> int:
        cells, mask = self._cells, self._mask
        place = (key << 1) & mask
        while found := cells[place]:
            if found == key and cells[place + 1] == value:
                return place
            place = (place + 2) & mask
        raise KeyError(key)

    def _allocate(self, slots: int) -> None:
        self._mask = 2 * slots - 2
        self._array: Numbers = np.zeros(2 * slots, np.int64)
        # Reading one number from a memoryview takes a third of the time.
        self._cells = memoryview(self._array.data)

    def _grow(self) -> None:
        """Twice the room. In one go by numpy, because in Python ten million take ten seconds."""
        old = self._array.reshape(-1, 2)
        keys, values = old[old[:, 0] != 0].T.copy()
        slots = len(old) * 2
        self._allocate(slots)
        homes = keys & (slots - 1)
        order = np.argsort(homes, kind="stable")
        keys, values, homes = keys[order], values[order], homes[order]
        # In the order of their own slots, each comes to its own or right behind the one before.
        steps = np.arange(len(homes))
        places = np.maximum.accumulate(homes - steps) + steps
        fits = places < slots
        new = self._array.reshape(-1, 2)
        new[places[fits], 0] = keys[fits]
        new[places[fits], 1] = values[fits]
        self._entries = int(fits.sum())
        for key, value in zip(keys[~fits].tolist(), values[~fits].tolist(), strict=True):
            self.add(key, value)
