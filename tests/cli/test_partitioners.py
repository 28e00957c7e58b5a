"""Our murmur2 and CRC32 place keys where Kafka's clients place them."""

import os
from typing import Any

import pytest
from confluent_kafka import Producer

from millstream.kafka.partitioners import (
    KeyPlace,
    crc32_partition,
    murmur2,
    murmur2_partition,
    partitioners_of,
)
from tests.support.kafka.cluster import Kafka


@pytest.mark.parametrize(
    ("key", "signed"),
    [  # from the tests of Kafka's own org.apache.kafka.common.utils.Utils
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_the_one_of_kafkas_java_client(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize("ours", [murmur2_partition, crc32_partition])
def test_a_key_goes_where_librdkafka_sends_it(kafka: Kafka, ours: Any) -> None:
    partitions = 7
    topic = kafka.unique("keys")
    kafka.create_topics(topic, partitions=partitions)
    name = "murmur2_random" if ours is murmur2_partition else "consistent_random"
    producer = Producer({**kafka.config, "partitioner": name})
    places: list[tuple[bytes | None, int | None]] = []
    keys = [os.urandom(length) for length in range(1, 120)] + [str(n).encode() for n in range(200)]
    for key in keys:
        producer.produce(
            topic, key=key, on_delivery=lambda _, m: places.append((m.key(), m.partition()))
        )
    assert producer.flush(30) == 0
    assert len(places) == len(keys)
    assert [(key, ours(key, partitions)) for key, _ in places if key] == places


def test_a_sample_tells_its_partitioner() -> None:
    keys = [str(number).encode() for number in range(50)]
    murmur2_sample = [KeyPlace(key, murmur2_partition(key, 4)) for key in keys]
    crc32_sample = [KeyPlace(key, crc32_partition(key, 4)) for key in keys]
    assert partitioners_of(murmur2_sample, 4) == {"murmur2"}
    assert partitioners_of(crc32_sample, 4) == {"crc32"}
    assert partitioners_of(murmur2_sample + crc32_sample, 4) == set()
    assert partitioners_of([], 4) == {"murmur2", "crc32"}
