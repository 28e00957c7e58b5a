"""A circuit breaker that stops a worker before it rejects a whole topic."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from millstream.errors import Stop

UNMATCHED_REASONS: Final = frozenset({"unmatched", "late"})
"""Reasons of labels that found no prediction, which is no fault of the record."""


class CircuitBreaker:
    """Measures the ratio of bad records over a window of the latest records."""

    def __init__(self, stop_ratio: float | None, window: int) -> None:
        """`stop_ratio` None: never stops; `window`: number of records."""
        self._stop_ratio = stop_ratio
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._bad = 0

    def add(self, *counts: Mapping[tuple[str, ...], int]) -> None:
        """Account for a batch; raises `Stop` when the window is full and holds too many bad ones.

        `counts` as in `BatchResult`, one for each partition of the batch. Call it before the batch
        is committed: a worker that stops has not consumed it.
        """
        records, reasons = 0, Counter[str]()
        for each in counts:
            for key, amount in each.items():
                if key[0] == "consumed":
                    records += amount
                elif key[0] == "dead_lettered" and key[2] not in UNMATCHED_REASONS:
                    reasons[key[2]] += amount
        if records:
            self._add(records, reasons)

    def _add(self, records: int, reasons: Counter[str]) -> None:
        bad = reasons.total()
        self._batches.append((records, bad))
        self._records += records
        self._bad += bad
        while self._records - self._batches[0][0] >= self._window:
            old_records, old_bad = self._batches.popleft()
            self._records -= old_records
            self._bad -= old_bad
        if self._stop_ratio is None or self._records < self._window or not bad:
            return
        if self._bad / self._records >= self._stop_ratio:
            [(most, _)] = reasons.most_common(1)
            raise Stop(
                f"{self._bad} of the last {self._records} records went to dead letters, most of "
                f"the last batch with reason {most}: compare the settings with what the topic "
                "holds (millstream check), or raise dead_letters.stop_ratio; the last batch was "
                "not consumed"
            )
