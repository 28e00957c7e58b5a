"""Producing: waiting for room in the local queue, confirmed writes, and retried transactions."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from millstream.core.records.record import Output
from millstream.errors import MillstreamError

FLUSH_SECONDS: Final = 30.0
ROOM_SECONDS: Final = 0.1
"""Between two tries while the local queue is full, and before a transactional call is repeated."""


def produce(
    producer: Producer,
    topic: str,
    partition: int,
    outputs: Iterable[Output],
    deadline: float = math.inf,
    **options: Any,
) -> None:
    """Hand outputs to the client, and wait for acknowledgements while its local queue is full.

    `deadline` (monotonic): until when to wait; then BufferError. `options`: as of
    `Producer.produce`. Raises KafkaException where the client refuses an output.
    """
    produce_one = producer.produce
    for output in outputs:
        more = {**options, "headers": output.headers} if output.headers else options
        while True:
            try:
                if more:
                    produce_one(topic, output.value, output.key, partition, **more)
                else:  # the usual output: nothing to unpack
                    produce_one(topic, output.value, output.key, partition)
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise
                producer.poll(ROOM_SECONDS)


def retry(call: Callable[[], object], wait: Callable[[KafkaError], bool]) -> None:
    """Repeat a transactional call while Kafka calls its error retriable.

    `wait`, before each repetition, is given that error, and may raise; False: do not repeat.
    Raises the KafkaException of the last try otherwise.
    """
    while True:
        try:
            call()
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            if error.txn_requires_abort() or not error.retriable() or not wait(error):
                raise
        else:
            return


class NotWritten(MillstreamError):
    """Records did not get into a topic; the message says why."""


class ConfirmedWriter:
    """Writes to one topic outside of any transaction, and waits for the acknowledgements.

    It has a producer of its own: a snapshot does not belong to a batch's transaction.
    """

    def __init__(self, config: dict[str, Any], topic: str, seconds: float = FLUSH_SECONDS) -> None:
        """`config` of a producer without a transactional id; `seconds`: how long to wait."""
        self._topic = topic
        self._seconds = seconds
        self._failed: KafkaError | None = None
        self._producer = Producer({**config, "on_delivery": self._on_delivery})

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        self._failed = error or self._failed

    def write(self, partition: int, outputs: Iterable[Output]) -> None:
        """Write records and wait for their acknowledgement. Raises NotWritten."""
        self._failed = None
        deadline = time.monotonic() + self._seconds
        try:
            produce(self._producer, self._topic, partition, outputs, deadline)
        except (KafkaException, BufferError) as error:
            self._producer.purge()
            raise NotWritten(f"{self._topic}: {error}") from error
        if self._producer.flush(self._seconds):
            self._producer.purge()
            raise NotWritten(f"{self._topic} was not reached within {self._seconds:g} s")
        if self._failed is not None:
            raise NotWritten(f"{self._topic}: {self._failed.str()}")

    def close(self) -> None:
        """Drop what was not sent, and disconnect."""
        self._producer.purge()
        self._producer.flush(1)
