"""The group's committed offsets, read without joining the group."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.core.records.record import InputName
from millstream.errors import Stop
from millstream.kafka.admin import BROKER_TIMEOUT_SECONDS, reason
from millstream.kafka.client_config import reader_config
from millstream.kafka.group_consumer import GroupConsumer

OWNER: Final = "owner="
"""Prefix of the metadata of committed offsets that name their owner; see
`core.processing.replay.OwnershipHistory`."""

CommittedOffsets = tuple[dict[InputName, int | None], int | None]
"""Input to the group's offset, None where it has none; and the owner that the offsets name, if
any."""


def committed_offsets(
    consumer: GroupConsumer, topics: Mapping[InputName, str], partition: int
) -> CommittedOffsets:
    """Ask for the group's offsets of one partition of each input; the newest owner counts.

    `topics`: input to topic. Raises KafkaException.
    """
    asked = [TopicPartition(topic, partition) for topic in topics.values()]
    answers = consumer.committed(asked, timeout=BROKER_TIMEOUT_SECONDS)
    owner: int | None = None
    offsets: dict[InputName, int | None] = {}
    for input_name, answer in zip(topics, answers, strict=True):
        if answer.error is not None:
            raise KafkaException(answer.error)
        offsets[input_name] = answer.offset if answer.offset >= 0 else None
        if answer.metadata and answer.metadata.startswith(OWNER):
            owner = max(owner or 0, int(answer.metadata.removeprefix(OWNER)))
    return offsets, owner


class GroupOffsets:
    """Reads the group's offsets for commands; no worker notices."""

    def __init__(self, settings: Settings, topics: Mapping[InputName, str]) -> None:
        """`topics`: input to topic."""
        self._topics = topics
        self._group = settings.app
        # In the group's name, but without subscription and assignment: it never joins.
        self._consumer = Consumer({**reader_config(settings), "group.id": settings.app})

    def of(self, partition: int) -> CommittedOffsets:
        """As `committed_offsets`; raises `Stop` where Kafka does not answer."""
        try:
            return committed_offsets(self._consumer, self._topics, partition)
        except KafkaException as error:
            raise Stop(
                f"the offsets of group {self._group} cannot be read: {reason(error)}"
            ) from error

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()
