"""Replay of dead letters: messages are written back to the topics that they came from.

A transaction holds a batch of messages and, for each, a note in the dead letters; so a replay that
was interrupted resumes where it ended, and repeats nothing. The app has one transactional id for
replays: a second replay fences the first, rather than write the same messages.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer

from millstream.config.settings import Settings
from millstream.core.records.dead_letters import DeadLetterRecord, note_of
from millstream.core.records.record import Output
from millstream.errors import Stop
from millstream.kafka.client_config import producer_config
from millstream.kafka.producer import ROOM_SECONDS, produce, retry

BATCH_RECORDS: Final = 500
BATCH_BYTES: Final = 5_000_000
"""Small enough to be written within the transaction time-out, which is the session's."""
RETRY_SECONDS: Final = 30.0
CALL_SECONDS: Final = 1.0
"""How long a call to commit may last before it is repeated; Ctrl-C is heeded in between."""
# Brokers decide how large a message may be; the client must not refuse the original.
_LARGEST_BYTES: Final = 1_000_000_000
_FENCED: Final = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}


class Replayer:
    """Writes messages back in transactions; `written` counts those committed."""

    def __init__(self, settings: Settings) -> None:
        """Fences any other replay of this app. Raises `Stop` where Kafka refuses."""
        config = {
            **producer_config(settings, f"{settings.app}-dead-letters-replay"),
            "message.max.bytes": _LARGEST_BYTES,
        }
        self._producer = Producer(config)
        self._dead_letters = settings.topic("dead_letters")
        self._open: list[DeadLetterRecord] = []
        self._bytes = 0
        self.written = 0
        self._retrying(lambda: self._producer.init_transactions(RETRY_SECONDS))

    def add(self, letter: DeadLetterRecord, message: Output) -> None:
        """Write a message back to its partition; it counts when its batch is full or finished."""
        if not self._open:
            self._retrying(self._producer.begin_transaction)
        self._open.append(letter)
        source, place = letter.source, letter.place
        self._produce(source.topic, source.partition, message)
        self._produce(self._dead_letters, place.partition, note_of(letter))
        self._bytes += len(message.value or b"") + len(message.key or b"")
        if len(self._open) >= BATCH_RECORDS or self._bytes >= BATCH_BYTES:
            self.finish()

    def finish(self) -> None:
        """Commit the open batch."""
        if not self._open:
            return
        self._retrying(lambda: self._producer.commit_transaction(CALL_SECONDS))
        self.written += len(self._open)
        self._open.clear()
        self._bytes = 0

    def give_up(self) -> None:
        """Abort the open batch."""
        if self._open:
            self._open.clear()
            self._bytes = 0
            # A fenced producer cannot; the one that fenced it has aborted its transaction.
            with suppress(KafkaException):
                self._producer.abort_transaction(RETRY_SECONDS)

    def _produce(self, topic: str, partition: int, message: Output) -> None:
        try:
            produce(self._producer, topic, partition, [message])
        except KafkaException as raised:
            raise self._refused(raised) from raised

    def _retrying(self, call: Callable[[], object]) -> None:
        """Repeat a call for `RETRY_SECONDS` while Kafka's answer is not final."""
        deadline = time.monotonic() + RETRY_SECONDS

        def wait(_: KafkaError) -> bool:
            self._producer.poll(ROOM_SECONDS)
            return time.monotonic() < deadline

        try:
            retry(call, wait)
        except KafkaException as raised:
            raise self._refused(raised) from raised

    def _refused(self, raised: KafkaException) -> Stop:
        self.give_up()
        error: KafkaError = raised.args[0]
        before = f"messages replayed before that: {self.written:,}"
        if error.code() in _FENCED:
            return Stop(
                "another replay of this app began meanwhile, or Kafka did not answer within the "
                f"time of a transaction: {before}; run it again, it knows which"
            )
        return Stop(
            f"Kafka refuses the replay ({error.str()}): {before}; run it again once that is "
            "mended, it knows which"
        )
