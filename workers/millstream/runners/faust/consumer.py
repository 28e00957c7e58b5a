"""Faust's own Kafka consumer, connected to the bridge.

Three things are changed in the consumer of the app that a worker is attached to:

- it reads `read_committed`, because a restore does: records of an aborted transaction are none;
- where labels come on a topic of their own and the app has no tables, partitions are assigned by
  range: aiokafka's round robin (Faust's choice for apps without tables) would give partition p of
  events and of labels to different workers. An app with tables has Faust's own assignor, which
  keeps topics with equally many partitions together;
- a rebalance waits until the worker's loop has released its partitions.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaTopicPartition
from confluent_kafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer

from millstream.runners.faust.bridge import ConsumerBridge, refused
from millstream.runners.faust.partition_buffer import FetchProgress, TopicAndPartition

log = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 30.0
REVOKE_SECONDS: Final = 20.0
"""How long a rebalance waits for the loop to release partitions: longer than a batch and its last
snapshots take, shorter than Kafka waits for a member (Faust's `broker_rebalance_timeout`)."""
_END: Final = "\0"
"""Ends metadata, as in librdkafka's own commits: asked for committed offsets, librdkafka (2.16 at
least) returns the memory behind the metadata as well, up to the next such character."""
FULL_SECONDS: Final = 0.1
"""How long a fetch waits that finds the buffer of every partition full."""


class ConsumerThread(AIOKafkaConsumerThread):
    """The thread in which Faust's consumer lives; all of this runs in its event loop."""

    bridge: ConsumerBridge
    _assignor: Any

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust offers no setting for either.
        consumer._isolation_level = "read_committed"
        if len(self.bridge.topics) > 1 and self._assignor is RoundRobinPartitionAssignor:
            self._assignor = RangePartitionAssignor
            consumer._partition_assignment_strategy = [RangePartitionAssignor]
        self._last: dict[TopicAndPartition, int] = {}
        return consumer

    # -- rebalances -------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Wait until the loop has finished and committed its batch; Faust hands over no more."""
        await super().on_partitions_revoked(revoked)
        done = self.bridge.revoke()
        try:
            await asyncio.wait_for(asyncio.wrap_future(done), REVOKE_SECONDS)
        except TimeoutError:
            log.warning(
                "partitions are given back in the middle of a batch, which does not count",
                extra={"seconds": REVOKE_SECONDS},
            )
            self.bridge.lose()

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Tell the bridge of the partitions before Faust fetches any of them."""
        self._last.clear()
        self.bridge.assign([(tp.topic, tp.partition) for tp in assigned], generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    # -- fetching ---------------------------------------------------------------------------------

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[Any] | None,
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[Any, Sequence[Any]]:
        full = self.bridge.full
        if full and active_partitions:
            # Not by Faust's `pause_partitions`, which drops what is fetched already.
            active_partitions = {
                tp for tp in active_partitions if (tp.topic, tp.partition) not in full
            }
            if not active_partitions:
                # aiokafka would take an empty set for all; and it leaves the group, silently, when
                # nobody fetches for `broker_max_poll_interval`.
                with consumer._fetcher._subscriptions.fetch_context():
                    await asyncio.sleep(FULL_SECONDS)
                return {}
        records: Mapping[Any, Sequence[Any]] = await super()._fetch_records(
            consumer, active_partitions, timeout=timeout, max_records=max_records
        )
        self._report(consumer, records)
        return records

    def _report(self, consumer: Any, records: Mapping[Any, Sequence[Any]]) -> None:
        """Report the progress of a fetch, before its records reach the agents."""
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return
        for tp in subscription.assignment.tps:
            partition = (tp.topic, tp.partition)
            if tp.topic not in self.bridge.topics:
                continue
            gaps = self._gaps(partition, records.get(tp, ()))
            state = subscription.assignment.state_value(tp)
            if state.has_valid_position and state.lso is not None:
                last = self._last.get(partition, -1)
                progress = FetchProgress(state.position, state.lso, last)
                self.bridge.fetched(partition, progress, gaps)

    def _gaps(
        self, partition: TopicAndPartition, records: Sequence[Any]
    ) -> dict[int, tuple[int, bool]]:
        """Offsets that do not follow on the one before: see `ConsumerBridge.fetched`."""
        if not records:
            return {}
        gaps: dict[int, tuple[int, bool]] = {}
        first, last = records[0].offset, records[-1].offset
        before = self._last.get(partition, -1)
        if before >= 0 and first > before + 1:
            gaps[first] = (before + 1, False)
        if last - first + 1 != len(records):
            due = first
            for record in records:
                if record.offset != due:
                    gaps[record.offset] = (due, True)
                due = record.offset + 1
        self._last[partition] = last
        return gaps

    # -- committing -------------------------------------------------------------------------------

    def commit_from_outside(self, offsets: Sequence[TopicPartition], generation: int) -> None:
        """See `BridgedGroup.commit`; called by the worker's thread."""
        try:
            done = asyncio.run_coroutine_threadsafe(
                self._commit_ours(offsets, generation), self.thread_loop
            )
        except RuntimeError as error:  # its event loop has ended
            raise refused("Faust's consumer has stopped") from error
        try:
            done.result(COMMIT_SECONDS)
        except TimeoutError as error:
            done.cancel()
            raise refused(f"no answer to a commit within {COMMIT_SECONDS:g} s") from error
        except KafkaError as error:
            raise refused(f"{type(error).__name__}: {error}") from error

    async def _commit_ours(self, offsets: Sequence[TopicPartition], generation: int) -> None:
        consumer = self._ensure_consumer()
        if consumer._coordinator.generation != generation:
            raise refused("the group has rebalanced since")
        await consumer.commit(
            {
                KafkaTopicPartition(each.topic, each.partition): OffsetAndMetadata(
                    each.offset, f"{each.metadata}{_END}" if each.metadata else ""
                )
                for each in offsets
            }
        )


def consumer_class(bridge: ConsumerBridge) -> type[FaustConsumer]:
    """A consumer class for one app, connected to its bridge."""

    class Consumer(FaustConsumer):
        """Faust's consumer, in a thread that reports to the bridge."""

        def _new_consumer_thread(self) -> ConsumerThread:
            thread = ConsumerThread(self, loop=self.loop, beacon=self.beacon)
            thread.bridge = bridge
            return thread

    return Consumer
