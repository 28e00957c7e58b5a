"""Watermarks: first offsets and end offsets of partitions, open transactions included."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from millstream.errors import Stop
from millstream.kafka import admin
from millstream.kafka.admin import BROKER_TIMEOUT_SECONDS

log = logging.getLogger(__name__)

_NO_LEADER_YET: Final = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._NOENT,  # noqa: SLF001 - its public name; no leader is known
}
_NOT_KNOWN_HERE: Final = {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
"""librdkafka's errors for a topic that exists when its broker has just come back; reported as the
broker's own error, which ends a worker only after some time."""
_RETRY_SECONDS: Final = 0.1


class Watermarks:
    """Asks for watermarks with a consumer that belongs to no group; thread-safe.

    The admin client will not do: it waits for a dead leader, for a minute by default, and
    librdkafka 2.16 aborted the process when the answer came after the time-out ("Assertion
    `rko_result' failed"). The consumer is never closed: a thread may be asking when a worker ends.
    """

    def __init__(
        self, reader_config: Mapping[str, Any], isolation: str = "read_uncommitted"
    ) -> None:
        """With `isolation` read_committed, a log ends at its first open transaction."""
        self._config = {
            # Else it waits for a dead leader for a minute.
            "socket.timeout.ms": int(BROKER_TIMEOUT_SECONDS * 1000),
            **reader_config,
            "isolation.level": isolation,
            # It is never polled, so its log would pile up; the other clients log the same.
            "log_level": 0,
        }
        self._client: Consumer | None = None

    def of(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset and the offset after the last record. Raises KafkaException."""
        client = self._consumer()
        # Refreshes the metadata: after a change of leader, brokers refuse the client's old epoch
        # ("leader epoch is older"), and it would not refresh by itself.
        client.list_topics(topic, timeout=BROKER_TIMEOUT_SECONDS)
        return self._ask(client, topic, partition)

    def patiently(self, topic: str, partition: int) -> tuple[int, int]:
        """As `of`, for commands: waits for a leader; raises Stop if brokers do not answer."""
        deadline = time.monotonic() + admin.ADMIN_TIMEOUT_SECONDS
        while True:
            try:
                return self.of(topic, partition)
            except KafkaException as error:
                # A partition has no leader right after its topic was created or its broker died.
                if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                    raise unreadable(topic, partition, error) from error
            time.sleep(_RETRY_SECONDS)

    def ends(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return the same partitions at the offset after their last record, or 0 if unknown.

        For a consumer that is assigned them, paused, and later sought to its position. It must not
        be assigned `OFFSET_END`: it would resolve that by itself, again half a second later if the
        assignment changed meanwhile, and librdkafka (2.16 at least) moves to the second answer even
        if a seek came in between: the records in between are never read.
        """
        if not partitions:
            return []
        try:
            client = self._consumer()
            client.list_topics(timeout=BROKER_TIMEOUT_SECONDS)
            return [
                TopicPartition(p.topic, p.partition, self._ask(client, p.topic, p.partition)[1])
                for p in partitions
            ]
        except KafkaException as error:
            # Any offset will do while nothing is fetched from there, and a broker that does not
            # answer this does not answer a fetch either.
            log.warning("the ends of logs are not known", extra={"reason": str(error)})
            return [TopicPartition(p.topic, p.partition, 0) for p in partitions]

    def _consumer(self) -> Consumer:
        if self._client is None:
            self._client = Consumer(self._config)
        return self._client

    @staticmethod
    def _ask(client: Consumer, topic: str, partition: int) -> tuple[int, int]:
        where = TopicPartition(topic, partition)
        try:
            # Documented to return None after the time-out; in fact it raises (2.16).
            low, high = client.get_watermark_offsets(where, timeout=BROKER_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() in _NOT_KNOWN_HERE:
                raise KafkaException(
                    KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"{topic} [{partition}]")
                ) from error
            raise
        return low, high


def unreadable(topic: str, partition: int, error: KafkaException) -> Stop:
    """Make the error of a partition that cannot be read."""
    return Stop(f"{topic} partition {partition} cannot be read: {admin.reason(error)}")
