"""A first-in, first-out queue of millions of pairs of numbers, in 8 bytes a number."""

from array import array
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

BLOCK = 8_192
"""Numbers in an array, after which a new one begins."""
Pair = tuple[int, int]
Pairs = npt.NDArray[np.int64]


class Fifo:
    """Pairs in the order in which they came; `rollback` restores those popped since `commit`."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._blocks = [array("q")]
        # The position of the first pair, now and at the last commit, which was in the first block.
        self._block = self._at = self._at_commit = 0
        self._pairs = self._popped = 0

    def __len__(self) -> int:
        """Number of pairs."""
        return self._pairs

    def push(self, pairs: Sequence[Pair]) -> None:
        """Add pairs at the end."""
        if len(self._blocks[-1]) >= BLOCK:
            self._blocks.append(array("q"))
        self._blocks[-1].extend(chain.from_iterable(pairs))
        self._pairs += len(pairs)

    def peek(self) -> Pair | None:
        """The first pair."""
        while self._at == len(block := self._blocks[self._block]):
            if self._block + 1 == len(self._blocks):
                return None
            self._block, self._at = self._block + 1, 0
        return block[self._at], block[self._at + 1]

    def pop(self) -> None:
        """Remove the first pair, which `peek` has returned."""
        self._at += 2
        self._pairs -= 1
        self._popped += 1

    def commit(self) -> None:
        """Make the removal of popped pairs final."""
        if self._block:
            del self._blocks[: self._block]
            self._block = 0
        self._at_commit, self._popped = self._at, 0

    def rollback(self) -> None:
        """Put back the pairs popped since the last commit; those pushed since stay."""
        self._pairs += self._popped
        self._block, self._at, self._popped = 0, self._at_commit, 0

    def retain(self, wanted: Callable[[Pairs], npt.NDArray[np.bool_]]) -> None:
        """Drop all other pairs, and popped ones, for good; `wanted` gets many pairs at once."""
        blocks, begin = self._blocks[self._block :], self._at
        self._clear()
        for block in blocks:
            pairs = np.frombuffer(block, np.int64)[begin:].reshape(-1, 2)
            retained = pairs[wanted(pairs)]
            if len(retained):
                self._blocks.append(array("q", retained.tobytes()))
                self._pairs += len(retained)
            begin = 0
        self._blocks.append(array("q"))
