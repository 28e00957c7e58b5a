"""A queue of millions of pairs of numbers, first in, first out, in 8 bytes a number."""

from array import array
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

BLOCK = 8_192
"""An array with so many numbers takes no more."""
Pair = tuple[int, int]
Pairs = npt.NDArray[np.int64]


class Fifo:
    """Pairs in the order in which they came; those taken since the last `commit` can come back."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._blocks = [array("q")]
        # The place of the first pair, now and at the last commit, which was in the first block.
        self._block = self._at = self._at_commit = 0
        self._pairs = self._taken = 0

    def __len__(self) -> int:
        """How many pairs there are."""
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
        """Take the first pair, which `peek` has shown."""
        self._at += 2
        self._pairs -= 1
        self._taken += 1

    def commit(self) -> None:
        """What was taken does not come back."""
        if self._block:
            del self._blocks[: self._block]
            self._block = 0
        self._at_commit, self._taken = self._at, 0

    def rollback(self) -> None:
        """What was taken since the last commit is there again. What came since stays."""
        self._pairs += self._taken
        self._block, self._at, self._taken = 0, self._at_commit, 0

    def keep(self, wanted: Callable[[Pairs], npt.NDArray[np.bool_]]) -> None:
        """Drop all other pairs, and what was taken, for good; `wanted` is asked of many at once."""
        blocks, begin = self._blocks[self._block :], self._at
        self._clear()
        for block in blocks:
            pairs = np.frombuffer(block, np.int64)[begin:].reshape(-1, 2)
            kept = pairs[wanted(pairs)]
            if len(kept):
                self._blocks.append(array("q", kept.tobytes()))
                self._pairs += len(kept)
            begin = 0
        self._blocks.append(array("q"))
