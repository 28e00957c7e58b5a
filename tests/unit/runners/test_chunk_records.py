"""How many records are worked off at a time depends on what a call of the model costs."""

from typing import Any

import numpy as np
import pytest
from river.linear_model import LogisticRegression as RiverRegression
from sklearn.linear_model import LogisticRegression

from millstream.core.models.checked_learner import CheckedLearner
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.scikit_learn.static import StaticSklearn
from millstream.runners import batch_size
from millstream.runners.batch_size import CHUNK_RECORDS, SMALLEST_CALL, chunk_records
from tests.support.models import ManyAnswers

MANY = 10_000_000
NAMES = ("a", "b")


class Clock:
    """Goes on with each call of a model, so that a slow machine does not matter."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Timed(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """A call takes `seconds`."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def predict_proba(self, rows: Any) -> Any:
        self.clock.now += self.seconds
        return super().predict_proba(rows)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(batch_size, "time", clock)
    return clock


def fitted(model: Any) -> StaticSklearn:
    return StaticSklearn(model.fit(np.eye(2), [0, 1]), NAMES)


@pytest.mark.parametrize(
    ("seconds", "records"), [(0.000_01, SMALLEST_CALL), (0.000_3, 1_000), (0.03, 100_000)]
)
def test_the_dearer_a_call_the_more_records_share_it(
    clock: Clock, seconds: float, records: int
) -> None:
    found = chunk_records(fitted(Timed(clock, seconds)), NAMES, MANY)
    assert found == pytest.approx(records, abs=1)


def test_no_piece_is_larger_than_a_batch(clock: Clock) -> None:
    assert chunk_records(fitted(Timed(clock, 0.01)), NAMES, 1000) == 1000


def test_what_is_asked_event_by_event_is_worked_off_in_small_pieces() -> None:
    assert chunk_records(river_learner(RiverRegression()), NAMES, MANY) == CHUNK_RECORDS


def test_a_learner_of_the_users_own_is_not_asked_for_what_nobody_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ManyAnswers()
    monkeypatch.setattr(given, "predict_many", pytest.fail)
    assert chunk_records(CheckedLearner(given), NAMES, MANY) == MANY
