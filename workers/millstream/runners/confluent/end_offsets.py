"""Where the inputs of a partition end, and how far it is from there.

An end that was reported is old news as soon as it is read, and what expires by the clock expires
only where nothing is to come: so the broker is asked again before anything does.
"""

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from millstream.core.records.record import InputName
from millstream.state.partition import Partition

CONFIRM_SECONDS = 1.0
"""Between two questions to the broker whether a side is at its end; expiry is no sooner."""


class EndOffsets:
    """The ends of events and labels, as the worker's consumer knows them."""

    def __init__(self, consumer: Consumer, topics: dict[InputName, str]) -> None:
        self._consumer = consumer
        self._topics = topics

    def reached(self, partition: Partition) -> dict[InputName, bool]:
        """Which sides have been taken to their present end.

        That an end was reported is not enough: since then more may have been fetched, which waits
        in the client's queue behind records of the other side.
        """
        return {
            side: partition.ends[side] >= partition.fetched[side]
            and self._known(partition, side) <= partition.ends[side]
            for side in self._topics
        }

    def confirm(self, partition: Partition, sides: list[InputName]) -> dict[InputName, int]:
        """When the broker said of these sides that nothing is to come, ms; asks it once a second.

        What the last fetch said may be long ago: the worker may have been frozen or cut off.
        """
        confirmed: dict[InputName, int] = {}
        if not sides or time.monotonic() < partition.confirm_at:
            return confirmed
        for side in sides:
            place = TopicPartition(self._topics[side], partition.number)
            asked = time.time_ns() // 1_000_000
            try:
                _, end = self._consumer.get_watermark_offsets(place, timeout=CONFIRM_SECONDS)
            except KafkaException:
                continue  # not confirmed, so nothing expires; asked again in a second
            if end <= max(partition.ends[side], partition.fetched[side]):
                confirmed[side] = asked
        partition.confirm_at = time.monotonic() + CONFIRM_SECONDS
        return confirmed

    def lag(self, partition: Partition, side: InputName) -> int | None:
        """Offsets of a side that are not yet worked off; None before the first fetch."""
        end = self._known(partition, side)
        return None if end < 0 else max(0, end - partition.positions[side])

    def _known(self, partition: Partition, side: InputName) -> int:
        """The end of a log as of the last fetch, -1 where there was none yet."""
        place = TopicPartition(self._topics[side], partition.number)
        try:
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
        except KafkaException:
            return -1
        return int(high)
