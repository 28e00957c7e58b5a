"""Check that events and labels are placed by the same partitioner."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from millstream.checks.finding import Finding
from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.kafka.admin import ADMIN_TIMEOUT_SECONDS, TopicInfo, reason
from millstream.kafka.client_config import reader_config
from millstream.kafka.partitioners import KeyPlace, Partitioner, partitioners_of

SAMPLE: Final = 500
_PARTITIONS_AT_MOST: Final = 50
_NAMES: Final[dict[Partitioner, str]] = {
    "murmur2": "murmur2 (Java's default; what millstream send does)",
    "crc32": "CRC32 (librdkafka's default, consistent_random)",
}
_REMEDY: Final = (
    "produce both with the same key and partitioner (librdkafka clients: "
    "partitioner=murmur2_random; Java: the default)"
)


def check_keys(settings: Settings, known: Mapping[str, TopicInfo]) -> list[Finding]:
    """Compare the last records of events and labels with both common partitioners.

    `known`: the topics that exist. Returns nothing if labels have no topic, or if the partition
    counts differ, which is an error of its own.
    """
    events, labels = settings.events.topic, str(settings.labels.topic)
    counts = [known[name].partitions for name in (events, labels) if name in known]
    if len(counts) < 2 or counts[0] != counts[1]:
        return []
    partitions = counts[0]
    if partitions == 1:
        return [Finding("ok", "keys", "one partition: events and labels always meet")]
    samples = {topic: _sample_keys(settings, topic, partitions) for topic in (events, labels)}
    found = []
    for topic, (keyed, keyless) in samples.items():
        about = f"keys of {topic}"
        if keyless:
            found.append(
                Finding(
                    "error",
                    about,
                    f"{keyless} of the last {keyless + len(keyed)} records have no key and lie on "
                    f"any partition, so labels cannot meet their events: {_REMEDY}",
                )
            )
        elif keyed:
            found.append(_judge(about, keyed, partitions))
        else:
            found.append(Finding("note", about, "the topic is empty: nothing to compare yet"))
    return found + _compare(events, labels, samples[events][0], samples[labels][0], partitions)


def _judge(about: str, sample: list[KeyPlace], partitions: int) -> Finding:
    fits = partitioners_of(sample, partitions)
    if len(fits) == 1:
        return Finding("ok", about, f"the last {len(sample)} were placed by {_NAMES[fits.pop()]}")
    if fits:
        return Finding("note", about, f"{len(sample)} records are too few to tell the partitioner")
    return Finding(
        "warning",
        about,
        f"the last {len(sample)} were placed neither by murmur2 nor by CRC32 (a partitioner of "
        "their own, several kinds of producers, or partitions added later): make sure that an "
        "event and its label always go to the same partition",
    )


def _compare(
    events: str,
    labels: str,
    event_keys: list[KeyPlace],
    label_keys: list[KeyPlace],
    partitions: int,
) -> list[Finding]:
    """Compare the two samples."""
    place = dict(event_keys)
    shared = [k for k in label_keys if k.key in place]
    apart = [k for k in shared if place[k.key] != k.partition]
    if apart:
        text = (
            f"{len(apart)} of {len(shared)} keys that both samples hold lie on other partitions of "
            f"{labels} than of {events}: {_REMEDY}"
        )
        return [Finding("error", "keys", text)]
    event_fits = partitioners_of(event_keys, partitions)
    label_fits = partitioners_of(label_keys, partitions)
    if event_fits and label_fits and not event_fits & label_fits:
        text = (
            f"events are placed by {_NAMES[event_fits.pop()]}, labels by "
            f"{_NAMES[label_fits.pop()]}, so most labels never meet their event: {_REMEDY}"
        )
        return [Finding("error", "keys", text)]
    if shared:
        text = f"all {len(shared)} keys that both samples hold lie on the same partition of both"
        return [Finding("ok", "keys", text)]
    return []


def _sample_keys(settings: Settings, topic: str, partitions: int) -> tuple[list[KeyPlace], int]:
    """Return the last keys of a topic with their partitions, and the number without a key."""
    consumer = Consumer(reader_config(settings))  # `check_clients` has validated its properties
    try:
        return _read_tail(consumer, topic, min(partitions, _PARTITIONS_AT_MOST))
    except KafkaException as error:
        raise Stop(f"cannot read topic {topic}: {reason(error)}") from error
    finally:
        consumer.close()


def _read_tail(consumer: Consumer, topic: str, partitions: int) -> tuple[list[KeyPlace], int]:
    each = max(SAMPLE // partitions, 1)
    starts = []
    for number in range(partitions):
        low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, number), timeout=ADMIN_TIMEOUT_SECONDS
        )
        starts.append(TopicPartition(topic, number, max(low, high - each)))
    consumer.assign(starts)
    keyed: list[KeyPlace] = []
    keyless = 0
    unfinished: set[int | None] = set(range(partitions))
    while unfinished:
        message = consumer.poll(ADMIN_TIMEOUT_SECONDS)
        if message is None:
            break  # nothing for that long: judge by what has arrived
        error = message.error()
        key, partition = message.key(), message.partition()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if error is not None:
            unfinished.discard(partition)
        elif key and partition is not None:
            keyed.append(KeyPlace(key, partition))
        else:
            keyless += 1
    return keyed, keyless
