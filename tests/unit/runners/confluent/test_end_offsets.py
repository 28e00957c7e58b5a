"""When an input counts as fetched to its end, and when the broker is asked for that."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.kafka.group_consumer import GroupConsumer
from millstream.runners.confluent.end_offsets import EndOffsets
from millstream.state.partition import Partition


class Ends:
    """A consumer that knows ends: cached ones, and those that the broker gives."""

    def __init__(self, cached: int, broker: int | None = None) -> None:
        self.cached, self.broker, self.asked = cached, broker, 0

    def get_watermark_offsets(
        self, _: object, *, cached: bool = False, **__: object
    ) -> tuple[int, int]:
        if cached:
            return 0, self.cached
        self.asked += 1
        if self.broker is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return 0, self.broker


def ends_of(consumer: Ends) -> EndOffsets:
    topics: dict[Any, str] = {"events": "events"}
    return EndOffsets(cast("GroupConsumer", consumer), topics)


def partition(fetched: int, end: int) -> Partition:
    return Partition(
        0, fetched={"events": fetched}, ends={"events": end}, positions={"events": fetched}
    )


@pytest.mark.parametrize(
    ("fetched", "reported", "cached", "reached"),
    [
        (5, 5, 5, True),
        (5, 6, 6, True),  # the last offset is a transaction marker
        (5, -1, 5, False),  # no end was reported yet
        (5, 5, 7, False),  # more was fetched since, and is queued in the client
        (5, 4, 4, False),  # the end was reported before the last fetch
    ],
)
def test_an_input_is_at_its_end_if_that_was_reported_behind_the_last_fetch(
    fetched: int, reported: int, cached: int, reached: bool
) -> None:
    found = ends_of(Ends(cached)).reached(partition(fetched, reported))
    assert found == {"events": reached}


def test_the_broker_confirms_an_end_and_is_asked_once_a_second() -> None:
    consumer = Ends(5, broker=5)
    ends, one = ends_of(consumer), partition(5, 5)
    assert ends.confirm(one, ["events"])["events"] > 0
    assert ends.confirm(one, ["events"]) == {}
    assert consumer.asked == 1


@pytest.mark.parametrize("broker", [6, None])
def test_an_end_that_has_moved_or_that_nobody_tells_is_not_confirmed(broker: int | None) -> None:
    assert ends_of(Ends(5, broker)).confirm(partition(5, 5), ["events"]) == {}


def test_the_broker_is_not_asked_if_nothing_is_overdue() -> None:
    consumer = Ends(5, broker=5)
    assert ends_of(consumer).confirm(partition(5, 5), []) == {}
    assert consumer.asked == 0


def test_lag_counts_from_the_position_and_is_unknown_before_the_first_fetch() -> None:
    assert ends_of(Ends(9)).lag(partition(5, 5), "events") == 4
    assert ends_of(Ends(3)).lag(partition(5, 5), "events") == 0
    assert ends_of(Ends(-1)).lag(partition(5, 5), "events") is None
