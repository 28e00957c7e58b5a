"""What the topics and the group's offsets say of a run: all that the verifier may know."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.support.kafka.app import App
from tests.support.kafka.cluster import Kafka, Message

OWNER = "owner="
"""Begins the metadata of offsets committed at least once; names whose examples count."""
Position = tuple[str, int]
"""Side (`events`, `labels`) and offset."""


RESOLVED = {"learned", "expired", "failed"}
"""Kinds of examples that end the wait of a prediction."""


class Violation(NamedTuple):
    """An invariant that does not hold, and where."""

    invariant: str
    partition: int
    """-1: not of one partition."""
    text: str

    def __str__(self) -> str:
        where = f"{self.invariant}, partition {self.partition}"
        return f"{self.invariant if self.partition < 0 else where}: {self.text}"


class Committed(NamedTuple):
    """What a group has committed of one partition."""

    offset: int
    owner: int | None


@dataclass
class Partition:
    """One partition of every topic, each in the order of its offsets."""

    number: int
    events: list[Message] = field(default_factory=list)
    labels: list[Message] = field(default_factory=list)
    predictions: list[Message] = field(default_factory=list)
    examples: list[Message] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    committed: dict[str, Committed] = field(default_factory=dict)
    """Side to what the group has committed; a side of which it has nothing is left out."""

    def buried(self, topics: Mapping[str, str]) -> list[tuple[Position, str]]:
        """Source position and reason of each dead letter; `topics`: topic to side."""
        found = []
        for message in self.dead_letters:
            # Ours stand behind what the message brought along.
            ours = {name: value.decode("utf-8", "replace") for name, value in message.headers
                    if value is not None and name.startswith("millstream-")}  # fmt: skip
            position = topics[ours["millstream-topic"]], int(ours["millstream-offset"])
            found.append((position, ours["millstream-reason"]))
        return found


@dataclass
class History:
    """A run, as its topics tell it."""

    late: bool
    exactly_once: bool
    features: list[str]
    topics: dict[str, str]
    """Name to side, of the topics of events and labels."""
    partitions: list[Partition]
    answers_may_differ: bool = False
    """At least once, the settings changed between crash and restart: what was answered and not
    committed is answered again, by other settings. The last answer to an event is the one that
    counts."""

    def last_answers(self, partition: Partition) -> dict[int, Message]:
        """Offset of an event to the prediction or dead letter that was written last."""
        answers = [(each.json["source"]["offset"], each) for each in partition.predictions]
        buried = zip(partition.buried(self.topics), partition.dead_letters, strict=True)
        answers += [(at, each) for ((side, at), _), each in buried if side == "events"]
        return dict(sorted(answers, key=lambda answer: answer[1].timestamp))


def read_history(app: App, kafka: Kafka) -> History:
    """Read everything with `read_committed`; waits for open transactions to end."""
    topics = {app.events: "events", **({app.labels: "labels"} if app.late else {})}
    group = Group(kafka, app.name, stable=True)
    try:
        committed = group.offsets(topics, app.partitions, timeout=60)
    finally:
        group.close()
    partitions = [Partition(number) for number in range(app.partitions)]
    roles = {
        "events": app.events,
        "predictions": app.topic("predictions"),
        "dead_letters": app.topic("dead-letters"),
        **({"labels": app.labels, "examples": app.topic("examples")} if app.late else {}),
    }
    for role, topic in roles.items():
        for message in kafka.read(topic):
            getattr(partitions[message.partition], role).append(message)
    for (topic, number), where in committed.items():
        partitions[number].committed[topics[topic]] = where
    return History(
        late=app.late,
        exactly_once=app.settings.get("processing_guarantee") != "at_least_once",
        features=list(app.settings["events"]["features"]),
        topics=topics,
        partitions=partitions,
    )


class Group:
    """What a group has committed, asked of its coordinator by a consumer that does not join it.

    (The admin client dies of a segmentation fault when a coordinator says that it is none, as all
    do for a moment: issue 374 of confluentinc/confluent-kafka-javascript has the stack.)
    """

    def __init__(self, kafka: Kafka, name: str, *, stable: bool = False) -> None:
        """`stable`: asked while a transaction would move an offset, it waits for its end."""
        level = "read_committed" if stable else "read_uncommitted"
        self._consumer = Consumer({**kafka.config, "group.id": name, "isolation.level": level})

    def offsets(
        self, topics: Iterable[str], partitions: int, timeout: float = 5
    ) -> dict[tuple[str, int], Committed]:
        """Topic and partition to what is committed; raises where no broker answers in time."""
        places = [TopicPartition(topic, n) for topic in topics for n in range(partitions)]
        found = {}
        for place in self._consumer.committed(places, timeout=timeout):
            if place.error is not None:
                raise KafkaException(place.error)
            if place.offset >= 0:
                named = place.metadata or ""
                owner = int(named.removeprefix(OWNER)) if named.startswith(OWNER) else None
                found[place.topic, place.partition] = Committed(place.offset, owner)
        return found

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


def document_of(message: Message) -> dict[str, Any] | None:
    """The JSON object in a message; None where there is none."""
    try:
        document = orjson.loads(message.value or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    """Key to its values."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def counting_examples(history: History, partition: Partition) -> list[dict[str, Any]]:
    """The examples that count: exactly once all, at least once those of the accepted owners.

    Accepted is whose name the committed offsets carry, and whom that one came after, and so on.
    """
    documents = [each.json for each in partition.examples]
    if history.exactly_once:
        return documents
    after = {each["owner"]: each["after"] for each in documents if each["kind"] == "owner"}
    named = [c.owner for c in partition.committed.values() if c.owner is not None]
    owner = max(named, default=max(after, default=0))
    accepted = {0}
    while owner not in accepted:
        accepted.add(owner)
        owner = after.get(owner, 0)
    counting, newest = [], 0
    for each in documents:
        if each["owner"] in accepted and each["owner"] >= newest:
            newest = each["owner"]
            if each["kind"] != "owner":
                counting.append(each)
    return counting


def some(values: Iterable[Any]) -> str:
    """The first few, and how many there are."""
    listed = [f"{k}: {v}" for k, v in values.items()] if isinstance(values, dict) else list(values)
    shown = ", ".join(map(str, listed[:5]))
    return shown if len(listed) <= 5 else f"{shown} ... ({len(listed)} in all)"
