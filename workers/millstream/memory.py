"""An app in memory: what a worker would do, without a broker, a network or a clock.

    app = Memory("millstream.yaml")
    predictions = app.run("river:Phishing")

Settings, predictions, dead letters and weights are those of the worker, because the code behind
them is. Time is what the records say.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import index
from os import PathLike
from typing import Any, Final, Literal, NamedTuple, SupportsIndex

import orjson
from pydantic import TypeAdapter, ValidationError

from millstream.artifacts.loader import learner_factory, load_codec
from millstream.config.settings import Settings, load_settings, make_settings
from millstream.core.formats.codec import decoder
from millstream.core.formats.json_fields import MAX_TIME_MS
from millstream.core.records.dead_letters import our_headers
from millstream.core.records.record import InputName, Record
from millstream.core.spec import Milliseconds
from millstream.errors import DeadLetter, SettingsError
from millstream.kafka.partitioners import murmur2_partition
from millstream.runners.memory.broker import MemoryLogs
from millstream.runners.memory.worker import MemoryWorker
from millstream.sources.arrivals import (
    BEGIN_MS,
    ReplayClock,
    Source,
    TimedMessage,
    copied,
    delayed,
    merged,
    refuse_both,
    require_json,
)
from millstream.sources.event_mapping import EventMapper, encode, get, key_of, put
from millstream.sources.readers import INTEGERS

BATCH: Final = 4_096
"""Events that a model which answers many at once is asked at a time."""
NOWHERE: Final = {"bootstrap.servers": "memory:0"}

Prediction = dict[str, Any]
"""A record of the predictions topic, as `schemas/prediction.json` says."""
Duration = str | int
"""Such as "7d", or milliseconds."""
Key = bytes | str | int
Which = Literal["events", "predictions", "examples", "dead_letters"]
SettingsLike = Settings | str | PathLike[str] | Mapping[str, Any]


class RejectedRecord(NamedTuple):
    """A record of the dead-letters topic."""

    stage: str
    reason: str
    detail: str
    side: InputName
    partition: int
    offset: int
    """Of the message, on its side."""
    key: bytes | None
    value: bytes | None
    """What could not be worked on, as it came."""


class Memory:
    """One app whose topics lie in memory. What is sent decides what comes out, and nothing else.

    It is for one thread at a time.

    >>> app = Memory({
    ...     "app": "fraud",
    ...     "events": {"topic": "payments", "id": "id", "features": ["amount"], "label": "fraud"},
    ...     "labels": {"from": "event"},
    ...     "model": {"river": "linear_model.LogisticRegression()"},
    ... })
    >>> app.predict({"id": 1, "amount": 12.5, "fraud": True})["probabilities"]
    {'false': 0.5, 'true': 0.5}
    >>> app.predict({"id": 2, "amount": 12.5, "fraud": True})["prediction"]
    True
    >>> app.learned
    2
    """

    def __init__(self, settings: SettingsLike, *, partitions: int = 1) -> None:
        """`settings`: as loaded, the path of a file, or what a file would hold.

        Of the latter `kafka` may be left out, and the environment is not asked. `partitions`: of
        each topic. Raises `SettingsError`.
        """
        self.settings = to_settings(settings)
        self._build = learner_factory(self.settings)
        self.worker = MemoryWorker(self.settings, self._build, MemoryLogs(partitions))
        """What is behind it: its topics are `worker.logs`."""
        for number in self._numbers():  # where a partition begins is decided before anything comes
            self.worker.processor(number)
        self._clock = ReplayClock(self.settings)
        self._decode = {
            "events": decoder(self.settings.events.codec, load_codec),
            "labels": decoder(self.settings.labels.codec, load_codec),
        }

    # -- one by one -------------------------------------------------------------------------------

    def predict(
        self, event: Mapping[str, Any] | bytes, *, key: Key | None = None, at: int | None = None
    ) -> Prediction:
        """Send an event, and return its prediction.

        The model learns from it at once where its label is inside. An event without an id gets a
        running number. `bytes` are a message as it is. `key` decides the partition (default: the
        id); `at`: when it comes, ms since 1970 (default: the time that it tells, else a millisecond
        after the one before). Raises `DeadLetter` where it comes to one, and `Stop` where a worker
        would stop, or where JSON cannot hold the event.
        """
        at = _moment(at)
        if isinstance(event, bytes):
            value, document = event, self._document("events", event)
            own_key = self._id_as_key("events", document)
        else:
            require_json(self.settings, "events")
            mapper = EventMapper(self.settings, first_id=self._sent() + 1)
            message = mapper.as_it_is(copied(event))
            document, own_key = message.event, message.key
            at = self._clock.next(self._clock.timestamp("events", document)) if at is None else at
            mapper.stamp(message, at)
            value = encode(document)
        at = self._clock.take(self._clock.timestamp("events", document) if at is None else at)
        place = self._send(
            TimedMessage("events", own_key if key is None else key_of(key), value, at)
        )
        self.worker.work(at)
        return self._answer(*place)

    def label(
        self, identity: str | int, label: Any, *, key: Key | None = None, at: int | None = None
    ) -> None:
        """Send the label of an event on the topic of labels; `key` and `at` as in `predict`."""
        require_json(self.settings, "labels")
        labels = self.settings.labels
        at = _moment(at)
        if type(identity) is int and identity not in INTEGERS:
            identity = str(identity)  # as in events
        message: dict[str, Any] = {}
        put(message, labels.id_path(self.settings.events), identity)
        put(message, labels.label_path, label)
        at = self._clock.next(at)
        EventMapper(self.settings).stamp_label(message, at)
        self.send_label(encode(message), key=identity if key is None else key, at=at)

    def send_label(
        self, message: bytes | None, *, key: Key | None = None, at: int | None = None
    ) -> None:
        """Send a message of the topic of labels as it is; None is a tombstone.

        `key` and `at` as in `predict`.
        """
        if self.settings.labels.source != "topic":
            raise SettingsError(
                f"labels.from is {self.settings.labels.source} in these settings: a label of its "
                "own only means something with labels.from: topic"
            )
        at = _moment(at)
        document = self._document("labels", message)
        at = self._clock.take(self._clock.timestamp("labels", document) if at is None else at)
        own_key = self._id_as_key("labels", document) if key is None else key_of(key)
        self._send(TimedMessage("labels", own_key, message, at))
        self.worker.work(at)

    def advance(self, duration: Duration) -> None:
        """Let time pass in which nothing comes, so that predictions may expire."""
        now = BEGIN_MS if self._clock.now is None else self._clock.now
        self.worker.work(self._clock.take(now + milliseconds(duration)))

    # -- many -------------------------------------------------------------------------------------

    def run(
        self,
        events: Source,
        labels: Source | None = None,
        *,
        labels_after: int | None = None,
        labels_delay: Duration | None = None,
        key: str | None = None,
    ) -> list[Prediction]:
        """Send all events in their order, and return their predictions.

        Labels that come on a topic are `labels` (messages of that topic, merged by the times that
        the settings map), or are taken out of the events and come so many events (`labels_after`)
        or so long (`labels_delay`) after each. `key`: path of the field that is the key (default:
        the id). What comes to no prediction is in `dead_letters`.
        """
        begin = self._counts("predictions")
        refuse_both(labels, labels_after, labels_delay)
        if labels is not None:
            arrivals = merged(self.settings, events, labels, self._clock, key=key)
        else:
            delay = None if labels_delay is None else milliseconds(labels_delay)
            arrivals = delayed(
                self.settings, events, self._clock, key=key, after=labels_after, delay=delay
            )
        self._work_off(arrivals)
        return [_json(record) for _, record in self._records("predictions", begin)]

    def _work_off(self, arrivals: Iterable[TimedMessage]) -> None:
        batched = self.worker.processor().learner.batched and not self.worker.late
        size = BATCH if batched else 1
        at_hand = 0
        for arrival in arrivals:
            self._send(arrival)
            at_hand += 1
            if at_hand == size:
                self.worker.work(arrival.at)
                at_hand = 0
        self.advance(0)

    # -- what came out ----------------------------------------------------------------------------

    @property
    def predictions(self) -> list[Prediction]:
        """All of them so far."""
        return [_json(record) for _, record in self._records("predictions")]

    @property
    def examples(self) -> list[dict[str, Any]]:
        """What the training log holds, where labels come on a topic: `schemas/example.json`."""
        return [_json(record) for _, record in self._records("examples")]

    @property
    def dead_letters(self) -> list[RejectedRecord]:
        """All of them so far."""
        return [_buried(record, self.settings) for _, record in self._records("dead_letters")]

    @property
    def learned(self) -> int:
        """How many examples were learned, in all partitions."""
        return sum(self.worker.processor(number).learned for number in self._numbers())

    @property
    def waiting(self) -> int:
        """How many predictions wait for their label."""
        return sum(self.worker.processor(number).waiting() for number in self._numbers())

    def digest(self, partition: int = 0) -> str:
        """Digest of all that a partition's model has learned: equal exactly when the model is."""
        return self.worker.processor(partition).learner.digest()

    def model(self, partition: int = 0) -> Any:
        """The library's own model as it is now: to look at, or to copy, not to change."""
        return self.worker.processor(partition).learner.model

    def restart(self) -> None:
        """Begin again from what is committed, as a worker does after a crash."""
        self.worker = MemoryWorker(self.settings, self._build, self.worker.logs)

    # -- behind it --------------------------------------------------------------------------------

    def _numbers(self) -> range:
        return range(self.worker.logs.partitions)

    def _topic(self, which: Which) -> str:
        return self.settings.events.topic if which == "events" else self.settings.topic(which)

    def _counts(self, which: Which) -> list[int]:
        topic = self._topic(which)
        return [len(self.worker.logs.records(topic, number)) for number in self._numbers()]

    def _sent(self) -> int:
        return sum(self._counts("events"))

    def _records(
        self, which: Which, begin: list[int] | None = None
    ) -> Iterator[tuple[int, Record]]:
        """Records with their partitions, in the order in which they were written."""
        topic = self._topic(which)
        found = [
            (record.timestamp, number, record)
            for number in self._numbers()
            for record in self.worker.logs.records(topic, number)[begin[number] if begin else 0 :]
        ]
        if self.worker.logs.partitions > 1:
            found.sort(key=lambda each: each[:2])
        return ((number, record) for _, number, record in found)

    def _document(self, side: InputName, value: bytes | None) -> dict[str, Any]:
        """The fields of a message; none where it cannot be read."""
        try:
            return self._decode[side](value or b"")
        except DeadLetter:
            return {}

    def _id_as_key(self, side: InputName, document: dict[str, Any]) -> bytes:
        """The id in a message as its key; none where it is no id."""
        events, labels = self.settings.events, self.settings.labels
        path = events.id if side == "events" else labels.id_path(events)
        identity = get(document, path) if path else None
        return key_of(identity) if type(identity) in (int, str) else b""

    def _send(self, arrival: TimedMessage) -> tuple[int, int]:
        """Append a message; returns its partition and offset."""
        if self.worker.late:  # what expires meanwhile has expired when this one comes
            self.worker.work(arrival.at)
        partition = murmur2_partition(arrival.key, self.worker.logs.partitions)
        offset = self.worker.send(
            arrival.input_name, arrival.value, key=arrival.key or None, timestamp=arrival.at,
            partition=partition,
        )  # fmt: skip
        return partition, offset

    def _answer(self, partition: int, offset: int) -> Prediction:
        logs = self.worker.logs
        for record in reversed(logs.records(self._topic("predictions"), partition)):
            found = _json(record)
            if found["source"]["offset"] == offset:
                return found
            if found["source"]["offset"] < offset:
                break
        for record in reversed(logs.records(self._topic("dead_letters"), partition)):
            buried = _buried(record, self.settings)
            if (buried.side, buried.offset) == ("events", offset):
                raise DeadLetter(buried.reason, buried.detail)
        raise AssertionError("an event comes to a prediction or to a dead letter")


