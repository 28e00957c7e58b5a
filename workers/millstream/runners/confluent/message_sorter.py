"""The records of fetched messages, by partition and input."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from millstream.core.records.record import InputName, Record
from millstream.errors import Stop
from millstream.kafka.log_reader import HOPELESS
from millstream.kafka.record import to_record
from millstream.state.partition import Partition

log = logging.getLogger(__name__)

SortedRecords = dict[int, dict[InputName, list[Record]]]
"""Partition to input to records in the order of their offsets."""


class MessageSorter:
    """Sorts messages of partitions that have a processor, and drops those of others."""

    def __init__(
        self, topics: Mapping[InputName, str], partitions: Mapping[int, Partition]
    ) -> None:
        """`partitions`: the partitions of this worker, as they change."""
        self._topics = topics
        self._partitions = partitions

    def sort(self, messages: list[Any]) -> SortedRecords:
        """The new records in messages. Raises `Stop` on a message of a fatal error."""
        labels = self._topics.get("labels")
        sorted_records: SortedRecords = {}
        lists: dict[tuple[str, int], list[Record] | None] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                self._heed(message, error)
                continue
            key = (message.topic(), message.partition())
            try:
                records = lists[key]
            except KeyError:
                partition = self._partitions.get(key[1])
                input_name: InputName = "labels" if key[0] == labels else "events"
                known = partition is not None and partition.processor is not None
                records = lists[key] = (
                    sorted_records.setdefault(key[1], {"events": [], "labels": []})[input_name]
                    if known
                    else None
                )
            if records is not None:
                records.append(to_record(message))
        for number, by_input in sorted_records.items():
            partition = self._partitions[number]
            for name in self._topics:
                by_input[name] = _new(partition, name, by_input[name])
        return sorted_records

    def _heed(self, message: Any, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            partition = self._partitions.get(message.partition())
            if partition is not None and partition.processor is not None:
                is_event = message.topic() == self._topics["events"]
                partition.ends["events" if is_event else "labels"] = message.offset()
            return
        where = f"{message.topic()} partition {message.partition()}" if message.topic() else "Kafka"
        if error.fatal() or error.code() in HOPELESS:
            raise Stop(f"{where}: {error.str()} ({error.name()})")
        log.warning("Kafka client", extra={"where": where, "reason": error.str()})


def _new(partition: Partition, input_name: InputName, records: list[Record]) -> list[Record]:
    """Only records that were not fetched before: older messages may still follow a seek."""
    expected = partition.fetched[input_name]
    if records and records[0].offset < expected:
        records = [record for record in records if record.offset >= expected]
    if records:
        partition.fetched[input_name] = records[-1].offset + 1
        partition.latest[input_name] = records[-1].timestamp
    return records
