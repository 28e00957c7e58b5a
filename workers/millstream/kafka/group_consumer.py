"""The consumer interface that a worker needs of a member of its group."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

from confluent_kafka import TopicPartition

RebalanceCallback = Callable[[Any, list[TopicPartition]], None]


class GroupConsumer(Protocol):
    """A subset of confluent-kafka's `Consumer`; only the worker's thread calls it.

    Rebalance callbacks run within `poll` and `close` alone. Calls raise KafkaException.
    """

    def subscribe(
        self,
        topics: list[str],
        /,
        on_assign: RebalanceCallback,
        on_revoke: RebalanceCallback,
        on_lost: RebalanceCallback,
    ) -> None:
        """Join the group."""

    def poll(self, timeout: float, /) -> Any:
        """The next message, or None after `timeout` seconds."""

    def consume(self, num_messages: int, timeout: float, /) -> list[Any]:
        """Up to so many messages."""

    def memberid(self) -> str:
        """The member id, empty outside of the group."""

    def consumer_group_metadata(self) -> Any:
        """The membership that a transaction commits offsets for."""

    def committed(
        self, partitions: list[TopicPartition], /, timeout: float
    ) -> list[TopicPartition]:
        """The committed offsets of the group."""

    def commit(self, *, offsets: list[TopicPartition], asynchronous: Literal[False]) -> object:
        """Commit offsets, with their metadata, and wait until the group has them."""

    def seek(self, partition: TopicPartition, /) -> None:
        """Fetch a partition from an offset."""

    def pause(self, partitions: list[TopicPartition], /) -> None:
        """Return no messages of these partitions."""

    def resume(self, partitions: list[TopicPartition], /) -> None:
        """Return messages of these partitions again."""

    def incremental_assign(self, partitions: list[TopicPartition], /) -> None:
        """Add partitions to those that are fetched."""

    def incremental_unassign(self, partitions: list[TopicPartition], /) -> None:
        """Remove partitions from those that are fetched."""

    def get_watermark_offsets(
        self, partition: TopicPartition, /, timeout: float = ..., *, cached: bool = ...
    ) -> tuple[int, int]:
        """The first offset and the end of a log, as of the last fetch if `cached`."""

    def close(self) -> None:
        """Leave the group."""
