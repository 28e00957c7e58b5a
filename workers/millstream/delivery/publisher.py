"""The publisher's interface: all of a batch's outputs and offsets are written, or none counts.

`exactly_once` writes them in a transaction. `at_least_once` writes, waits for acknowledgements and
then commits the offsets: a crash between the two repeats outputs, while learning stays exactly-once
because a replay goes by source offsets.

Every failure has one of three owners. `Aborted`: nothing of the batch counts, and its partitions
are restored. `ProducerLost`: the same, and the producer must be replaced. `Stop`: the worker ends.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from confluent_kafka import TopicPartition

from millstream.core.records.record import BatchResult
from millstream.errors import MillstreamError
from millstream.kafka.group_consumer import GroupConsumer
from millstream.state.ports import EpochLog


class Aborted(MillstreamError):
    """The batch does not count; restore its partitions and resume at the committed offsets."""


class ProducerLost(Aborted):
    """The producer is dead (fenced, or its transaction timed out) and must be built again."""

    def __init__(self, why: str, seconds: float) -> None:
        """`seconds`: since its transaction began."""
        super().__init__(why)
        self.seconds = seconds


class OutputTopics(NamedTuple):
    """The topics that outputs are written to."""

    predictions: str
    examples: str
    models: str
    dead_letters: str


class Publisher(Protocol):
    """Publishes batches under one guarantee; each method raises `Aborted` or `Stop`."""

    transactional: bool
    """Whether batches are transactions, which fence other owners and may hang."""

    def epoch_log(self) -> EpochLog | None:
        """Return where a new owner announces itself; None where transactions fence the old one."""

    def back_off(self) -> None:
        """Wait, before a batch is fetched, while brokers still end the previous transaction."""

    def write(self, partition: int, result: BatchResult) -> None:
        """Add a chunk's outputs to the open batch, and clear them in `result`."""

    def commit(
        self, offsets: Sequence[TopicPartition], member: str, consumer: GroupConsumer
    ) -> None:
        """Make the open batch count.

        `offsets`: the group's positions afterwards, of events and of labels, moved or not;
        `member`: the consumer's member id when the batch was fetched, empty if it was in no group.
        """

    def abort(self) -> None:
        """Drop the open batch."""

    def abort_over(
        self, outputs: Sequence[TopicPartition], offsets: Sequence[TopicPartition], metadata: object
    ) -> None:
        """End this producer's hanging transactions in output partitions and in inputs' offsets.

        Only while no batch is open; see `delivery.hanging_transactions`. `metadata`: of a consumer
        of the group.
        """

    def poll(self) -> None:
        """Let the producer deliver its logs and statistics."""

    def close(self) -> None:
        """Abort an open transaction and disconnect."""
