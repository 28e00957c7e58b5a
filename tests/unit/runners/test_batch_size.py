"""How long a batch may be: short while nothing waits, long where there is a backlog."""

from millstream.config.sections import BatchSettings
from millstream.runners.batch_size import FIRST_RECORDS, FULL_IN_A_ROW, BatchSizer

SECONDS = 0.001
"""What a record takes."""


def pace(max_records: int = 16_384, max_age: int = 1_000) -> BatchSizer:
    made = BatchSizer(BatchSettings(max_records=max_records, max_age=max_age))
    work(made)
    return made


def work(pace: BatchSizer, records: int | None = None, seconds: float = SECONDS) -> int:
    """A batch of so many records, or as many as it may have; returns how many those are."""
    limit = pace.limit()
    taken = limit if records is None else records
    pace.learn(taken, taken * seconds)
    pace.committed()
    return limit


def test_the_first_batch_is_small_since_nobody_knows_the_model_yet() -> None:
    fresh = BatchSizer(BatchSettings())
    assert fresh.limit() == FIRST_RECORDS
    assert BatchSizer(BatchSettings(max_records=10)).limit() == 10


def test_full_batches_in_a_row_are_a_backlog_and_batches_grow_to_their_longest() -> None:
    busy = pace()
    limits = [work(busy) for _ in range(4 * FULL_IN_A_ROW)]
    assert limits[0] == 300
    assert sorted(set(limits)) == [300, 600, 1_000]
    assert limits == sorted(limits)
    assert limits.count(600) == FULL_IN_A_ROW


def test_one_batch_that_is_not_full_ends_the_backlog() -> None:
    busy = pace()
    for _ in range(4 * FULL_IN_A_ROW):
        work(busy)
    assert work(busy, records=999) == 1_000
    assert work(busy) == 300


def test_a_worker_that_keeps_up_never_has_long_batches() -> None:
    """A stall makes two full batches, say, and then there is nothing left of it."""
    idle = pace()
    for records in [40, 300, 300, 120] * 5:
        assert work(idle, records=records) == 300


def test_an_age_below_the_usual_one_holds_from_the_first_batch_on() -> None:
    short = pace(max_age=50)
    assert {work(short) for _ in range(4 * FULL_IN_A_ROW)} == {50}


def test_no_batch_has_more_records_than_it_may() -> None:
    few = pace(max_records=100)
    assert {work(few) for _ in range(4 * FULL_IN_A_ROW)} == {100}


def test_a_model_that_takes_longer_than_a_batch_may_is_asked_for_one_record_at_a_time() -> None:
    slow = pace()
    for _ in range(30):
        work(slow, seconds=5.0)
    assert slow.limit() == 1


def test_batches_are_small_for_a_while_after_a_failure_however_much_waits() -> None:
    busy = pace()
    for _ in range(4 * FULL_IN_A_ROW):
        work(busy)
    busy.be_careful()
    assert {work(busy) for _ in range(20)} == {FIRST_RECORDS}
    assert work(busy) == 300, "and grow anew after it"
