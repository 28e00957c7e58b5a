"""A consumer that another program fills: from the threads of Faust to the worker's loop.

To the loop it is a `GroupConsumer`, and only the loop's thread may call those methods. Faust's
threads hand over messages, partitions and the ends of logs that they know.

One rule makes the weights exact: **records are consumed in the order of their offsets, none left
out.** Faust may hand a record over twice (it seeks back to what is committed), or not at all (it
had fetched it when something paused its partition). So a record below the due offset is skipped;
and before one beyond it, the range between is read from the log itself, unless the fetch that
brought the record shows that nothing is there.
"""

import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from millstream.config.settings import Settings
from millstream.kafka.admin import BROKER_TIMEOUT_SECONDS
from millstream.runners.faust.log_access import LogAccess
from millstream.runners.faust.partition_buffer import (
    EndOfLog,
    FetchProgress,
    PartitionBuffer,
    TopicAndPartition,
)
from millstream.runners.faust.rebalances import Callback, Callbacks, Rebalances

log = logging.getLogger(__name__)

GAP_RECORDS: Final = 50_000
"""The largest offset range read at a time of what Faust did not hand over."""


class BridgedGroup(Protocol):
    """The consumer that is a member of the group."""

    def commit(self, offsets: Sequence[TopicPartition], generation: int) -> None:
        """Commit with metadata, as the member of this generation.

        Returns when it is done. Raises KafkaException where the group refuses, or does not answer.
        """


