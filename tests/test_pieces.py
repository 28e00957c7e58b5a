"""How many records are worked off at a time depends on what a call of the model costs."""

import time
from typing import Any

import numpy as np
import pytest
from river.linear_model import LogisticRegression as RiverRegression
from sklearn.linear_model import LogisticRegression

from millstream.core.models.river_learner import river_learner
from millstream.core.models.sklearn_learner import StaticSklearn
from millstream.runners.pieces import PIECE_RECORDS, SMALLEST_CALL, piece_records
from tests.memory.models import ManyAnswers

MANY = 10_000_000
NAMES = ("a", "b")


class Dear(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """As dear to call as a forest."""

    def predict_proba(self, rows: Any) -> Any:
        time.sleep(0.01)
        return super().predict_proba(rows)


def fitted(model: Any) -> StaticSklearn:
    return StaticSklearn(model.fit(np.eye(2), [0, 1]), NAMES)


def test_a_dear_call_is_shared_by_more_records_than_a_cheap_one() -> None:
    cheap, dear = (
        piece_records(fitted(each()), NAMES, MANY) for each in (LogisticRegression, Dear)
    )
    assert SMALLEST_CALL <= cheap < dear < MANY


def test_no_piece_is_larger_than_a_batch() -> None:
    assert piece_records(fitted(Dear()), NAMES, 1000) == 1000


def test_what_is_asked_event_by_event_is_worked_off_in_small_pieces() -> None:
    assert piece_records(river_learner(RiverRegression()), NAMES, MANY) == PIECE_RECORDS


def test_a_learner_of_the_users_own_is_not_asked_for_what_nobody_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = ManyAnswers()
    monkeypatch.setattr(learner, "predict_many", pytest.fail)
    assert piece_records(learner, NAMES, MANY) == MANY
