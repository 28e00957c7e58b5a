"""The lag and the dead letters that a worker reports."""

import logging
from typing import Any, cast

import pytest

from millstream.core.records.record import BatchResult
from millstream.delivery.batch import Batch
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.runners.confluent.reporting import LoopReporter
from millstream.state.partition import Partition
from tests.support.partitions import running


class FakeProcessor:
    """What a report shows of a processor."""

    learned = 0

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog

    @property
    def source(self) -> Any:
        return type("Source", (), {"model_name": "m", "model_version": "1"})

    def backlog(self, _input_name: str) -> int:
        return self._backlog

    def pending(self) -> int:
        return 0

    def early_labels(self) -> int:
        return 0


class FakeMembership:
    """One partition; its own `ends`."""

    def __init__(self, *, at_end: bool, lag: int | None, backlog: int) -> None:
        processor = cast("Any", FakeProcessor(backlog))
        self.partitions = {0: running(0, processor, {"events": 0})}
        self.partitions[0].latest["events"] = 1_000
        self.ends = self
        self._at_end, self._lag = at_end, lag

    def reached(self, _partition: Partition) -> dict[str, bool]:
        return {"events": self._at_end}

    def lag(self, _partition: Partition, _input_name: str) -> int | None:
        return self._lag


class Lags:
    """Keeps the lags that are set, of all that is reported of partitions."""

    def __init__(self) -> None:
        self.lags: list[tuple[int, bool]] = []

    def set_lag(self, _input: str, _partition: int, records: int, seconds: float) -> None:
        self.lags.append((records, seconds > 0))

    def set_model(self, *_: object) -> None:
        """Not looked at, like the next two."""

    set_learned = set_pending = set_model


@pytest.mark.parametrize(
    ("at_end", "lag", "backlog", "shown"),
    [
        (False, 5, 0, [(5, True)]),
        (True, 1, 0, [(0, False)]),  # a transaction marker is no lag
        (True, 5, 4, [(5, True)]),  # fetched, but not processed yet
        (False, None, 0, []),  # nothing was fetched yet
    ],
)
def test_the_lag_is_what_is_not_processed_but_for_transaction_markers(
    *, at_end: bool, lag: int | None, backlog: int, shown: list[tuple[int, bool]]
) -> None:
    metrics, lags = Metrics(), Lags()
    metrics.partitions = cast("Any", lags)
    membership = cast("GroupMembership", FakeMembership(at_end=at_end, lag=lag, backlog=backlog))
    reporter = LoopReporter("dead", metrics, Health(60))
    reporter.report_lag(membership)
    reporter.report_lag(membership)  # within the same second
    assert lags.lags == shown


def test_dead_letters_are_warned_of_together_and_not_at_each_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter = LoopReporter("dead", Metrics(), Health(60))
    empty = cast("GroupMembership", type("Membership", (), {"partitions": {}}))

    def reject(amount: int) -> None:
        batch = Batch("member")
        counts: dict[tuple[str, ...], int] = {("dead_lettered", "decode", "not_json"): amount}
        batch.add(Partition(0), BatchResult(counts=counts))
        reporter.after_commit(batch)

    reject(2)
    reject(3)
    with caplog.at_level(logging.WARNING):
        reporter.report_lag(empty)
        reject(4)
        reporter._lag_due = 0.0
        reporter.report_lag(empty)
    (record,) = caplog.records
    assert cast("Any", record).reasons == {"not_json": 5}