class ConsumerBridge:
    """Between the threads of Faust and that of the worker's loop."""

    def __init__(self, settings: Settings, group: BridgedGroup) -> None:
        """Connects when the loop begins (`open`)."""
        self._settings = settings
        self._group = group
        events = settings.events.topic
        labels = settings.inputs.get("labels")
        self.topics = frozenset({events, *([labels] if labels else [])})
        """The topics that messages are consumed from."""
        self._changed = threading.Condition()
        self._buffers: dict[TopicAndPartition, PartitionBuffer] = {}
        self._rebalances = Rebalances(events, labels, self._changed, self._drop)
        self._turn = 0
        self._serving = False
        self.full: frozenset[TopicAndPartition] = frozenset()
        """Partitions of which Faust shall fetch no more for now."""

    # -- for Faust's threads ----------------------------------------------------------------------

    def assign(self, partitions: Collection[TopicAndPartition], generation: int) -> None:
        """The group gave this member partitions: before any message of them is handed over."""
        ours = sorted(partition for partition in partitions if partition[0] in self.topics)
        with self._changed:
            self._buffers = {each: PartitionBuffer(*each, generation) for each in ours}
            self.full = frozenset()
            self._rebalances.add("assign", ours, generation)

    def revoke(self) -> "Future[None]":
        """The group takes all partitions back; done when the loop has released them."""
        with self._changed:
            if self._serving:
                return self._rebalances.add("revoke", sorted(self._buffers), -1)
            self._buffers, self.full = {}, frozenset()
            self._rebalances.clear()
            done: Future[None] = Future()
            done.set_result(None)
            return done

    def lose(self) -> None:
        """The loop did not release in time: what it still does with the partitions cannot count."""
        with self._changed:
            self._buffers, self.full = {}, frozenset()
            self._rebalances.lose()

    def put(self, messages: Iterable[Any]) -> None:
        """Messages of Faust, in the order in which it gave them."""
        with self._changed:
            for message in messages:
                buffer = self._buffers.get((message.topic, message.partition))
                if buffer is not None:
                    buffer.put(message)
            self.full |= {each for each, buffer in self._buffers.items() if buffer.is_full()}
            self._changed.notify()

    def fetched(
        self,
        partition: TopicAndPartition,
        progress: FetchProgress,
        gaps: Mapping[int, tuple[int, bool]],
    ) -> None:
        """How far a partition is fetched, and between which records of it there is nothing.

        `gaps`: offset of a record to the offset after the one before it, and whether both came in
        one answer.
        """
        with self._changed:
            buffer = self._buffers.get(partition)
            if buffer is not None:
                buffer.fetched = progress
                buffer.gaps.update(gaps)
                self._changed.notify()

    def due_offsets(self) -> dict[TopicAndPartition, int]:
        """The offset that Faust has to hand over next, for each partition that is not full."""
        with self._changed:
            return {
                partition: max(buffer.received + 1, buffer.next)
                for partition, buffer in self._buffers.items()
                if buffer.next is not None and partition not in self.full
            }

    # -- for the loop, as confluent-kafka's consumer has it ----------------------------------------

    def open(self) -> "ConsumerBridge":
        """Connect; from now on the loop answers."""
        self._log_access = LogAccess(self._settings)
        self._serving = True
        return self

    def subscribe(
        self, _topics: list[str], on_assign: Callback, on_revoke: Callback, on_lost: Callback
    ) -> None:
        """Set the callbacks of rebalances; Faust has subscribed already."""
        self._rebalances.subscribe(Callbacks(on_assign, on_revoke, on_lost))

    def poll(self, timeout: float) -> Any:
        """The next message, or None; callbacks of the group come within this call alone."""
        self._rebalances.run(self)
        found = self._take(1)
        if not found:
            with self._changed:
                if not self._rebalances.pending():
                    self._changed.wait(timeout)
            self._rebalances.run(self)
            found = self._take(1)
        return found[0] if found else None

    def consume(self, most: int, _timeout: float) -> list[Any]:
        """Messages that are available."""
        return self._take(most)

    def memberid(self) -> str:
        """A name of this membership: another one after each rebalance, empty outside the group."""
        generation = self._rebalances.generation
        return "" if generation < 0 else f"generation-{generation}"

    def consumer_group_metadata(self) -> Any:
        """Never called: under Faust, settings allow no transactions."""
        raise NotImplementedError

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """What the group has committed; raises KafkaException."""
        return self._log_access.committed(partitions, timeout)

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> None:
        """Commit as the member that the loop knows itself to be; raises KafkaException."""
        if asynchronous:
            raise ValueError("offsets are committed where the loop waits for it")
        self._group.commit(offsets, self._rebalances.generation)

    def seek(self, partition: TopicPartition) -> None:
        """Continue from an offset, wherever Faust is."""
        with self._changed:
            buffer = self._buffers.get((partition.topic, partition.partition))
            if buffer is not None:
                buffer.seek(partition.offset)

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Give out nothing of these."""
        self._set_paused(partitions, paused=True)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Give out messages of these again."""
        self._set_paused(partitions, paused=False)

    def _set_paused(self, partitions: list[TopicPartition], *, paused: bool) -> None:
        with self._changed:
            for partition in partitions:
                buffer = self._buffers.get((partition.topic, partition.partition))
                if buffer is not None:
                    buffer.paused = paused

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Faust fetches by itself."""

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Faust fetches by itself."""

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = BROKER_TIMEOUT_SECONDS, *,
        cached: bool = False,
    ) -> tuple[int, int]:  # fmt: skip
        """Beginning and end of a log, as of the last fetch or (not cached) as the broker says."""
        if not cached:
            return self._log_access.watermarks(partition, timeout)
        with self._changed:
            buffer = self._buffers.get((partition.topic, partition.partition))
            return 0, -1 if buffer is None or buffer.fetched is None else buffer.fetched.end

    def close(self) -> None:
        """The loop ends: give partitions back by its callbacks, and answer no more."""
        with self._changed:
            self._serving = False
        try:
            self._rebalances.close(self)
        finally:
            with self._changed:
                self._buffers, self.full = {}, frozenset()
            self._log_access.close()

    # -- messages ---------------------------------------------------------------------------------

    def _drop(self, generation: int) -> None:
        """Drop a generation's buffers; those of the next one may be there already."""
        with self._changed:
            self._buffers = {p: b for p, b in self._buffers.items() if b.generation != generation}

    def _take(self, most: int) -> list[Any]:
        """Up to so many messages, of each partition in the order of its offsets."""
        taken: list[Any] = []
        with self._changed:
            buffers = [buffer for buffer in self._buffers.values() if buffer.is_open()]
        if not buffers:
            return taken
        self._turn = (self._turn + 1) % len(buffers)
        for buffer in buffers[self._turn :] + buffers[: self._turn]:
            if len(taken) >= most:
                break
            self._take_of(buffer, most, taken)
        with self._changed:
            if self.full:
                self.full = frozenset(
                    partition for partition in self.full
                    if partition in self._buffers and not self._buffers[partition].is_drained()
                )  # fmt: skip
        return taken

    def _take_of(self, buffer: PartitionBuffer, most: int, taken: list[Any]) -> None:
        with self._changed:
            taken += buffer.take(most - len(taken))
            gap = buffer.gap()
        if gap is not None:
            self._close_gap(buffer, gap)
            with self._changed:
                taken += buffer.take(most - len(taken))
            return
        if len(taken) >= most:
            return
        with self._changed:
            end = buffer.end_to_report()
        if end is not None:
            taken.append(EndOfLog(buffer.topic, buffer.partition, end))

    def _close_gap(self, buffer: PartitionBuffer, end: int) -> None:
        """Read the records between the due offset and `end`."""
        start = buffer.floor
        topic, partition = buffer.topic, buffer.partition
        if buffer.is_known_gap(end):
            log_start, _ = self._log_access.watermarks(
                TopicPartition(topic, partition), BROKER_TIMEOUT_SECONDS
            )
            if log_start <= start:  # else retention has passed the due offset; the reader says so
                buffer.complete_to = end
                return
        end = min(end, start + GAP_RECORDS)
        found = self._log_access.read(topic, partition, start, end)
        if found is None:
            return  # again at the next turn
        if found:
            log.info(
                "records read that Faust did not hand over",
                extra={"topic": topic, "partition": partition, "records": len(found),
                       "start": start, "end": end},
            )  # fmt: skip
        with self._changed:
            buffer.fill(found, end)


def refused(reason: str) -> KafkaException:
    """The error of a commit that the group did not accept."""
    return KafkaException(KafkaError(KafkaError._STATE, reason))  # noqa: SLF001 - its public name
