"""Which blocked restores a worker may end by itself, and which it must only report.

Brokers are stand-ins here; `tests/integration/test_hanging.py` has real ones that drop markers.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.config.settings import Settings
from millstream.delivery import hanging_transactions
from millstream.delivery.hanging_transactions import HangingTransactions
from millstream.delivery.publisher import Aborted

SETTINGS = Settings.model_validate(
    {"app": "app", "kafka": {"bootstrap.servers": "nowhere:1"},
     "events": {"topic": "events", "id": "id", "label": "label"}, "labels": {"from": "event"},
     "model": {"river": "linear_model.Perceptron()"}}
)  # fmt: skip
LONG = 10_000.0
"""Seconds; longer than any transaction may be open."""


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Ends:
    """Watermarks of logs that all have records up to 9."""

    def __init__(self, stable: set[str], end: int) -> None:
        self.stable = stable
        self.end = end

    def of(self, topic: str, _partition: int) -> tuple[int, int]:
        return 0, 9 if topic not in self.stable else self.end


class Probe:
    seconds = 0.0
    silent_at = 0.0


class Brokers:
    """Topics with an open transaction, and what a worker does about it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: set[str] = set()
        self.own = True
        """Whether the open transactions are this worker's."""
        self.offsets_known = True
        self.failure: Exception | None = None
        self.aborted: list[list[int]] = []
        self.clock, self.probe = Clock(), Probe()
        monkeypatch.setattr(hanging_transactions, "time", self.clock)
        monkeypatch.setattr(hanging_transactions, "Watermarks", lambda *_: Ends(self.open, 5))
        ends: Any = Ends(set(), 9)
        outage: Any = self.probe
        self.hanging = HangingTransactions(SETTINGS, ["events"], ["predictions"], ends, outage)

    def abort_over(self, partitions: Sequence[int]) -> None:
        if self.failure is not None:
            raise self.failure
        self.aborted.append(list(partitions))
        if self.own:
            self.open.clear()

    def committed(self, _partition: int) -> None:
        if not self.offsets_known:
            raise KafkaException(KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))

    def unblock(self, progress: object, after: float = 0.0, partition: int = 2) -> bool:
        """Ask so many seconds after the last time."""
        self.clock.now += after
        return self.hanging.unblock_restore(partition, progress, self.committed, self.abort_over)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    return Brokers(monkeypatch)


def test_a_restore_that_makes_progress_is_left_alone(brokers: Brokers) -> None:
    brokers.open.add("predictions")
    assert not any(brokers.unblock(progress, LONG) for progress in range(3))
    assert brokers.aborted == []


def test_a_restore_that_stands_still_has_its_own_transaction_ended(brokers: Brokers) -> None:
    brokers.open.add("predictions")
    brokers.unblock(7)
    assert not brokers.unblock(7, 1.0), "a coordinator may still end it"
    assert brokers.aborted == []
    assert not brokers.unblock(7, LONG)
    assert brokers.aborted == [[2]]


def test_time_without_brokers_does_not_count_as_standing_still(brokers: Brokers) -> None:
    brokers.open.add("predictions")
    brokers.unblock(7)
    brokers.probe.seconds = 3.0
    brokers.unblock(7, LONG)
    brokers.probe.seconds = 0.0
    brokers.unblock(7, 1.0)
    assert brokers.aborted == []


def test_a_slow_restore_without_an_open_transaction_is_left_alone(brokers: Brokers) -> None:
    brokers.unblock(7)
    assert not brokers.unblock(7, LONG)
    assert brokers.aborted == []


def test_offsets_that_stay_unknown_are_enough_to_act(brokers: Brokers) -> None:
    """The transaction may have offsets alone."""
    brokers.unblock(None)
    assert not brokers.unblock(None, LONG)
    assert brokers.aborted == [[2]]


@pytest.mark.parametrize(
    ("open_topics", "known", "reported"),
    [
        ({"predictions"}, True, ["predictions"]),
        (set(), False, ["__consumer_offsets"]),
        ({"predictions"}, False, ["predictions", "__consumer_offsets"]),
    ],
)
def test_what_another_producer_left_open_is_reported_and_other_partitions_go_first(
    brokers: Brokers,
    caplog: pytest.LogCaptureFixture,
    open_topics: set[str],
    known: bool,
    reported: list[str],
) -> None:
    brokers.open |= open_topics
    brokers.own, brokers.offsets_known = False, known
    brokers.unblock(None)
    assert brokers.unblock(None, LONG)
    [error] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert error.__dict__["topics"] == reported


@pytest.mark.parametrize(
    "failure", [Aborted("fenced"), KafkaException(KafkaError(KafkaError._TRANSPORT))]
)
def test_a_failure_to_end_it_lets_other_partitions_go_first(
    brokers: Brokers, failure: Exception
) -> None:
    brokers.open.add("predictions")
    brokers.failure = failure
    brokers.unblock(7)
    assert brokers.unblock(7, LONG)


def test_after_it_acted_it_waits_as_long_again(brokers: Brokers) -> None:
    brokers.open.add("predictions")
    brokers.own = False
    brokers.unblock(7)
    brokers.unblock(7, LONG)
    brokers.unblock(7, 1.0)
    assert len(brokers.aborted) == 1


def test_before_a_restore_only_partitions_with_open_outputs_are_touched(brokers: Brokers) -> None:
    brokers.hanging.abort_own(1, brokers.abort_over)
    assert brokers.aborted == []
    brokers.open.add("predictions")
    brokers.hanging.abort_own(1, brokers.abort_over)
    assert brokers.aborted == [[1]]


def test_a_commit_is_in_doubt_where_brokers_were_silent_after_it_began(brokers: Brokers) -> None:
    brokers.probe.silent_at = 5.0
    assert brokers.hanging.in_doubt(4.0)
    assert not brokers.hanging.in_doubt(6.0)
