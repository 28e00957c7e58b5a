"""How many records of a batch are worked off, and written, at a time.

Few enough for the processor's cache to hold all that is made of them, since working off thousands
at a time takes half as long again; and enough to share what a piece costs.
"""

import time
from typing import Any, Final

from millstream.core.models.checked_learner import CheckedLearner
from millstream.core.models.interface.learner import Learner

PIECE_RECORDS: Final = 64
"""Of a model that is asked event by event."""
SMALLEST_CALL: Final = 256
"""Records in a piece of a model that is asked for many events at once, however cheap its call."""
SHARE_OF_A_CALL: Final = 0.3e-6
"""Seconds that a record may have to bear of what a vectorised call costs whatever is in it."""


def piece_records(learner: Learner, features: Any, most: int) -> int:
    """How many records make a piece; no more than `most`.

    A model that is asked for many events at once is timed: a call of a linear model costs as much
    as some hundred of its rows, one of a forest as much as thousands. `features`: as the settings
    have them; a list of names where the model does not know its own. Own learners are not asked
    for answers that nobody wants; they get whole batches.
    """
    if not learner.traits.batched:
        return min(PIECE_RECORDS, most)
    if isinstance(learner, CheckedLearner):
        return most
    row = dict.fromkeys(learner.traits.feature_names or features, 1.0)
    seconds = min(_seconds_of_a_call(learner, row) for _ in range(3))
    return min(most, max(SMALLEST_CALL, int(seconds / SHARE_OF_A_CALL)))


def _seconds_of_a_call(learner: Learner, row: dict[str, float]) -> float:
    began = time.perf_counter()
    learner.predict_many([row])
    return time.perf_counter() - began
