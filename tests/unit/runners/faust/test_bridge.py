"""What Faust hands over comes to the loop in order, each record once and none left out."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaError, TopicPartition

from millstream.config.settings import Settings
from millstream.core.records.record import Record
from millstream.errors import Stop
from millstream.kafka.log_reader import OffsetRange
from millstream.runners.faust import bridge as bridge_module
from millstream.runners.faust import log_access, partition_buffer
from millstream.runners.faust.bridge import ConsumerBridge
from millstream.runners.faust.partition_buffer import FetchProgress
from tests.support.kafka.cluster import wait_until

GENERATION = 7


class Message(NamedTuple):
    """As Faust has one."""

    topic: str
    partition: int
    offset: int
    generation_id: int = GENERATION
    timestamp: float = 1767225600.123
    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: Any = ()


class Log:
    """The log itself, as the bridge asks it: both the reader of stretches and the one for ends."""

    def __init__(self, offsets: Sequence[int], low: int = 0) -> None:
        self.offsets, self.low = offsets, low
        self.offset_ranges: list[tuple[int, int]] = []

    def open(self, offset_range: OffsetRange) -> None:
        self.offset_ranges.append((offset_range.start, offset_range.end))
        found = [o for o in self.offsets if offset_range.start <= o < offset_range.end]
        offset_range.sink([Record(offset, 0, None, b"{}", None) for offset in found])

    def done(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        del timeout
        return self.low, max(self.offsets, default=-1) + 1


class Group:
    """Takes commits."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[int], int]] = []

    def commit(self, offsets: Sequence[TopicPartition], generation: int) -> None:
        self.commits.append(([place.offset for place in offsets], generation))


class Fed:
    """A bridge with the loop's side of it, for one partition or two topics."""

    def __init__(self, log: Log, monkeypatch: pytest.MonkeyPatch, *, late: bool = False) -> None:
        labels = {"from": "topic", "topic": "labels", "wait": "1h"} if late else {"from": "event"}
        events = {"topic": "events", "id": "id", **({} if late else {"label": "label"})}
        settings = Settings.model_validate(
            {"app": "app", "kafka": {"bootstrap.servers": "nowhere:1"}, "events": events,
             "labels": labels, "model": {"river": "linear_model.Perceptron()"}}
        )  # fmt: skip
        monkeypatch.setattr(log_access, "Consumer", lambda _: log)
        monkeypatch.setattr(log_access, "LogReader", lambda _: log)
        self.log, self.group = log, Group()
        self.calls: list[tuple[str, list[int]]] = []
        self.bridge = ConsumerBridge(settings, self.group)
        self.bridge.open()
        self.bridge.subscribe(["events"], *map(self._callback, ("assign", "revoke", "lost")))

    def _callback(self, kind: str) -> Callable[[Any, list[TopicPartition]], None]:
        return lambda _, places: self.calls.append((kind, [each.partition for each in places]))

    def begin(self, offset: int = 0) -> None:
        self.bridge.assign([("events", 0)], GENERATION)
        assert self.bridge.poll(0) is None
        place = TopicPartition("events", 0, offset)
        self.bridge.seek(place)
        self.bridge.resume([place])

    def put(self, *offsets: int, generation: int = GENERATION) -> None:
        self.bridge.put([Message("events", 0, offset, generation) for offset in offsets])

    def fetched(self, to: FetchProgress, gaps: dict[int, tuple[int, bool]] | None = None) -> None:
        self.bridge.fetched(("events", 0), to, gaps or {})

    def take(self) -> list[int | str]:
        """Offsets of all that comes; an end of the log as text."""
        taken: list[int | str] = []
        while (message := self.bridge.poll(0)) is not None:
            error = message.error()
            if error is None:
                taken.append(message.offset())
            else:
                assert error.code() == KafkaError._PARTITION_EOF
                taken.append(f"end {message.offset()}")
        return taken


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Fed:
    return Fed(Log(range(20)), monkeypatch)


