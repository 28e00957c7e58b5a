"""How many records make a full batch: bounded in number and, by the pace of the model, in time."""

from typing import Final

from millstream.settings import BatchSettings

FIRST_RECORDS: Final = 64
"""Size of a batch while the pace of the model is not known, or it raised a moment ago."""
CAREFUL_BATCHES: Final = 20


class Pace:
    """What the last batches say of the next one's size."""

    def __init__(self, batch: BatchSettings) -> None:
        self._most = batch.max_records
        self._max_seconds = batch.max_age / 1000
        self._seconds_per_record = 0.0
        self._careful = 0

    def limit(self) -> int:
        """How many records the next batch may have."""
        if self._seconds_per_record <= 0 or self._careful > 0:
            return min(FIRST_RECORDS, self._most)
        return max(1, min(self._most, int(self._max_seconds / self._seconds_per_record)))

    def learn(self, records: int, seconds: float) -> None:
        """Take in how long a batch took."""
        pace = seconds / records
        known = self._seconds_per_record
        self._seconds_per_record = pace if known <= 0 else 0.8 * known + 0.2 * pace

    def be_careful(self) -> None:
        """Small batches for a while, so that not all of a large one is done again."""
        self._careful = CAREFUL_BATCHES

    def committed(self) -> None:
        """A batch counts."""
        self._careful = max(0, self._careful - 1)
