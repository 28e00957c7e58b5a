"""A full queue is waited for, and a transactional call repeated, in one place for all producers."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.core.records.record import Output
from millstream.kafka import producer
from millstream.kafka.producer import ConfirmedWriter, NotWritten, produce, retry

OUTPUTS = [Output(b"k", b"one", None), Output(None, b"two", [("h", b"v")])]


class Client:
    """A producer whose local queue is full for so many polls, and who keeps what it is given."""

    def __init__(self, full: float = 0) -> None:
        self.full = full
        self.produced: list[tuple[Any, ...]] = []
        self.unsent = 0
        self.on_delivery: Callable[[KafkaError | None, object], None] = lambda *_: None
        self.purged = False

    def produce(self, *record: Any, **options: Any) -> None:
        if self.full > 0:
            raise BufferError
        self.produced.append((*record, options))

    def poll(self, _seconds: float) -> None:
        self.full -= 1

    def flush(self, _seconds: float) -> int:
        return self.unsent

    def purge(self) -> None:
        self.purged = True


def test_records_wait_in_order_while_the_local_queue_is_full() -> None:
    client: Any = Client(full=3)
    produce(client, "topic", 7, OUTPUTS, timestamp=5)
    assert client.produced == [
        ("topic", b"one", b"k", 7, {"timestamp": 5}),
        ("topic", b"two", None, 7, {"timestamp": 5, "headers": [("h", b"v")]}),
    ]


def test_a_deadline_ends_the_wait_for_room() -> None:
    client: Any = Client(full=float("inf"))
    with pytest.raises(BufferError):
        produce(client, "topic", 0, OUTPUTS, deadline=time.monotonic() - 1)
    assert client.produced == []


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch, client: Client) -> ConfirmedWriter:
    def make(config: dict[str, Any]) -> Client:
        client.on_delivery = config["on_delivery"]
        return client

    monkeypatch.setattr(producer, "Producer", make)
    return ConfirmedWriter({}, "models", seconds=0.0)


@pytest.mark.parametrize(
    ("fail", "why"),
    [
        (lambda client: setattr(client, "full", float("inf")), "models: "),
        (lambda client: setattr(client, "unsent", 1), "models was not reached within 0 s"),
    ],
)
def test_what_is_not_acknowledged_in_time_is_dropped_and_reported(
    writer: ConfirmedWriter, client: Client, fail: Callable[[Client], None], why: str
) -> None:
    fail(client)
    with pytest.raises(NotWritten, match=why):
        writer.write(0, OUTPUTS)
    assert client.purged, "a record that arrives later would be a surprise"


def test_a_record_that_was_not_delivered_fails_its_own_write_alone(
    writer: ConfirmedWriter, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with monkeypatch.context() as patch:
        patch.setattr(client, "flush", lambda _seconds: client.on_delivery(lost, None))
        with pytest.raises(NotWritten, match=r"models: .*[Aa]uthorization"):
            writer.write(0, OUTPUTS)
    writer.write(0, OUTPUTS)


def refusing(calls: list[int], *errors: KafkaError) -> Callable[[], None]:
    def call() -> None:
        calls.append(1)
        if len(calls) <= len(errors):
            raise KafkaException(errors[len(calls) - 1])

    return call


RETRIABLE = KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE, "later", retriable=True)
FINAL = KafkaError(KafkaError._FENCED, "never", fatal=True)
ABORT = KafkaError(KafkaError.NETWORK_EXCEPTION, "abort", retriable=True, txn_requires_abort=True)


def test_a_call_is_repeated_while_kafka_calls_its_error_retriable() -> None:
    calls: list[int] = []
    retry(refusing(calls, RETRIABLE, RETRIABLE), lambda error: error is not None)
    assert len(calls) == 3


@pytest.mark.parametrize("error", [FINAL, ABORT], ids=["final", "to be aborted"])
def test_no_other_error_is_waited_for(error: KafkaError) -> None:
    def wait(_: KafkaError) -> bool:
        raise AssertionError("it must not wait")

    calls: list[int] = []
    with pytest.raises(KafkaException):
        retry(refusing(calls, error), wait)
    assert len(calls) == 1


def test_whoever_waits_ends_the_repetition() -> None:
    calls: list[int] = []
    with pytest.raises(KafkaException, match="later"):
        retry(refusing(calls, RETRIABLE), lambda _: False)
    assert len(calls) == 1
