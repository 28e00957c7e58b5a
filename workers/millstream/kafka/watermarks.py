"""Where logs begin and end, open transactions included."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from millstream.errors import Stop
from millstream.kafka import topics
from millstream.kafka.log_reader import BROKER_TIMEOUT_SECONDS, LogReader

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
"""What librdkafka says of a topic that is there when its broker has just woken up; told as what the
broker itself would say, which ends a worker only after some time."""
_RETRY_SECONDS: Final = 0.1


class Watermarks:
    """Asks by a consumer of its own that belongs to no group; any thread may ask.

    Not by the admin client: it goes on waiting for a leader that is dead, for a minute by default,
    and over an answer that comes after its time librdkafka 2.16 aborted the process ("Assertion
    `rko_result' failed"). It is never closed, since a thread may be asking when a worker ends.
    """

    def __init__(
        self, reader_config: Mapping[str, Any], isolation: str = "read_uncommitted"
    ) -> None:
        """The end for a `read_committed` reader is that of the first open transaction."""
        self._config = {
            # Else it waits for a minute for a leader that is dead.
            "socket.timeout.ms": int(BROKER_TIMEOUT_SECONDS * 1000),
            **reader_config,
            "isolation.level": isolation,
            # It is never polled, which is when it would log; the other clients say the same.
            "log_level": 0,
        }
        self._client: Consumer | None = None

    def of(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and the offset after the last record. Raises KafkaException."""
        client = self._consumer()
        # Asks who leads the partition now: after a change of leader, what the client knows from
        # before is refused ("leader epoch is older"), and it would not ask again by itself.
        client.list_topics(topic, timeout=BROKER_TIMEOUT_SECONDS)
        return self._ask(client, topic, partition)

    def patiently(self, topic: str, partition: int) -> tuple[int, int]:
        """As `of`, for commands; raises Stop where the brokers do not say."""
        deadline = time.monotonic() + topics.ADMIN_TIMEOUT_SECONDS
        while True:
            try:
                return self.of(topic, partition)
            except KafkaException as error:
                # Right after a topic was made, or a broker has gone, nobody leads the partition.
                if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                    raise unreadable(topic, partition, error) from error
            time.sleep(_RETRY_SECONDS)

    def ends(self, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The same places with the offset after the last record, or 0 where no broker tells.

        For a consumer that is assigned them, paused, and sought to where it is to read later. It
        must not be assigned their end by that name: it would have to ask where that is, again half
        a second later if something was changed meanwhile, and librdkafka (2.16 at least) goes to
        the second answer even if it was sought elsewhere in between: what lies between is never
        read.
        """
        if not places:
            return []
        try:
            client = self._consumer()
            client.list_topics(timeout=BROKER_TIMEOUT_SECONDS)
            return [
                TopicPartition(p.topic, p.partition, self._ask(client, p.topic, p.partition)[1])
                for p in places
            ]
        except KafkaException as error:
            # Any number will do, as long as nothing is fetched from there, and who does not answer
            # this does not answer a fetch either.
            log.warning("the ends of logs are not known", extra={"reason": str(error)})
            return [TopicPartition(p.topic, p.partition, 0) for p in places]

    def _consumer(self) -> Consumer:
        if self._client is None:
            self._client = Consumer(self._config)
        return self._client

    @staticmethod
    def _ask(client: Consumer, topic: str, partition: int) -> tuple[int, int]:
        where = TopicPartition(topic, partition)
        try:
            # None, says its documentation, where nothing came in time; it raises then (2.16).
            low, high = client.get_watermark_offsets(where, timeout=BROKER_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() in _NOT_KNOWN_HERE:
                raise KafkaException(
                    KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"{topic} [{partition}]")
                ) from error
            raise
        return low, high


class KafkaLogReader(LogReader):
    """A reader that also knows where logs begin and end."""

    def __init__(self, bounds: Watermarks, config: dict[str, object]) -> None:
        super().__init__(config)
        self._bounds = bounds

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """As `Watermarks.of`."""
        return self._bounds.of(topic, partition)


def unreadable(topic: str, partition: int, error: KafkaException) -> Stop:
    """Say why a partition cannot be read."""
    return Stop(f"{topic} partition {partition} cannot be read: {topics.reason(error)}")
