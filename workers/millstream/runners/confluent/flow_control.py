"""Flow control: pause, resume and seek of partitions, and a check for stalled ones.

A call to pause or to resume can get lost: librdkafka (2.16) drops it if a rebalance begins in the
same microseconds ("received outdated op PAUSE" in its debug log), and confluent-kafka does not
report that. The partition would stay as it was, without an error, until the next rebalance; so all
calls are repeated after each rebalance. `look` finds stalls of any other cause.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from millstream.core.records.record import InputName
from millstream.errors import Stop
from millstream.kafka.group_consumer import GroupConsumer
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS: Final = 1.0
"""Between two requests to the brokers, each for one input of one partition."""
ANSWER_SECONDS: Final = 1.0
"""Time-out of such a request."""
STUCK_SECONDS: Final = 15.0
"""How long an input with more records may bring none: many times a fetch's longest wait."""


class FlowControl:
    """Starts, pauses and resumes the fetching of partitions."""

    def __init__(self, consumer: GroupConsumer, topics: Mapping[InputName, str]) -> None:
        self._consumer = consumer
        self._topics = topics
        self._look_at = 0.0
        self._asked: tuple[int, InputName] | None = None
        self._stalled: dict[tuple[int, InputName], tuple[int, float]] = {}
        """Inputs with more records at the last check: the offset they are at, and since when."""

    def begin(self, partition: Partition, positions: Sequence[TopicPartition]) -> None:
        """Fetch a partition from these positions; raises KafkaException."""
        for position in positions:
            self._consumer.seek(position)
        partition.paused = set()
        self._consumer.resume(list(positions))

    def stop(self, partition: Partition) -> None:
        """Pause a partition."""
        self._consumer.pause(self._topic_partitions(partition, self._topics))

    def hold_back(self, partition: Partition, limit: int) -> None:
        """Pause an input while it is ahead of the other by more than `limit` records."""
        processor = partition.processor
        if processor is None:
            return
        for input_name in self._topics:
            backlog = processor.backlog(input_name)
            if backlog > limit and input_name not in partition.paused:
                self._consumer.pause(self._topic_partitions(partition, [input_name]))
                partition.paused.add(input_name)
            elif backlog <= limit // 2 and input_name in partition.paused:
                self._consumer.resume(self._topic_partitions(partition, [input_name]))
                partition.paused.discard(input_name)

    def say_again(self, partitions: Collection[Partition]) -> None:
        """Repeat all calls after a rebalance: one may have been lost as it began."""
        for partition in partitions:
            flowing = self._flowing(partition)
            if flowing:
                self._consumer.resume(self._topic_partitions(partition, flowing))
            if paused := [each for each in self._topics if each not in flowing]:
                self._consumer.pause(self._topic_partitions(partition, paused))

    def look(self, partitions: Mapping[int, Partition]) -> None:
        """In an idle loop, reassign a partition that brings nothing though there is more.

        Asks the brokers about one input of one partition at a time. Raises `Stop` if the client
        refuses.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        due = [
            (each.number, input_name)
            for each in partitions.values()
            for input_name in self._flowing(each)
        ]
        self._stalled = {key: since for key, since in self._stalled.items() if key in due}
        if not due:
            return
        following = due.index(self._asked) + 1 if self._asked in due else 0
        self._asked = number, input_name = due[following % len(due)]
        partition = partitions[number]
        known = max(partition.ends[input_name], partition.fetched[input_name])
        try:
            _, end = self._consumer.get_watermark_offsets(
                TopicPartition(self._topics[input_name], number), timeout=ANSWER_SECONDS
            )
        except KafkaException:
            return  # the broker probe reports an outage
        if end <= known:
            self._stalled.pop((number, input_name), None)
            return
        before = self._stalled.get((number, input_name))
        if before is None or before[0] != known:
            self._stalled[number, input_name] = known, now
        elif now - before[1] >= STUCK_SECONDS:
            log.warning(
                "nothing comes of a partition though there is more: it is assigned anew",
                extra={
                    "topic": self._topics[input_name],
                    "partition": number,
                    "from": known,
                    "to": end,
                },
            )
            del self._stalled[number, input_name]
            self._reassign(partition)

    def _reassign(self, partition: Partition) -> None:
        positions = [
            TopicPartition(self._topics[name], partition.number, offset)
            for name, offset in partition.fetched.items()
        ]
        try:
            self._consumer.incremental_unassign(positions)
            self._consumer.incremental_assign(positions)
        except KafkaException as raised:
            raise Stop(
                f"{positions[0].topic} partition {partition.number} stands still and cannot be "
                f"assigned anew ({raised.args[0].str()}): start the worker again; it goes on where "
                "it was"
            ) from raised
        self.say_again([partition])

    def _flowing(self, partition: Partition) -> list[InputName]:
        return [
            name for name in self._topics
            if partition.processor is not None and name not in partition.paused
        ]  # fmt: skip

    def _topic_partitions(
        self, partition: Partition, inputs: Collection[InputName]
    ) -> list[TopicPartition]:
        return [TopicPartition(self._topics[name], partition.number) for name in inputs]
