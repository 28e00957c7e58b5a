"""Which partitions the consumer fetches, and from where; sees to it that what is to flow does.

A call to pause or to resume can get lost: librdkafka (2.16) drops it where a rebalance begins in
the same microseconds ("received outdated op PAUSE" in its debug log), and confluent-kafka does not
say so. The partition would stay as it was, without an error, until the next rebalance; so all calls
are made again behind each rebalance. `look` is for whatever else may keep a partition from flowing.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition

from millstream.core.records.record import InputName
from millstream.errors import Stop
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS: Final = 1.0
"""Between two questions to the brokers, each for a side of one partition."""
ANSWER_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 15.0
"""How long nothing may come of a side of which there is more: many times a fetch's longest wait."""


class FlowControl:
    """Begins and stops the fetching of partitions, events and labels together."""

    def __init__(self, consumer: Any, topics: Mapping[InputName, str]) -> None:
        self._consumer = consumer
        self._topics = topics
        self._look_at = 0.0
        self._asked: tuple[int, InputName] | None = None
        self._owed: dict[tuple[int, InputName], tuple[int, float]] = {}
        """What there was more of when last looked: up to where it had come, and since when."""

    def begin(self, partition: Partition, places: Sequence[TopicPartition]) -> None:
        """Fetch a partition from here on; raises KafkaException."""
        for place in places:
            self._consumer.seek(place)
        partition.paused = set()
        self._consumer.resume(list(places))

    def stop(self, partition: Partition) -> None:
        """Fetch no more of a partition for now."""
        self._consumer.pause(self._places(partition, self._topics))

    def hold_back(self, partition: Partition, limit: int) -> None:
        """Stop fetching a side that runs ahead of the other by more than `limit` records."""
        processor = partition.processor
        if processor is None:
            return
        for side in self._topics:
            backlog = processor.backlog(side)
            if backlog > limit and side not in partition.paused:
                self._consumer.pause(self._places(partition, [side]))
                partition.paused.add(side)
            elif backlog <= limit // 2 and side in partition.paused:
                self._consumer.resume(self._places(partition, [side]))
                partition.paused.discard(side)

    def say_again(self, partitions: Collection[Partition]) -> None:
        """Make all calls again, behind a rebalance: one may have been lost as it began."""
        for partition in partitions:
            flowing = self._flowing(partition)
            if flowing:
                self._consumer.resume(self._places(partition, flowing))
            if still := [side for side in self._topics if side not in flowing]:
                self._consumer.pause(self._places(partition, still))

    def look(self, partitions: Mapping[int, Partition]) -> None:
        """For a loop that has nothing to do: assign anew what does not flow though there is more.

        Asks the brokers about one side of one partition at a time. Raises `Stop` where the client
        refuses.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        due = [(each.number, side) for each in partitions.values() for side in self._flowing(each)]
        self._owed = {key: owed for key, owed in self._owed.items() if key in due}
        if not due:
            return
        following = due.index(self._asked) + 1 if self._asked in due else 0
        self._asked = number, side = due[following % len(due)]
        partition = partitions[number]
        known = max(partition.ends[side], partition.fetched[side])
        try:
            _, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topics[side], number), timeout=ANSWER_SECONDS
            )
        except KafkaException:
            return  # an outage is another matter, and told elsewhere
        if end <= known:
            self._owed.pop((number, side), None)
            return
        before = self._owed.get((number, side))
        if before is None or before[0] != known:
            self._owed[number, side] = known, now
        elif now - before[1] >= STUCK_SECONDS:
            log.warning(
                "nothing comes of a partition though there is more: it is assigned anew",
                extra={"topic": self._topics[side], "partition": number, "from": known, "to": end},
            )
            del self._owed[number, side]
            self._assign_anew(partition)

    def _assign_anew(self, partition: Partition) -> None:
        places = [
            TopicPartition(self._topics[side], partition.number, offset)
            for side, offset in partition.fetched.items()
        ]
        try:
            self._consumer.incremental_unassign(places)
            self._consumer.incremental_assign(places)
        except KafkaException as raised:
            raise Stop(
                f"{places[0].topic} partition {partition.number} stands still and cannot be "
                f"assigned anew ({raised.args[0].str()}): start the worker again; it goes on where "
                "it was"
            ) from raised
        self.say_again([partition])

    def _flowing(self, partition: Partition) -> list[InputName]:
        return [
            side for side in self._topics
            if partition.is_running and side not in partition.paused
        ]  # fmt: skip

    def _places(self, partition: Partition, sides: Collection[InputName]) -> list[TopicPartition]:
        return [TopicPartition(self._topics[side], partition.number) for side in sides]
