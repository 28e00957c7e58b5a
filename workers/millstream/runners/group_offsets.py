"""What the group has committed, as a command asks it."""

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException

from millstream.core.records import Side
from millstream.errors import Stop
from millstream.runners.clients import reader_config
from millstream.runners.committed import committed_offsets
from millstream.runners.topics import reason
from millstream.settings import Settings

Committed = tuple[dict[Side, int | None], int | None]


class GroupOffsets:
    """Asks for the group's offsets without joining it: no worker notices."""

    def __init__(self, settings: Settings, topics: Mapping[Side, str]) -> None:
        """`topics`: the inputs of a shard."""
        self._topics = topics
        self._group = settings.app
        # In the group's name, but with neither subscription nor assignment: it only asks.
        self._consumer = Consumer({**reader_config(settings), "group.id": settings.app})

    def of(self, partition: int) -> Committed:
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
