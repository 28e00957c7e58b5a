"""How long a worker rests between small transactions follows from what these took, no more."""

from collections.abc import Callable

import pytest

from millstream.delivery.commit_backoff import FIRST, LEAST, LONGER, MOST, CommitBackoff

QUICK, WAITED = 0.004, 0.024
"""Seconds of a transaction, and of one that found the broker still ending the one before."""


def after(rest: CommitBackoff, transactions: int, seconds: Callable[[float], float]) -> int:
    """How many waited, of so many that take `seconds` after a rest."""
    waited = 0
    for _ in range(transactions):
        took = seconds(rest.seconds)
        waited += took >= WAITED
        rest.took(took)
    return waited


def test_one_that_waited_is_followed_by_longer_rests() -> None:
    rest = CommitBackoff()
    after(rest, 20, lambda _: QUICK)
    before = rest.seconds
    rest.took(WAITED)
    assert rest.seconds == pytest.approx(before + LONGER)


def test_a_broker_that_needs_longer_gets_longer_with_few_that_wait() -> None:
    """It tries less now and then, since what is needed may change."""
    rest = CommitBackoff()
    after(rest, 100, lambda _: QUICK)
    needs = 3 * FIRST
    assert after(rest, 2_000, lambda seconds: QUICK if seconds > needs else WAITED) < 40
    assert needs - LONGER < rest.seconds < needs + 2 * LONGER


def test_a_quick_broker_is_left_alone_for_the_least_time() -> None:
    rest = CommitBackoff()
    after(rest, 5_000, lambda _: QUICK)
    assert rest.seconds == LEAST


def test_a_rest_is_never_longer_than_the_most() -> None:
    rest = CommitBackoff()
    after(rest, 100, lambda _: WAITED)
    assert rest.seconds == MOST


def test_where_all_take_long_none_is_taken_for_one_that_waited() -> None:
    """Brokers that are far away: no rest would make them any faster."""
    rest = CommitBackoff()
    after(rest, 1_000, lambda _: 0.06)
    before = rest.seconds
    after(rest, 100, lambda _: 0.06)
    assert rest.seconds < before
