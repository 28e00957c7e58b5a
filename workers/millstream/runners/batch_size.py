"""The size of batches and of their chunks.

The time of a commit hardly depends on the batch, so a worker with a backlog is faster with longer
batches; but the last record of a long batch waits for all of it. So batches are short at first, and
grow to the maximum when full batches follow each other for about a second: that is a backlog, and
its age outweighs the age of a batch.
"""

import time
from typing import Any, Final

from millstream.config.sections import BatchSettings
from millstream.core.models.checked_learner import CheckedLearner
from millstream.core.models.interface.learner import Learner

FIRST_RECORDS: Final = 64
"""Size of a batch while the model's speed is unknown, or just after it raised."""
CAREFUL_BATCHES: Final = 20
USUAL_SECONDS: Final = 0.3
"""The processing time of a full batch without a backlog."""
FULL_IN_A_ROW: Final = 3
"""This many full batches show a backlog, and as many again that it is still there. A worker at half
load that was delayed for less than half a second does not have as many."""
GROWTH: Final = 2.0

CHUNK_RECORDS: Final = 64
"""For a model that predicts event by event."""
SMALLEST_CALL: Final = 256
"""The smallest chunk for a model that predicts many events in one call, however cheap the call."""
SHARE_OF_A_CALL: Final = 0.3e-6
"""Seconds of the fixed cost of a vectorised call that one record may bear."""


class BatchSizer:
    """Sets the size of the next batch from the time of the last ones."""

    def __init__(self, batch: BatchSettings) -> None:
        self._most = batch.max_records
        self._max_seconds = batch.max_age / 1000
        self._seconds = min(USUAL_SECONDS, self._max_seconds)
        """Processing time that the next batch may take."""
        self._full = 0
        """Full batches in a row, of that length."""
        self._limit = 0
        self._seconds_per_record = 0.0
        self._careful = 0

    def limit(self) -> int:
        """The maximum number of records in the next batch."""
        if self._seconds_per_record <= 0 or self._careful > 0:
            self._limit = min(FIRST_RECORDS, self._most)
        else:
            in_time = int(self._seconds / self._seconds_per_record)
            self._limit = max(1, min(self._most, in_time))
        return self._limit

    def learn(self, records: int, seconds: float) -> None:
        """Account for the time and the number of records of a batch."""
        latest = seconds / records
        known = self._seconds_per_record
        self._seconds_per_record = latest if known <= 0 else 0.8 * known + 0.2 * latest
        if records < self._limit or self._careful > 0:
            self._full, self._seconds = 0, min(USUAL_SECONDS, self._max_seconds)
            return
        self._full += 1
        if self._full == FULL_IN_A_ROW:
            self._full, self._seconds = 0, min(GROWTH * self._seconds, self._max_seconds)

    def be_careful(self) -> None:
        """Use small batches for a while, so that less is repeated if one fails."""
        self._careful = CAREFUL_BATCHES

    def committed(self) -> None:
        """Account for a committed batch."""
        self._careful = max(0, self._careful - 1)


def chunk_records(learner: Learner, features: Any, most: int) -> int:
    """The number of records in a chunk, at most `most`.

    A chunk is small enough for the CPU cache to hold its objects, since processing thousands at a
    time takes half as long again, and large enough to share the fixed cost of a chunk. A model that
    predicts many events in one call is timed: a call of a linear model costs as much as some
    hundred of its rows, one of a forest as much as thousands. `features`: as in the settings; a
    list of names if the model does not know its own. Users' own learners are not called for a
    measurement; they get whole batches.
    """
    if not learner.traits.batched:
        return min(CHUNK_RECORDS, most)
    if isinstance(learner, CheckedLearner):
        return most
    row = dict.fromkeys(learner.traits.feature_names or features, 1.0)
    seconds = min(_call_seconds(learner, row) for _ in range(3))
    return min(most, max(SMALLEST_CALL, int(seconds / SHARE_OF_A_CALL)))


def _call_seconds(learner: Learner, row: dict[str, float]) -> float:
    began = time.perf_counter()
    learner.predict_many([row])
    return time.perf_counter() - began
