"""A circuit breaker that stops a worker before it rejects a whole topic."""

from collections import deque

from millstream.errors import Stop


class CircuitBreaker:
    """Ratio of dead letters over a window of the latest records."""

    def __init__(self, stop_ratio: float | None, window: int) -> None:
        """`stop_ratio` None: never stops."""
        self._stop_ratio = stop_ratio
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._bad = 0

    def add(self, records: int, bad: int, reasons: dict[str, int]) -> None:
        """Account for a batch; raises `Stop` when the window is full and holds too many bad ones.

        Called before the batch is committed: a worker that stops has not consumed it.
        """
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
            most = max(reasons, key=lambda reason: reasons[reason])
            raise Stop(
                f"{self._bad} of the last {self._records} records went to dead letters, most of "
                f"the last batch with reason {most}: compare the settings with what the topic "
                "holds (millstream check), or raise dead_letters.stop_ratio; the last batch was "
                "not consumed"
            )
