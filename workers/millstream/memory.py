"""An app in memory: a worker without a broker, a network or a clock.

    app = Memory("millstream.yaml")
    predictions = app.run("river:Phishing")

Settings, predictions, dead letters and weights are those of the worker, because the code behind
them is. Time is what the records say.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

from millstream.artifacts.loader import learner_factory
from millstream.artifacts.user_code import load_codec
from millstream.config.arguments import Duration, SettingsLike, to_milliseconds, to_settings
from millstream.config.settings import Settings
from millstream.core.records.dead_letters import our_headers
from millstream.core.records.record import InputName, Record
from millstream.errors import DeadLetter
from millstream.kafka.partitioners import murmur2_partition
from millstream.runners.memory.broker import MemoryLogs
from millstream.runners.memory.worker import MemoryWorker
from millstream.sources.arrivals import BEGIN_MS, ReplayClock, TimedMessage, recorded
from millstream.sources.message_builder import Key, MessageBuilder
from millstream.sources.readers import Source

BATCH: Final = 4_096
"""Events a batch, for a model that predicts many at once."""

Prediction = dict[str, Any]
"""A record of the predictions topic, as `schemas/prediction.json` says."""
Which = Literal["events", "predictions", "examples", "dead_letters"]


class RejectedRecord(NamedTuple):
    """A record of the dead-letters topic.

    >>> app = Memory("examples/phishing/millstream.yaml")
    >>> app.run([{"id": 7}])
    []
    >>> app.dead_letters[0].stage, app.dead_letters[0].reason
    ('validate', 'missing_feature')
    """

    stage: str
    reason: str
    detail: str
    side: InputName
    partition: int
    offset: int
    """Of the message, in the topic of its input."""
    key: bytes | None
    value: bytes | None
    """The message that was rejected, as it came."""


class Memory:
    """An app whose topics are in memory. Its outputs depend on nothing but what is sent.

    One thread at a time may use it.

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
        """The worker in memory; its topics are `worker.logs`."""
        for number in self._numbers():  # fixes the start of each partition before anything comes
            self.worker.processor(number)
        self._clock = ReplayClock(self.settings)
        self._messages = MessageBuilder(self.settings, self._clock, load_codec)

    # -- single messages --------------------------------------------------------------------------

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
        message = self._messages.event(event, key, at, first_id=self._sent() + 1)
        partition, offset = self._send(message)
        self.worker.work(message.at)
        return self._answer(partition, offset)

    def label(
        self, identity: str | int, label: Any, *, key: Key | None = None, at: int | None = None
    ) -> None:
        """Send the label of an event on the topic of labels; `key` and `at` as in `predict`."""
        self._send_label(self._messages.label(identity, label, key, at))

    def send_label(
        self, message: bytes | None, *, key: Key | None = None, at: int | None = None
    ) -> None:
        """Send a message of the topic of labels as it is; None is a tombstone.

        `key` and `at` as in `predict`.
        """
        self._send_label(self._messages.label_message(message, key, at))

    def advance(self, duration: Duration) -> None:
        """Let time pass without messages, so that predictions may expire."""
        now = BEGIN_MS if self._clock.now is None else self._clock.now
        self.worker.work(self._clock.take(now + to_milliseconds(duration)))

    # -- sources ----------------------------------------------------------------------------------

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
        messages = recorded(
            self.settings, events, labels, self._clock, key=key, after=labels_after,
            delay=labels_delay,
        )  # fmt: skip
        self._process(messages)
        return [_json(record) for _, record in self._records("predictions", begin)]

    def _process(self, messages: Iterable[TimedMessage]) -> None:
        batched = self.worker.processor().learner.traits.batched and not self.worker.late
        size = BATCH if batched else 1
        unprocessed = 0
        for message in messages:
            self._send(message)
            unprocessed += 1
            if unprocessed == size:
                self.worker.work(message.at)
                unprocessed = 0
        self.advance(0)

    # -- outputs and state ------------------------------------------------------------------------

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
        return [_rejected(record, self.settings) for _, record in self._records("dead_letters")]

    @property
    def learned(self) -> int:
        """Number of examples learned, in all partitions."""
        return sum(self.worker.processor(number).learned for number in self._numbers())

    @property
    def waiting(self) -> int:
        """Number of predictions that wait for their label."""
        return sum(self.worker.processor(number).pending() for number in self._numbers())

    def digest(self, partition: int = 0) -> str:
        """Digest of a partition's model: equal exactly when what was learned is equal."""
        return self.worker.processor(partition).learner.digest()

    def model(self, partition: int = 0) -> Any:
        """The library's own model as it is now; read or copy it, never change it."""
        return self.worker.processor(partition).learner.state.model

    def restart(self) -> None:
        """Restore from what is committed, as a worker does after a crash."""
        self.worker = MemoryWorker(self.settings, self._build, self.worker.logs)

    # -- internals --------------------------------------------------------------------------------

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

    def _send(self, message: TimedMessage) -> tuple[int, int]:
        """Append a message; returns its partition and offset."""
        if self.worker.late:  # predictions that expire before the message comes
            self.worker.work(message.at)
        partition = murmur2_partition(message.key, self.worker.logs.partitions)
        offset = self.worker.send(
            message.input_name, message.value, key=message.key or None, timestamp=message.at,
            partition=partition,
        )  # fmt: skip
        return partition, offset

    def _send_label(self, message: TimedMessage) -> None:
        self._send(message)
        self.worker.work(message.at)

    def _answer(self, partition: int, offset: int) -> Prediction:
        logs = self.worker.logs
        for record in reversed(logs.records(self._topic("predictions"), partition)):
            found = _json(record)
            if found["source"]["offset"] == offset:
                return found
            if found["source"]["offset"] < offset:
                break
        for record in reversed(logs.records(self._topic("dead_letters"), partition)):
            rejected = _rejected(record, self.settings)
            if (rejected.side, rejected.offset) == ("events", offset):
                raise DeadLetter(rejected.reason, rejected.detail)
        raise AssertionError("an event comes to a prediction or to a dead letter")


def _json(record: Record) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(record.value or b"{}")
    return document


def _rejected(record: Record, settings: Settings) -> RejectedRecord:
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
