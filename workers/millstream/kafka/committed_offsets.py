"""What the group has committed for a partition, and in whose name."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from millstream.core.records.record import InputName
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.log_reader import BROKER_TIMEOUT_SECONDS

OWNER: Final = "owner="
"""Begins the metadata of committed offsets that name their owner; see
`core.fold.OwnershipHistory`."""


def committed_offsets(
    consumer: GroupConsumer, topics: Mapping[InputName, str], partition: int
) -> tuple[dict[InputName, int | None], int | None]:
    """The group's offsets, None where there are none, and which owner they name, if any.

    `topics`: side to topic. Raises KafkaException.
    """
    places = [TopicPartition(topic, partition) for topic in topics.values()]
    answers = consumer.committed(places, timeout=BROKER_TIMEOUT_SECONDS)
    owner: int | None = None
    offsets: dict[InputName, int | None] = {}
    for side, answer in zip(topics, answers, strict=True):
        if answer.error is not None:
            raise KafkaException(answer.error)
        offsets[side] = answer.offset if answer.offset >= 0 else None
        if answer.metadata and answer.metadata.startswith(OWNER):
            owner = max(owner or 0, int(answer.metadata.removeprefix(OWNER)))
    return offsets, owner
