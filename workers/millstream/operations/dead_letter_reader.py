"""Reading of an app's dead letters, up to the present end of their topic."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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
from millstream.kafka.admin import list_topics, reason
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import read_offset_range
from millstream.kafka.watermarks import Watermarks

STALL_SECONDS: Final = 60.0
"""Longer than a transaction of a worker with default settings may stay open."""


@dataclass(slots=True)
class Scan:
    """The dead letters found, without their messages."""

    letters: list[DeadLetterRecord] = field(default_factory=list)
    """In the order of partitions and offsets."""
    replayed: Counter[RecordPosition] = field(default_factory=Counter)
    """Original position of a message, to how often it was replayed."""
    foreign: int = 0
    """Number of records that are no dead letters of Millstream's."""


class DeadLetterReader:
    """Reads with `read_committed` and outside of any group, so it changes nothing."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        """Raises `Stop` where there is no dead-letters topic."""
        self.topic = settings.topic("dead_letters")
        self._admin = admin
        self._bounds = Watermarks(reader_config(settings))
        self._settings = settings
        self._partitions = {name: info.partitions for name, info in list_topics(admin).items()}
        if self.topic not in self._partitions:
            raise Stop(f"topic {self.topic} (dead letters) does not exist, or this user may not "
                       "see it: check app and topics.dead_letters in the settings")  # fmt: skip

    def partitions(self, topic: str) -> int:
        """Return the number of a topic's partitions, 0 if it does not exist."""
        return self._partitions.get(topic, 0)

    def chosen_partitions(self, wanted: Iterable[int]) -> list[int]:
        """Return the partitions to read, all if none is named; raises `Stop` for an unknown one."""
        count = self.partitions(self.topic)
        chosen = sorted(set(wanted)) or list(range(count))
        if chosen[-1] >= count:
            raise Stop(f"{self.topic} has no partition {chosen[-1]}: its partitions are 0 to "
                       f"{count - 1}")  # fmt: skip
        return chosen

    def scan(
        self, partitions: Iterable[int], since: int | None, fits: Callable[[DeadLetterRecord], bool]
    ) -> Scan:
        """Read the records written at or after `since` (ms), and return the letters that fit."""
        found = Scan()

        def take(place: RecordPosition, record: Record) -> None:
            if (letter := read_letter(self.topic, place.partition, record)) is not None:
                # Timestamps in a partition may go back, so `since` is a filter as well.
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
        """Return the record at a position; None if it does not exist, or no longer."""
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
        """Yield every committed record of an offset range; raises as `read_offset_range`."""
        where = (topic, partition, start, end)
        for records in read_offset_range(self._settings, *where, STALL_SECONDS):
            for record in records:
                yield RecordPosition(topic, partition, record.offset), record

    def _first_since(self, partition: int, since: int, end: int) -> int:
        where = TopicPartition(self.topic, partition)
        try:
            answer = self._admin.list_offsets({where: OffsetSpec.for_timestamp(since)})[where]
            offset: int = answer.result().offset
        except KafkaException as error:
            raise Stop(f"{self.topic} cannot be searched by time: {reason(error)}") from error
        return end if offset < 0 else offset
