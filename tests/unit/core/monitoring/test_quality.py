"""How predictions compare with their labels."""

import pytest

from millstream.core.models.interface.traits import Kind
from millstream.core.monitoring.quality import Scored, quality


@pytest.mark.parametrize(
    ("scored", "outcome"),
    [
        ((True, True), "true_positive"),
        ((False, False), "true_negative"),
        ((True, False), "false_positive"),
        ((False, True), "false_negative"),
        (("a", "a"), "correct"),
        (("a", "b"), "wrong"),
        ((3, 3), "correct"),
        ((True, 1), "wrong"),
    ],
)
def test_a_class_that_was_predicted_has_one_outcome(scored: Scored, outcome: str) -> None:
    assert quality([scored], "classifier").outcomes == {outcome: 1}


def test_the_errors_of_numbers_add_up() -> None:
    result = quality([(1.5, 2), (4, 2), (7.0, 7)], "regressor")
    assert (result.outcomes, result.absolute_error) == ({"number": 3}, 2.5)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_neither_a_model_that_knew_nothing_nor_an_event_without_label_is_scored(kind: Kind) -> None:
    result = quality([(None, True), (True, None)], kind)
    assert (result.outcomes, result.absolute_error) == ({}, 0)


def test_there_is_nothing_to_compare_where_a_model_has_no_labels() -> None:
    assert quality([(True, 1.0), (2, 3)], "anomaly").outcomes == {}
