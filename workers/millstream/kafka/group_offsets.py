"""What the group has committed, as a command asks it."""

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException

from millstream.config.settings import Settings
from millstream.core.records.record import InputName
from millstream.errors import Stop
from millstream.kafka.client_config import reader_config
from millstream.kafka.committed_offsets import committed_offsets
from millstream.kafka.topics import reason

CommittedOffsets = tuple[dict[InputName, int | None], int | None]


class GroupOffsets:
    """Asks for the group's offsets without joining it: no worker notices."""

    def __init__(self, settings: Settings, topics: Mapping[InputName, str]) -> None:
        """`topics`: the inputs of a shard."""
        self._topics = topics
        self._group = settings.app
        # In the group's name, but with neither subscription nor assignment: it only asks.
        self._consumer = Consumer({**reader_config(settings), "group.id": settings.app})

    def of(self, partition: int) -> CommittedOffsets:
        """As `committed_offsets`. Raises `Stop` where Kafka does not say."""
        try:
            return committed_offsets(self._consumer, self._topics, partition)
        except KafkaException as error:
            raise Stop(
                f"the offsets of group {self._group} cannot be read: {reason(error)}"
            ) from error

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()
