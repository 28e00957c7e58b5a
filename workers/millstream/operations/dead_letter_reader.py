"""Reads the dead letters of an app, up to the end that their topic had when the reading began."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from millstream.config.settings import Settings
from millstream.core.records.dead_letters import (
    DeadLetterRecord,
    RecordPosition,
    read_letter,
    read_note,
)
from millstream.core.records.record import Record
from millstream.errors import Stop
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import LogReader, OffsetRange
from millstream.kafka.topics import list_topics, reason
from millstream.kafka.watermarks import Watermarks

STALL_SECONDS: Final = 60.0
"""Longer than any transaction of a worker with usual settings may stay open."""
_STEP_SECONDS: Final = 0.2


@dataclass(slots=True)
class Scan:
    """What lies in the dead letters, without the messages themselves."""

    letters: list[DeadLetterRecord] = field(default_factory=list)
    """In the order of partitions and offsets."""
    replayed: Counter[RecordPosition] = field(default_factory=Counter)
    """Where a message lay, to how often it was replayed from there."""
    foreign: int = 0
    """How many records are no dead letters of Millstream's."""


class DeadLetterReader:
    """Reads with `read_committed` and outside of any group: it leaves no trace."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        """Raises `Stop` where there is no dead-letters topic."""
        self.topic = settings.topic("dead_letters")
        self._admin = admin
        self._bounds = Watermarks(reader_config(settings))
        self._config = reader_config(settings)
        self._partitions = {name: info.partitions for name, info in list_topics(admin).items()}
        if self.topic not in self._partitions:
            raise Stop(f"topic {self.topic} (dead letters) does not exist, or this user may not "
                       "see it: check app and topics.dead_letters in the settings")  # fmt: skip

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0: there is no such topic."""
        return self._partitions.get(topic, 0)

    def chosen_partitions(self, wanted: Iterable[int]) -> list[int]:
        """The partitions to read, all where none is named; raises `Stop` for one that is not."""
        count = self.partitions(self.topic)
        chosen = sorted(set(wanted)) or list(range(count))
        if chosen[-1] >= count:
            raise Stop(f"{self.topic} has no partition {chosen[-1]}: its partitions are 0 to "
                       f"{count - 1}")  # fmt: skip
        return chosen

    def scan(
        self, partitions: Iterable[int], since: int | None, fits: Callable[[DeadLetterRecord], bool]
    ) -> Scan:
        """Read everything that was written at or after `since` (ms), and keep what fits."""
        found = Scan()

        def take(place: RecordPosition, record: Record) -> None:
            if (letter := read_letter(self.topic, place.partition, record)) is not None:
                # Timestamps of a partition need not rise, so `since` is a filter as well.
                if fits(letter) and letter.written_at >= (since or 0):
                    found.letters.append(letter)
            elif (original := read_note(record)) is not None:
                found.replayed[original] += 1
            else:
                found.foreign += 1

        for partition in partitions:
            start, end = self._bounds.patiently(self.topic, partition)
            if since:
                start = max(start, self._first_since(partition, since, end))
            for place, record in self.read(self.topic, partition, start, end):
                take(place, record)
        return found

    def fetch(self, place: RecordPosition) -> Record | None:
        """The record at a place; None where there is none, or none any more."""
        if place.partition >= self.partitions(place.topic):
            return None
        start, end = self._bounds.patiently(place.topic, place.partition)
        if not start <= place.offset < end:
            return None
        for _, record in self.read(place.topic, place.partition, place.offset, place.offset + 1):
            return record
        return None

    def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> Iterator[tuple[RecordPosition, Record]]:
        """Every committed record of a stretch; raises `Stop` where it cannot be read to its end."""
        records: list[Record] = []

        def sink(more: Sequence[Record]) -> None:
            records.extend(more)

        reader = LogReader(self._config)
        reader.open(OffsetRange(topic, partition, start, end, sink))
        try:
            heard = time.monotonic()
            while not reader.done():
                reader.step(_STEP_SECONDS)
                if records:
                    for record in records:
                        yield RecordPosition(topic, partition, record.offset), record
                    records.clear()
                    heard = time.monotonic()
                elif time.monotonic() - heard > STALL_SECONDS:
                    raise Stop(
                        f"{topic} partition {partition} cannot be read to its end at offset {end}: "
                        f"nothing came for {STALL_SECONDS:.0f} seconds (is a broker away, or a "
                        "transaction still open?)"
                    )
        finally:
            reader.close()

    def _first_since(self, partition: int, since: int, end: int) -> int:
        where = TopicPartition(self.topic, partition)
        try:
            answer = self._admin.list_offsets({where: OffsetSpec.for_timestamp(since)})[where]
            offset: int = answer.result().offset
        except KafkaException as error:
            raise Stop(f"{self.topic} cannot be searched by time: {reason(error)}") from error
        return end if offset < 0 else offset
