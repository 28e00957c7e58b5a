"""The two default partitioners of Kafka clients, and detection of the one that was used.

Java clients hash keys with murmur2, librdkafka (and so confluent-kafka for Python, Go, .NET) with
CRC32. Labels from one kind of producer therefore land on other partitions than events from the
other kind, and never meet them.
"""

import zlib
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

Partitioner = Literal["murmur2", "crc32"]

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


class KeyPlace(NamedTuple):
    """A key and the partition that its record lies in."""

    key: bytes
    partition: int


def murmur2(data: bytes) -> int:
    """Hash a key as the Java client does: 32-bit MurmurHash2, as an unsigned number."""
    whole = len(data) & ~3
    digest = _SEED ^ len(data)
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        digest = digest * _MULTIPLIER & _MASK ^ word
    if whole < len(data):
        rest = int.from_bytes(data[whole:], "little")
        digest = (digest ^ rest) * _MULTIPLIER & _MASK
    digest = (digest ^ digest >> 13) * _MULTIPLIER & _MASK
    return digest ^ digest >> 15


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Place a key by Java's default; the sign bit is dropped, as Java's toPositive does."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def crc32_partition(key: bytes, partitions: int) -> int:
    """Place a key by librdkafka's default, `consistent_random`."""
    return zlib.crc32(key) % partitions


def partitioners_of(sample: Iterable[KeyPlace], partitions: int) -> set[Partitioner]:
    """Find the partitioners that place every key of the sample where it lies.

    Both for a sample too small to decide, neither for keys placed in another way.
    """
    places = list(sample)
    candidates: dict[Partitioner, bool] = {
        "murmur2": all(murmur2_partition(k, partitions) == p for k, p in places),
        "crc32": all(crc32_partition(k, partitions) == p for k, p in places),
    }
    return {name for name, fits in candidates.items() if fits}
