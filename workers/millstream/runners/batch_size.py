"""How many records make a full batch: bounded in number and, by the pace of the model, in time.

What a commit takes hardly depends on the batch, so a worker that is behind works faster the longer
its batches are; but whatever waits at the end of a long one waits for all of it. So batches are
short at first, and grow to their longest where one full batch follows the other for a second or
so: there is a backlog then, beside which the age of a batch is nothing.
"""

from typing import Final

from millstream.config.sections import BatchSettings

FIRST_RECORDS: Final = 64
"""Size of a batch while the pace of the model is not known, or it raised a moment ago."""
CAREFUL_BATCHES: Final = 20
USUAL_SECONDS: Final = 0.3
"""How long a full batch is worked on where there is no backlog to speak of."""
FULL_IN_A_ROW: Final = 3
"""So many full batches show a backlog, and so many more that it is still there. A worker at half
load that was held up for less than half a second has not as many."""
GROWTH: Final = 2.0


class BatchSizer:
    """What the last batches say of the next one's size."""

    def __init__(self, batch: BatchSettings) -> None:
        self._most = batch.max_records
        self._max_seconds = batch.max_age / 1000
        self._seconds = min(USUAL_SECONDS, self._max_seconds)
        """How long the next batch may be worked on."""
        self._full = 0
        """Full batches in a row, of that length."""
        self._limit = 0
        self._seconds_per_record = 0.0
        self._careful = 0

    def limit(self) -> int:
        """How many records the next batch may have."""
        if self._seconds_per_record <= 0 or self._careful > 0:
            self._limit = min(FIRST_RECORDS, self._most)
        else:
            in_time = int(self._seconds / self._seconds_per_record)
            self._limit = max(1, min(self._most, in_time))
        return self._limit

    def learn(self, records: int, seconds: float) -> None:
        """Take in how long a batch took, and how many records there were for it."""
        pace = seconds / records
        known = self._seconds_per_record
        self._seconds_per_record = pace if known <= 0 else 0.8 * known + 0.2 * pace
        if records < self._limit or self._careful > 0:
            self._full, self._seconds = 0, min(USUAL_SECONDS, self._max_seconds)
            return
        self._full += 1
        if self._full == FULL_IN_A_ROW:
            self._full, self._seconds = 0, min(GROWTH * self._seconds, self._max_seconds)

    def be_careful(self) -> None:
        """Small batches for a while, so that not all of a large one is done again."""
        self._careful = CAREFUL_BATCHES

    def committed(self) -> None:
        """A batch counts."""
        self._careful = max(0, self._careful - 1)
