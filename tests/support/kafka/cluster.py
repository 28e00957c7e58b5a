"""A real Kafka as a test sees it: topics, messages in, messages out, offsets."""

import ctypes
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

Headers = Sequence[tuple[str, bytes | None]]
Text = str | bytes | None
T = TypeVar("T")

_NO_LEADER_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    # A broker that was just started again: each question asks for the leader anew.
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._NOENT,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TIMED_OUT,
}
NO_COORDINATOR_YET = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._WAIT_COORD,
    KafkaError._TIMED_OUT,
}
_QUIET = {"log_level": 2}
"""What is kept after its broker has gone would tell of that ten times a second."""
_LARGEST_MESSAGE = 10_000_000
"""More than a broker takes by default, so that a test can make the broker refuse."""


class Message(NamedTuple):
    """A message as it was read."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @property
    def json(self) -> Any:
        """The value as JSON."""
        return orjson.loads(self.value or b"")


class Send(NamedTuple):
    """A message to produce; `timestamp` in milliseconds since 1970 (None: now)."""

    key: Text
    value: Text
    headers: Headers | None = None
    timestamp: int | None = None
    partition: int | None = None
    """None: the partition that Java's default partitioner (murmur2) gives the key."""


def _kept(client: T) -> T:
    """Keep a client for ever: once its broker has gone, destroying it may never return.

    See https://github.com/confluentinc/librdkafka/issues/4674. One more reference is taken than is
    ever given back, so that the end of the process does not destroy it either.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    return client


def wait_until(
    condition: Callable[[], T], timeout: float = 30, message: str | Callable[[], str] = ""
) -> T:
    """Call `condition` until its answer is true and return that; fail after `timeout` seconds.

    `message`: what was waited for, or what to ask for it when it did not come.
    """
    deadline = time.monotonic() + timeout
    while True:
        # One that takes long may answer for a moment long past: the last one begins after the end.
        last = time.monotonic() > deadline
        if answer := condition():
            return answer
        if last:
            said = message() if callable(message) else message or condition
            raise AssertionError(f"not within {timeout:g} s: {said}")
        time.sleep(0.05)


class Kafka:
    """A cluster, for tests: every call waits until its effect is there."""

    def __init__(self, bootstrap: str, config: Mapping[str, Any] | None = None) -> None:
        self.bootstrap = bootstrap
        self.config = {"bootstrap.servers": bootstrap, **(config or {})}
        self.admin = _kept(AdminClient({**self.config, **_QUIET}))
        self._askers: dict[str, Consumer] = {}

    @staticmethod
    def unique(name: str) -> str:
        """Make a name that no other test has: for topics, groups and apps."""
        return f"{name}-{uuid.uuid4().hex[:10]}"

    def create_topics(
        self, *names: str, partitions: int = 1, config: dict[str, str] | None = None
    ) -> None:
        """Create topics and wait until the broker shows them.

        They keep everything unless `config` says otherwise: tests send records with times of
        long ago, which the default retention of a week lets the broker delete at any moment.
        """
        settings = {"retention.ms": "-1", **(config or {})}
        new = [NewTopic(name, num_partitions=partitions, config=settings) for name in names]
        for future in self.admin.create_topics(new).values():
            future.result()
        for name in names:
            wait_until(
                lambda: len(self._partitions(name)) == partitions,
                message=f"topic {name} is there",
            )

    def _partitions(self, topic: str) -> list[int]:
        described = self.admin.list_topics(topic, timeout=10).topics[topic]
        return sorted(described.partitions) if described.error is None else []

    def produce(
        self,
        topic: str,
        records: Iterable[tuple[Text, Text, Headers | None, int | None, int | None]],
    ) -> None:
        """Send records (see `Send`) in order and wait until the broker has them all."""
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                errors.append(error)

        config = {"enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 5}
        producer = Producer({**self.config, **config, "message.max.bytes": _LARGEST_MESSAGE})
        for key, value, headers, timestamp, partition in records:
            message: dict[str, Any] = {"key": key, "value": value, "on_delivery": delivered}
            if headers is not None:
                message["headers"] = list(headers)
            if timestamp is not None:
                message["timestamp"] = timestamp
            if partition is not None:
                message["partition"] = partition
            while True:
                try:
                    producer.produce(topic, **message)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(60)
        assert not errors, f"{len(errors)} messages were refused, first: {errors[0]}"
        assert not left, f"{left} messages were not delivered within 60 s"

    def read(
        self,
        topic: str,
        *,
        committed: bool = True,
        partition: int | None = None,
        timeout: float = 60,
    ) -> list[Message]:
        """Every message up to now, by partition and offset.

        "Now" is the end of each log as a read_uncommitted reader sees it: a transaction whose
        commit has returned may not have its markers yet, and a read_committed reader would take
        the offset before them for the end. `committed` leaves out what was aborted, and waits for
        open transactions.
        """
        ends = self.end_offsets(topic)
        if partition is not None:
            ends = {partition: ends[partition]}
        todo = {number for number, end in ends.items() if end > 0}
        consumer = Consumer(
            {
                **self.config,
                "group.id": self.unique("reader"),
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "fetch.message.max.bytes": _LARGEST_MESSAGE,
            }
        )
        messages: list[Message] = []
        try:
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in todo])
            deadline = time.monotonic() + timeout
            while todo:
                assert time.monotonic() < deadline, f"{topic} {todo} was not read to {ends}"
                for raw in consumer.consume(1000, 0.1):
                    self._take(raw, ends, todo, messages)
        finally:
            consumer.close()
        return sorted(messages)

    @staticmethod
    def _take(raw: Any, ends: Mapping[int, int], todo: set[int], messages: list[Message]) -> None:
        error, number, offset = raw.error(), raw.partition(), raw.offset()
        if error is None:
            if offset < ends[number]:
                timestamp = raw.timestamp()[1]
                messages.append(
                    Message(number, offset, timestamp, raw.key(), raw.value(), raw.headers() or [])
                )
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if offset >= ends[number] - (error is None):
            todo.discard(number)

    def end_offsets(self, topic: str, *, committed: bool = False) -> dict[int, int]:
        """Partition to the offset after its last record, markers and open transactions included.

        `committed`: to the first open transaction (the last stable offset) instead.
        """
        asker = self._asker("read_committed" if committed else "read_uncommitted")

        def ask() -> dict[int, int] | None:
            try:
                # For the leaders of now: the client would go on asking the one before.
                partitions = asker.list_topics(topic, timeout=5).topics[topic].partitions
                return {
                    number: asker.get_watermark_offsets(TopicPartition(topic, number), timeout=5)[1]
                    for number in partitions
                }
            except KafkaException as error:
                if error.args[0].code() not in _NO_LEADER_YET:
                    raise
                return None  # a topic just made may not have its leader yet

        return wait_until(ask, message=f"{topic} has leaders") or {}

    def _asker(self, isolation: str) -> Consumer:
        """A client of no group; the admin client would wait a minute for a leader that is dead."""
        if isolation not in self._askers:
            asker = Consumer(
                {**self.config, **_QUIET, "group.id": self.unique("asker"),
                 "isolation.level": isolation, "socket.timeout.ms": 5_000}
            )  # fmt: skip
            self._askers[isolation] = _kept(asker)
        return self._askers[isolation]

    def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        """Say which offset a group has committed, if any."""
        return self._ask_offsets(group, [TopicPartition(topic, partition)]).get((topic, partition))

    def _group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        topics = self.admin.list_topics(timeout=10).topics
        places = [TopicPartition(name, each) for name in topics for each in topics[name].partitions]
        return self._ask_offsets(group, places)

    def _ask_offsets(self, group: str, places: list[TopicPartition]) -> dict[tuple[str, int], int]:
        """Ask as a consumer of the group that joins nothing.

        The admin client's way ends the process where the coordinator is not ready yet:
        https://github.com/confluentinc/librdkafka/issues/5040.
        """
        # Of committed offsets as well as of messages, a reader of committed ones only is not told
        # those of an open transaction, and waits.
        config = {"group.id": group, "isolation.level": "read_uncommitted"}
        asker = Consumer({**self.config, **config})

        def ask() -> list[TopicPartition] | None:
            try:
                answers = asker.committed(places, timeout=10)
            except KafkaException as error:
                if error.args[0].code() not in NO_COORDINATOR_YET:
                    raise
                return None  # a broker that has just come back is still reading the group
            wrong = next((answer.error for answer in answers if answer.error is not None), None)
            if wrong is not None:
                raise KafkaException(wrong)
            return answers

        answers = wait_until(ask, message=f"the offsets of {group} are told")
        asker.close()
        assert answers is not None
        return {(each.topic, each.partition): each.offset for each in answers if each.offset >= 0}

    def delete_group_offsets(self, group: str, topics: Iterable[str]) -> None:
        """Forget what a group without members has committed for `topics`, as expiry does.

        The client cannot delete single offsets: the group is deleted and the others put back.
        """
        gone = set(topics)
        kept = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in self._group_offsets(group).items()
            if topic not in gone
        ]
        wait_until(lambda: self._delete_group(group), message=f"{group} has no members")
        if kept:
            request = [ConsumerGroupTopicPartitions(group, kept)]
            self.admin.alter_consumer_group_offsets(request)[group].result()

    def _delete_group(self, group: str) -> bool:
        try:
            self.admin.delete_consumer_groups([group])[group].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.NON_EMPTY_GROUP:
                return False
            raise
        return True