def test_records_come_in_the_order_of_their_offsets_and_each_once(fed: Fed) -> None:
    fed.begin()
    fed.put(0, 1, 2)
    fed.put(1, 2, 3)  # Faust has sought back to what is committed
    assert fed.take() == [0, 1, 2, 3]
    assert fed.log.offset_ranges == []


def test_what_faust_left_out_is_read_from_the_log(fed: Fed) -> None:
    fed.begin()
    fed.put(0, 1, 5, 6)
    assert fed.take() == [0, 1, 2, 3, 4, 5, 6]
    assert fed.log.offset_ranges == [(2, 5)]


def test_what_lies_before_the_first_message_is_read_from_the_log(fed: Fed) -> None:
    fed.begin(3)
    fed.put(5)
    assert fed.take() == [3, 4, 5]


def test_records_below_the_restored_position_are_passed_over(fed: Fed) -> None:
    fed.begin(4)
    fed.put(0, 1, 2, 3, 4, 5)
    assert fed.take() == [4, 5]


def test_a_hole_in_one_answer_of_the_brokers_is_no_loss(fed: Fed) -> None:
    fed.begin()
    fed.fetched(FetchProgress(6, 20, 5), {5: (2, True)})
    fed.put(0, 1, 5)
    assert fed.take() == [0, 1, 5]
    assert fed.log.offset_ranges == []


def test_a_hole_between_two_answers_is_a_loss_where_retention_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Fed(Log([0, 1, 5]), monkeypatch)
    whole.begin()
    whole.fetched(FetchProgress(6, 6, 5), {5: (2, False)})
    whole.put(0, 1, 5)
    assert whole.take() == [0, 1, 5, "end 6"]
    assert whole.log.offset_ranges == []
    cut = Fed(Log([5], low=4), monkeypatch)
    cut.begin()
    cut.fetched(FetchProgress(6, 6, 5), {5: (2, False)})
    cut.put(0, 1, 5)
    cut.take()
    assert cut.log.offset_ranges == [(2, 5)]  # where the reader stops with a sentence of its own


def test_a_hole_is_read_in_which_something_was_left_out_before(fed: Fed) -> None:
    fed.begin()
    fed.fetched(FetchProgress(6, 20, 5), {5: (3, True)})
    fed.put(0, 1, 5)  # 2 was dropped on the way
    assert fed.take() == [0, 1, 2, 3, 4, 5]


def test_after_an_abort_the_same_records_come_again(fed: Fed) -> None:
    fed.begin()
    fed.put(0, 1, 2)
    assert fed.take() == [0, 1, 2]
    fed.bridge.seek(TopicPartition("events", 0, 1))
    fed.put(3)
    assert fed.take() == [1, 2, 3]


def test_a_long_stretch_is_read_in_pieces_though_some_hold_nothing(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_module, "GAP_RECORDS", 3)
    fed.log.offsets = [0, 10, 11]
    fed.begin()
    fed.put(11)
    taken: list[int | str] = []
    for _ in range(10):
        taken += fed.take()
    assert taken == [0, 10, 11]


def test_messages_of_another_assignment_are_left_aside(fed: Fed) -> None:
    fed.begin()
    fed.put(8, 9, generation=GENERATION - 1)
    fed.put(0)
    assert fed.take() == [0]


def test_the_end_is_told_once_all_before_it_is_taken(fed: Fed) -> None:
    fed.begin()
    fed.fetched(FetchProgress(2, 2, 1))
    assert fed.take() == []  # two records are on their way
    fed.put(0, 1)
    assert fed.take() == [0, 1, "end 2"]
    assert fed.take() == []
    fed.fetched(FetchProgress(2, 3, 1))
    assert fed.take() == []
    fed.fetched(FetchProgress(3, 3, 2))
    fed.put(2)
    assert fed.take() == [2, "end 3"]


def test_the_end_of_a_log_that_faust_did_not_read_is_not_believed(fed: Fed) -> None:
    fed.begin(17)
    fed.fetched(FetchProgress(20, 20, -1))  # auto_offset_reset="latest", and nothing committed
    assert fed.take() == [17, 18, 19, "end 20"]


