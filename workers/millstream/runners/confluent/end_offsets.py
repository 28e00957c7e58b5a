"""The end offsets and the lag of a partition's inputs.

A reported end may be out of date when it is read, and a prediction expires by the clock only if no
record is to come: so the broker is asked again before anything expires.
"""

import time
from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition

from millstream.core.records.record import InputName
from millstream.kafka.group_consumer import GroupConsumer
from millstream.state.partition import Partition

CONFIRM_SECONDS = 1.0
"""Between two requests to the broker for an end; expiry is no sooner."""


class EndOffsets:
    """The end offsets of events and labels, as known to the worker's consumer."""

    def __init__(self, consumer: GroupConsumer, topics: Mapping[InputName, str]) -> None:
        self._consumer = consumer
        self._topics = topics

    def reached(self, partition: Partition) -> dict[InputName, bool]:
        """For each input, whether it is fetched to its present end.

        A reported end is not enough: since then more may have been fetched, which is queued in the
        client behind records of the other input.
        """
        return {
            name: partition.ends[name] >= partition.fetched[name]
            and self._known(partition, name) <= partition.ends[name]
            for name in self._topics
        }

    def confirm(self, partition: Partition, inputs: list[InputName]) -> dict[InputName, int]:
        """The time (ms) when the broker confirmed the end of these inputs; asks once a second.

        The last fetch may be long ago: the worker may have been frozen or cut off.
        """
        confirmed: dict[InputName, int] = {}
        if not inputs or time.monotonic() < partition.confirm_at:
            return confirmed
        for name in inputs:
            position = TopicPartition(self._topics[name], partition.number)
            asked = time.time_ns() // 1_000_000
            try:
                _, end = self._consumer.get_watermark_offsets(position, timeout=CONFIRM_SECONDS)
            except KafkaException:
                continue  # not confirmed, so nothing expires; asked again after a second
            if end <= max(partition.ends[name], partition.fetched[name]):
                confirmed[name] = asked
        partition.confirm_at = time.monotonic() + CONFIRM_SECONDS
        return confirmed

    def lag(self, partition: Partition, input_name: InputName) -> int | None:
        """Offsets of an input that are not yet processed; None before the first fetch."""
        end = self._known(partition, input_name)
        return None if end < 0 else max(0, end - partition.positions[input_name])

    def _known(self, partition: Partition, input_name: InputName) -> int:
        """The end of a log as of the last fetch, -1 before the first."""
        position = TopicPartition(self._topics[input_name], partition.number)
        try:
            _, high = self._consumer.get_watermark_offsets(position, cached=True)
        except KafkaException:
            return -1
        return int(high)
