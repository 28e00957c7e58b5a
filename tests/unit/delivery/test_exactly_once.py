"""A commit that never comes back keeps the worker neither from working nor from ending."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from millstream.delivery import exactly_once, retry
from millstream.delivery.exactly_once import ExactlyOnce
from millstream.delivery.publisher import Aborted, OutputTopics, ProducerLost
from millstream.delivery.retry import RetryPolicy, commit_offsets, leave_group
from millstream.errors import Stop


class Silent:
    """A consumer whose coordinator went silent; staged here, since librdkafka does it at random."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def memberid(self) -> str:
        return "somebody"

    def commit(self, **_: Any) -> None:
        self.answered.wait(60)

    def close(self) -> None:
        self.answered.wait(60)  # librdkafka waits for what it has asked

    def consumer_group_metadata(self) -> object:
        return object()


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(retry, "COMMIT_SECONDS", 0.1)
    monkeypatch.setattr(exactly_once, "COMMIT_SECONDS", 0.1)
    monkeypatch.setattr(retry, "LEAVE_SECONDS", 0.05)
    silent = Silent()
    yield silent
    silent.answered.set()


OFFSETS = [TopicPartition("events", 0, 1)]


def test_a_commit_without_an_answer_from_brokers_that_answer_ends_the_worker(consumer: Any) -> None:
    with pytest.raises(Stop, match=r"a commit of offsets has had no answer .*: start the worker"):
        commit_offsets(consumer, OFFSETS, RetryPolicy(threading.Event(), lambda: None))


def test_a_commit_lasts_as_long_as_brokers_are_silent_with_signs_of_life(consumer: Any) -> None:
    """Whatever else is asked of the consumer waits for that commit, so nothing else is."""
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 2:
            consumer.answered.set()

    commit_offsets(consumer, OFFSETS, RetryPolicy(threading.Event(), beat, lambda: 9.0))
    assert len(beats) == 2


def test_a_worker_that_is_to_stop_waits_for_no_commit_while_brokers_are_silent(
    consumer: Any,
) -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stop, match="a commit of offsets is not answered"):
        commit_offsets(consumer, OFFSETS, RetryPolicy(stopping, lambda: None, lambda: 1.0))


class Unanswered:
    """A transactional producer whose commit nobody answers."""

    def __init__(self) -> None:
        self.asked = 0

    def begin_transaction(self) -> None: ...

    def send_offsets_to_transaction(self, *_: object) -> None: ...

    def flush(self) -> None: ...

    def commit_transaction(self, timeout: float) -> None:
        assert timeout > 0, "without a time-out it would wait for ever"
        self.asked += 1
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True))


def commit_transaction(consumer: Any, producer: Any, patience: RetryPolicy) -> None:
    config = {"transaction.timeout.ms": 10_000}
    publisher = ExactlyOnce(config, OutputTopics("p", "e", "m", "d"), patience, producer)
    publisher.commit(OFFSETS, "somebody", consumer)


def test_a_transaction_without_an_answer_from_brokers_that_answer_costs_its_producer(
    consumer: Any,
) -> None:
    with pytest.raises(ProducerLost, match="a commit has had no answer though brokers answer"):
        commit_transaction(consumer, Unanswered(), RetryPolicy(threading.Event(), lambda: None))


def test_a_transaction_is_committed_for_as_long_as_brokers_are_silent(consumer: Any) -> None:
    producer = Unanswered()

    def beat() -> None:
        if producer.asked == 1000:
            raise Stop("brokers were silent for too long")

    patience = RetryPolicy(threading.Event(), beat, lambda: 9.0)
    with pytest.raises(Stop, match="silent for too long"):
        commit_transaction(consumer, producer, patience)


def test_a_refused_commit_aborts_the_batch(consumer: Any) -> None:
    def refuse(**_: Any) -> None:
        raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))

    consumer.commit = refuse
    with pytest.raises(Aborted, match="the offsets were not committed"):
        commit_offsets(consumer, OFFSETS, RetryPolicy(threading.Event(), lambda: None))


def test_a_consumer_that_does_not_close_does_not_keep_the_worker_from_ending(
    consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    leave_group(consumer, bounded=True)
    assert "the group could not be left in good order" in caplog.text


def test_a_consumer_that_takes_long_to_close_is_waited_for_where_all_is_well(
    consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It hands over its last snapshots meanwhile."""
    threading.Timer(0.2, consumer.answered.set).start()
    leave_group(consumer, bounded=False)
    assert consumer.answered.is_set()
    assert caplog.text == ""
