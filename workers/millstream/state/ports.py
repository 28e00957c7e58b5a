"""Protocols of the logs that a restore reads, and of the work that it waits for."""

from collections.abc import Generator
from typing import NamedTuple, Protocol, TypeVar

from millstream.kafka.log_reader import OffsetRange


class EpochLog(Protocol):
    """Announces a new owner of a partition where no transaction fences the old one."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait until it is there.

        `after`: the owner before.
        """


class RestoreLogs(Protocol):
    """Reads the logs of all partitions, one offset range at a time."""

    records_read: int
    """Records read in all ranges so far."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and the offset after the last record that was ever written."""

    def open(self, offset_range: OffsetRange) -> None:
        """Begin to read a range."""

    def done(self) -> bool:
        """Whether the range is read to its end."""

    def step(self, timeout: float) -> None:
        """Read a chunk of the range, waiting for at most `timeout` seconds. Raises `Stop`."""

    def close(self) -> None:
        """Close the range."""


class TopicFacts(NamedTuple):
    """The brokers' description of an app's topics."""

    partitions: int
    """Of events."""
    topic_ids: dict[str, str]
    """Topic to id; empty where the brokers give none."""
    max_bytes: int
    """The largest message that every output topic accepts."""


class Work(Protocol):
    """Something that a restore waits for."""

    def done(self, timeout: float) -> bool:
        """Advance for about `timeout` seconds; returns whether it is finished."""


T = TypeVar("T")
Steps = Generator[Work | None, None, T]
"""Steps with the result T; each yield ends a step, with the work that the next one waits for."""


class LogReading(NamedTuple):
    """The work of reading the range that a reader has open."""

    reader: RestoreLogs

    def done(self, timeout: float) -> bool:
        """Read a chunk, unless the range is read."""
        if self.reader.done():
            return True
        self.reader.step(timeout)
        return False