def milliseconds(duration: Duration) -> int:
    """A duration as whole milliseconds. Raises `SettingsError`."""
    try:
        return TypeAdapter(Milliseconds).validate_python(duration)
    except ValidationError as error:
        raise SettingsError(f"{duration!r} is no duration: write 30s or 5m") from error


def _moment(at: SupportsIndex | None) -> int | None:
    """When a record comes; raises `SettingsError` where that is no time as records have it."""
    if at is None:
        return None
    whole = isinstance(at, SupportsIndex) and not isinstance(at, bool)
    if not whole or not 0 <= index(at) < MAX_TIME_MS:
        raise SettingsError(
            f"at is {at!r}: it has to be a whole number of milliseconds since 1970, such as "
            "int(time.time() * 1000)"
        )
    return index(at)


def to_settings(given: SettingsLike) -> Settings:
    """Settings as loaded, the path of a file, or what a file would hold; raises `SettingsError`."""
    if isinstance(given, Settings):
        return given
    if isinstance(given, Mapping):
        return make_settings({"kafka": NOWHERE, **given})
    return load_settings(given)


def _json(record: Record) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(record.value or b"{}")
    return document


def _buried(record: Record, settings: Settings) -> RejectedRecord:
    ours = our_headers(record.headers)
    return RejectedRecord(
        stage=ours["millstream-stage"],
        reason=ours["millstream-reason"],
        detail=ours["millstream-detail"],
        side="events" if ours["millstream-topic"] == settings.events.topic else "labels",
        partition=int(ours["millstream-partition"]),
        offset=int(ours["millstream-offset"]),
        key=record.key,
        value=record.value,
    )
