"""Topics and committed offsets in memory, which outlive the worker that uses them."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from millstream.core.records.outputs import owner_record
from millstream.core.records.record import InputName, Output, Record
from millstream.errors import SettingsError
from millstream.kafka.log_reader import OffsetRange


class CommittedPositions(NamedTuple):
    """The committed offsets of a partition."""

    positions: Mapping[InputName, int]
    """By input, the offset after the last processed record."""
    owner: int | None
    """The epoch of the owner, at least once with delayed labels; see `OwnershipHistory`."""


class MemoryLogs:
    """Topics of one app, all with the same number of partitions, and the group's offsets."""

    def __init__(self, partitions: int = 1) -> None:
        """No topics; each is created by its first use. Raises `SettingsError`."""
        if type(partitions) is not int or partitions < 1:
            raise SettingsError(f"partitions is {partitions!r}: it has to be a number from 1 on")
        self.partitions = partitions
        self.committed: dict[int, CommittedPositions] = {}
        """By partition; none for a partition that was never processed."""
        self._topics: dict[str, list[list[Record]]] = {}

    def append(self, topic: str, partition: int, output: Output, timestamp: int) -> int:
        """Write a record; returns its offset. `timestamp`: Kafka's, ms."""
        records = self.records(topic, partition)
        records.append(Record(len(records), timestamp, *output))
        return len(records) - 1

    def extend(self, topic: str, partition: int, outputs: Iterable[Output], timestamp: int) -> None:
        """Write records."""
        for output in outputs:
            self.append(topic, partition, output, timestamp)

    def records(self, topic: str, partition: int) -> list[Record]:
        """All records of a partition; the offset of each is its index in the list."""
        if topic not in self._topics:
            self._topics[topic] = [[] for _ in range(self.partitions)]
        return self._topics[topic][partition]

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last record."""
        return len(self.records(topic, partition))

    def forget(self, topic: str, partition: int) -> None:
        """Drop the records of a partition that nobody reads, not even a restore."""
        self.records(topic, partition).clear()


class MemoryReader:
    """Reads offset ranges of `MemoryLogs`; a `RestoreLogs`."""

    def __init__(self, logs: MemoryLogs) -> None:
        self._logs = logs
        self._range: OffsetRange | None = None
        self.records_read = 0

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and the offset after the last record."""
        return 0, self._logs.end(topic, partition)

    def open(self, offset_range: OffsetRange) -> None:
        """Begin with an offset range."""
        self._range = offset_range

    def done(self) -> bool:
        """Whether it is read to its end."""
        return self._range is None

    def step(self, timeout: float) -> None:  # noqa: ARG002 - nothing to wait for
        """Read all of it."""
        if self._range is None:
            return
        offset_range, self._range = self._range, None
        records = self._logs.records(offset_range.topic, offset_range.partition)[
            offset_range.start : offset_range.end
        ]
        self.records_read += len(records)
        if records:
            offset_range.sink(records)

    def close(self) -> None:
        """Drop the offset range."""
        self._range = None


class MemoryModels:
    """The models topic, for snapshots; a `ModelsTopicWriter`."""

    def __init__(self, logs: MemoryLogs, topic: str, clock: Callable[[], int]) -> None:
        self._logs = logs
        self._topic = topic
        self._clock = clock

    def write(self, partition: int, outputs: Iterable[Output]) -> None:
        """Write records."""
        self._logs.extend(self._topic, partition, outputs, self._clock())

    def close(self) -> None:
        """Nothing is open."""


class MemoryEpochLog:
    """The announcement of a new owner, at least once; an `EpochLog`."""

    def __init__(self, logs: MemoryLogs, examples: str, clock: Callable[[], int]) -> None:
        """`examples`: the name of that topic."""
        self._logs = logs
        self._examples = examples
        self._clock = clock

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`."""
        now = self._clock()
        self._logs.append(self._examples, partition, owner_record(owner, after, now), now)
