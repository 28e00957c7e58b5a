"""A queue of millions of pairs of numbers, first in, first out, in 8 bytes a number."""

from array import array
from collections.abc import Callable

BLOCK = 8_192
"""Numbers in an array; an even one."""
Pair = tuple[int, int]


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

    def push(self, first: int, second: int) -> None:
        """Add a pair at the end."""
        block = self._blocks[-1]
        if len(block) >= BLOCK:
            block = array("q")
            self._blocks.append(block)
        block.append(first)
        block.append(second)
        self._pairs += 1

    def peek(self) -> Pair | None:
        """The first pair."""
        block, at = self._blocks[self._block], self._at
        if at == len(block):
            if self._block + 1 == len(self._blocks):
                return None
            self._block += 1
            block, at = self._blocks[self._block], 0
            self._at = 0
        return block[at], block[at + 1]

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

    def keep(self, wanted: Callable[[Pair], bool]) -> None:
        """Drop all other pairs, and what was taken, for good."""
        blocks, begin = self._blocks[self._block :], self._at
        self._clear()
        for block in blocks:
            for at in range(begin, len(block), 2):
                pair = (block[at], block[at + 1])
                if wanted(pair):
                    self.push(*pair)
            begin = 0