def test_what_an_agent_lost_at_the_end_of_a_log_is_read_from_it(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed.begin(17)
    fed.fetched(FetchProgress(20, 20, 19))
    fed.put(17)
    assert fed.take() == [17]
    monkeypatch.setattr(partition_buffer, "LOST_SECONDS", -1.0)  # it is long ago
    assert fed.take() == [18, 19, "end 20"]
    fed.put(18, 19)
    assert fed.take() == []


def test_nothing_comes_of_a_partition_that_is_restored(fed: Fed) -> None:
    fed.begin()
    fed.bridge.pause([TopicPartition("events", 0)])
    fed.put(0, 1)
    assert fed.take() == []
    fed.bridge.resume([TopicPartition("events", 0)])
    assert fed.take() == [0, 1]


def test_faust_fetches_no_more_of_a_partition_that_is_behind(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_buffer, "FULL_RECORDS", 4)
    monkeypatch.setattr(partition_buffer, "DRAINED_RECORDS", 2)
    fed.begin()
    fed.put(*range(5))
    assert fed.bridge.full == {("events", 0)}
    assert fed.bridge.due_offsets() == {}
    assert fed.take() == [0, 1, 2, 3, 4]
    assert fed.bridge.full == frozenset()
    assert fed.bridge.due_offsets() == {("events", 0): 5}


def test_a_rebalance_waits_until_the_loop_has_let_go(fed: Fed) -> None:
    fed.begin()
    done = fed.bridge.revoke()
    assert fed.bridge.memberid() == f"generation-{GENERATION}"
    assert not done.done()
    fed.bridge.commit([TopicPartition("events", 0, 3)], asynchronous=False)
    assert fed.take() == []
    assert done.done()
    assert fed.bridge.memberid() == ""
    assert fed.calls == [("assign", [0]), ("revoke", [0])]
    assert fed.group.commits == [([3], GENERATION)]


def test_a_loop_that_was_too_slow_for_a_rebalance_loses_its_partitions(fed: Fed) -> None:
    fed.begin()
    fed.bridge.revoke()
    fed.bridge.lose()
    fed.bridge.assign([("events", 0)], GENERATION + 1)
    # Its batch still is that of the member it was: the group refuses it.
    assert fed.bridge.memberid() == f"generation-{GENERATION}"
    assert fed.take() == []
    assert fed.calls == [("assign", [0]), ("lost", [0]), ("assign", [0])]
    assert fed.bridge.memberid() == f"generation-{GENERATION + 1}"
    fed.put(0, generation=GENERATION + 1)
    fed.bridge.seek(TopicPartition("events", 0, 0))
    fed.bridge.resume([TopicPartition("events", 0)])
    assert fed.take() == [0]


def test_a_rebalance_before_the_loop_begins_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = Fed(Log([]), monkeypatch)
    fed.bridge.close()
    fed.bridge.assign([("events", 0)], GENERATION)
    assert fed.bridge.revoke().done()


def test_partitions_of_labels_have_to_come_with_those_of_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = Fed(Log([]), monkeypatch, late=True)
    fed.bridge.assign([("events", 0), ("labels", 1)], GENERATION)
    with pytest.raises(Stop, match=r"partitions \[0\] of events, but \[1\] of labels"):
        fed.bridge.poll(0)


def test_closing_gives_partitions_back(fed: Fed) -> None:
    fed.begin()
    fed.bridge.close()
    assert fed.calls == [("assign", [0]), ("revoke", [0])]


def test_a_message_wakes_the_loop_up(fed: Fed) -> None:
    fed.begin()
    taken: list[Any] = []
    waiting = threading.Thread(target=lambda: taken.append(fed.bridge.poll(30)))
    waiting.start()
    fed.put(0)
    waiting.join(20)
    wait_until(lambda: taken, message="the loop has the message")
    assert taken[0].offset() == 0
    assert taken[0].timestamp() == (0, 1767225600123)
    assert taken[0].headers() is None
