"""A priority queue of millions of small rows of numbers, in 8 bytes a number."""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain

import numpy as np
import numpy.typing as npt

RUN = 16_384
BLOCK = 64
Row = tuple[int, ...]
Rows = npt.NDArray[np.int64]


class RunQueue:
    """A heap of the latest rows, and sorted arrays of the others; smallest row first.

    Rows that come nearly in order, as those of a stream do, cost little to sort; others only make
    more runs to choose from.
    """

    def __init__(self) -> None:
        self._recent: list[Row] = []
        self._runs: dict[int, npt.NDArray[np.int64]] = {}
        # Of each run the rows around its head as tuples: converting one at a time is slow.
        self._blocks: dict[int, list[Row]] = {}
        self._next_run = 0
        # The first row not yet popped of each run, with the numbers of run and row.
        self._heads: list[tuple[Row, int, int]] = []
        self._rows = 0

    def __len__(self) -> int:
        """Number of rows."""
        return self._rows

    def push(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        recent = self._recent
        for row in rows:
            heappush(recent, row)
        self._rows += len(rows)
        if len(recent) > RUN:
            recent.sort()
            numbers = np.fromiter(chain.from_iterable(recent), np.int64)
            self._add_run(numbers.reshape(len(recent), -1))
            recent.clear()

    def peek(self) -> Row | None:
        """The smallest row; None: there is none."""
        if self._heads and (not self._recent or self._heads[0][0] < self._recent[0]):
            return self._heads[0][0]
        return self._recent[0] if self._recent else None

    def pop(self) -> Row:
        """Remove and return the smallest row; there is one."""
        self._rows -= 1
        if not self._heads or (self._recent and self._recent[0] < self._heads[0][0]):
            return heappop(self._recent)
        row, number, at = heappop(self._heads)
        self._push_head(number, at + 1)
        return row

    def retain(self, wanted: Callable[[Rows], npt.NDArray[np.bool_]]) -> None:
        """Drop all other rows; `wanted` gets many rows at once."""
        left = [self._runs[number][at:] for _, number, at in self._heads]
        left = [rows[wanted(rows)] for rows in left]
        if self._recent:
            rows = np.array(self._recent)
            self._recent = [*map(tuple, rows[wanted(rows)].tolist())]
        heapify(self._recent)
        self._runs, self._blocks, self._heads = {}, {}, []
        self._rows = len(self._recent)
        rows = np.concatenate(left) if left else np.empty((0, 1), np.int64)
        del left
        if len(rows):
            rows = rows[np.lexsort(rows.T[::-1])]
            self._rows += len(rows)
            self._add_run(rows)

    def _add_run(self, rows: npt.NDArray[np.int64]) -> None:
        self._runs[self._next_run] = rows
        self._push_head(self._next_run, 0)
        self._next_run += 1

    def _push_head(self, number: int, at: int) -> None:
        run = self._runs[number]
        if at >= len(run):
            del self._runs[number], self._blocks[number]
            return
        if at % BLOCK == 0:
            self._blocks[number] = list(map(tuple, run[at : at + BLOCK].tolist()))
        heappush(self._heads, (self._blocks[number][at % BLOCK], number, at))
