"""The bridge's own connections: committed offsets, watermarks, and records from the log."""

import time
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from millstream.config.settings import Settings
from millstream.core.records.record import Record
from millstream.kafka.client_config import reader_config
from millstream.kafka.log_reader import LogReader, OffsetRange

READ_SECONDS: Final = 10.0
"""How long one read may take before the loop has its turn again."""


class LogAccess:
    """Two clients beside Faust's; for the loop's thread."""

    def __init__(self, settings: Settings) -> None:
        config = reader_config(settings)
        # In the group's name, but with neither subscription nor assignment: it only asks.
        self._client = Consumer({**config, "group.id": settings.app})
        self._reader = LogReader(config)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """What the group has committed; raises KafkaException."""
        answers: list[TopicPartition] = self._client.committed(partitions, timeout=timeout)
        return answers

    def watermarks(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        """Beginning and end of a log, as a broker says; raises KafkaException."""
        low, high = self._client.get_watermark_offsets(partition, timeout=timeout)
        return int(low), int(high)

    def read(self, topic: str, partition: int, start: int, end: int) -> list[Record] | None:
        """The records of an offset range; None where that takes longer than `READ_SECONDS`."""
        found: list[Record] = []
        self._reader.open(OffsetRange(topic, partition, start, end, found.extend))
        until = time.monotonic() + READ_SECONDS
        while not self._reader.done():
            if time.monotonic() > until:
                self._reader.close()
                return None
            self._reader.step(0.1)
        return found

    def close(self) -> None:
        """Close both clients."""
        self._reader.close()
        self._client.close()
