"""What counts as a bad record, and when too many of them stop a worker."""

import pytest

from millstream.core.circuit_breaker import CircuitBreaker
from millstream.errors import Stop


def counts(consumed: int, **reasons: int) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {("consumed", "events"): consumed, ("learned",): consumed}
    return found | {("dead_lettered", "label", reason): n for reason, n in reasons.items()}


def test_half_of_a_full_window_stops_it_with_the_commonest_reason_of_the_batch() -> None:
    breaker = CircuitBreaker(0.5, window=10)
    breaker.add(counts(5, id=4))
    with pytest.raises(Stop, match=r"6 of the last 10 records .* reason schema"):
        breaker.add(counts(3, schema=1), counts(2, schema=1))


def test_a_label_without_a_prediction_is_no_fault_of_the_record() -> None:
    CircuitBreaker(0.1, window=10).add(counts(10, unmatched=6, late=4))


def test_bad_records_that_left_the_window_do_not_count() -> None:
    breaker = CircuitBreaker(0.5, window=10)
    breaker.add(counts(9, id=9))
    for _ in range(2):
        breaker.add(counts(10))
    breaker.add(counts(10, id=4))


def test_a_batch_without_new_bad_records_never_stops_it() -> None:
    breaker = CircuitBreaker(0.5, window=10)
    breaker.add(counts(9, id=9))
    breaker.add(counts(1))


def test_without_a_ratio_it_never_stops() -> None:
    CircuitBreaker(None, window=1).add(counts(10, id=10))
