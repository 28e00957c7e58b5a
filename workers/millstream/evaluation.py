"""A dry run over recorded events: the quality of predictions before deployment."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import orjson

from millstream.artifacts.loader import learner_factory
from millstream.artifacts.user_code import load_codec
from millstream.config.arguments import Duration, SettingsLike, to_settings
from millstream.config.settings import Settings
from millstream.core.circuit_breaker import CircuitBreaker
from millstream.core.formats.codec import decoder
from millstream.core.formats.json_fields import MISSING, getter
from millstream.core.formats.labels import LabelRule
from millstream.core.models.interface.learner import Label
from millstream.core.records.record import BatchResult, InputName, Record
from millstream.errors import DeadLetter, SettingsError, Stop
from millstream.kafka.partitioners import murmur2_partition
from millstream.monitoring.scores import Scores
from millstream.runners.memory.broker import MemoryLogs
from millstream.runners.memory.worker import MemoryWorker
from millstream.sources.arrivals import ReplayClock, recorded
from millstream.sources.readers import Source

PROGRESS_RECORDS = 4_096


@dataclass
class Report:
    """The result of an evaluation.

    >>> report = evaluate("examples/phishing/millstream.yaml", "river:Phishing", limit=100)
    >>> report.predictions, report.learned, report.stops
    (100, 100, None)
    """

    kind: str
    """Of model: classifier, regressor, anomaly or clusterer."""
    events: int = 0
    labels: int = 0
    """Messages on the topic of labels."""
    predictions: int = 0
    learned: int = 0
    scored: int = 0
    """Predictions compared with a label; the metrics are of these."""
    without_answer: int = 0
    """Predictions with a label, made before the model had learned anything."""
    waiting: int = 0
    """Predictions that still wait for a label at the end."""
    expired: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    """Scores of anomalies, sizes of clusters."""
    dead_letters: dict[str, dict[str, int]] = field(default_factory=dict)
    """By stage, then by reason."""
    skipped: dict[str, int] = field(default_factory=dict)
    """By reason: tombstones, duplicate labels."""
    stops: str | None = None
    """Why a worker would have stopped; None: it would not."""
    seconds: float = 0.0
    rate: float = 0.0
    """Events a second, in one process and without a broker."""

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Incoming(NamedTuple):
    """A recorded message, for a partition."""

    input_name: InputName
    partition: int
    record: Record


def evaluate(
    settings: SettingsLike,
    events: Source,
    labels: Source | None = None,
    *,
    labels_after: int | None = None,
    labels_delay: Duration | None = None,
    truth: str | None = None,
    partitions: int = 1,
    limit: int | None = None,
) -> Report:
    """Run an app in memory over recorded events, and say how good it is.

    `events`, `labels`, `labels_after` and `labels_delay` as in `Memory.run`; `truth`: path
    of a label in the events that is only compared with the predictions, for a model that learns
    from none; `limit`: no more events than these. Raises `SettingsError` and `Stop`.

    >>> report = evaluate("examples/phishing/millstream.yaml", "river:Phishing")
    >>> report.events, round(report.metrics["Accuracy"], 4)
    (1250, 0.8872)
    """
    app = to_settings(settings)
    clock = ReplayClock(app)
    when = labels, labels_after, labels_delay
    if app.has_delayed_labels and all(each is None for each in when):
        raise SettingsError(
            "labels.from is topic: say when labels come, by a source of their own, or so many "
            "events or so long after each event"
        )
    messages = recorded(
        app, events, labels, clock, after=labels_after, delay=labels_delay, truth=truth
    )
    run = Evaluation(app, partitions=partitions, truth=truth)
    for input_name, message_key, value, at in messages:
        if input_name == "events" and limit is not None and run.report.events >= limit:
            break
        number = murmur2_partition(message_key, partitions)
        run.take(Incoming(input_name, number, Record(0, at, message_key, value, None)), at)
    return run.finish(clock.now or 0)


class Evaluation:
    """One dry run: take what was recorded, message by message, and finish."""

    def __init__(
        self, settings: Settings, *, partitions: int = 1, truth: str | None = None
    ) -> None:
        """`truth`: as in `evaluate`."""
        never = settings.dead_letters.model_copy(update={"stop_ratio": None})
        self._settings = settings
        build = learner_factory(settings)
        self._worker = MemoryWorker(
            settings.model_copy(update={"dead_letters": never}), build, MemoryLogs(partitions)
        )
        self._worker.after_commit = self._committed
        learner = self._worker.processor().learner
        self.report = Report(learner.traits.kind)
        self._scores = Scores(learner.traits.kind)
        self._decode = decoder(settings.events.codec, load_codec)
        self._rule = LabelRule(settings.labels, learner, settings.model.classes)
        path = truth or settings.events.label
        _check_truth(settings, truth)
        self._truth = None if path is None else getter(path)
        self._plain_truth = learner.traits.kind in {"anomaly", "clusterer"}
        self._breaker = CircuitBreaker(
            settings.dead_letters.stop_ratio, settings.dead_letters.window
        )
        self._batched = learner.traits.batched and not self._worker.late
        self._unprocessed = 0
        self._began = time.perf_counter()

    def append(self, incoming: Incoming) -> None:
        """Append a message, to be processed later."""
        input_name, partition, record = incoming
        self._worker.send(
            input_name, record.value, key=record.key or None, timestamp=record.timestamp,
            partition=partition, headers=record.headers,
        )  # fmt: skip
        if input_name == "events":
            self.report.events += 1
        else:
            self.report.labels += 1

    def take(self, incoming: Incoming, at: int) -> None:
        """Append a message that comes at this time, ms, and process it."""
        if self._worker.late:
            self._worker.work(at)  # predictions that expire before it
        self.append(incoming)
        self._unprocessed += 1
        if not self._batched or self._unprocessed >= PROGRESS_RECORDS:
            self._worker.work(at)
            self._unprocessed = 0

    def finish(self, now: int) -> Report:
        """Process the remaining messages at this time, ms, and return the report."""
        self._worker.work(now)
        report, counts = self.report, self._worker.counts
        numbers = range(self._worker.logs.partitions)
        report.predictions = counts["predicted",]
        report.learned = counts["learned",]
        report.waiting = sum(self._worker.processor(number).pending() for number in numbers)
        for key, amount in sorted(counts.items()):
            if key[0] == "dead_lettered":
                report.dead_letters.setdefault(key[1], {})[key[2]] = amount
            elif key[0] == "skipped":
                report.skipped[key[1]] = amount
            elif key[0] == "expired":
                report.expired += amount
        report.scored, report.without_answer = self._scores.scored, self._scores.without_answer
        report.metrics, report.spread = self._scores.result(), self._scores.spread()
        report.seconds = time.perf_counter() - self._began
        report.rate = report.events / report.seconds if report.seconds else 0.0
        return report

    def _committed(self, partition: int, batch: Sequence[BatchResult]) -> None:
        for outcome in batch:
            for prediction in outcome.predictions:
                self._score(partition, orjson.loads(prediction.value or b"{}"))
            for example in outcome.examples:
                self._score_example(orjson.loads(example.value or b"{}"))
            self._check_ratio(outcome)
        if not self._worker.late:  # a restore goes by the events alone
            for which in ("predictions", "dead_letters"):
                self._worker.logs.forget(self._settings.topic(which), partition)

    def _score(self, partition: int, prediction: Mapping[str, Any]) -> None:
        self._scores.see(prediction)
        if self._truth is None:
            return
        events = self._worker.logs.records(self._settings.events.topic, partition)
        label = self._label(events[prediction["source"]["offset"]].value or b"")
        if label is not None:
            self._scores.judge(prediction, label)

    def _label(self, value: bytes) -> Label | None:
        raw: Any = MISSING if self._truth is None else self._truth(self._decode(value))
        if raw is MISSING or raw is None:
            return None
        if self._plain_truth:
            return _plain(raw, self.report.kind)
        try:
            return self._rule.convert(raw)
        except DeadLetter:
            return None

    def _score_example(self, example: Mapping[str, Any]) -> None:
        # What is assumed of a prediction that expired is no truth.
        if example["kind"] == "learned" and "label_source" in example and self._truth is None:
            self._scores.judge(example, example["label"])

    def _check_ratio(self, result: BatchResult) -> None:
        """Record whether the ratio of bad records would have stopped the worker."""
        if self.report.stops is None:
            try:
                self._breaker.add(result.counts)
            except Stop as stop:
                self.report.stops = str(stop)


def _plain(raw: Any, kind: str) -> Label:
    """A truth that no model learns; raises `SettingsError` if no prediction compares with it."""
    wanted = "true or false, or 0 or 1" if kind == "anomaly" else "a boolean, a number or text"
    fits = raw in (0, 1) if kind == "anomaly" else True  # `bool("no")` is true
    if not isinstance(raw, bool | int | float | str) or not fits:
        raise SettingsError(
            f"the truth of an event is {str(raw)[:50]!r}, and for a model of kind {kind} it has "
            f"to be {wanted}: name another field"
        )
    return raw


def _check_truth(settings: Settings, truth: str | None) -> None:
    features = settings.events.features
    shown = features == "all" or (isinstance(features, tuple) and truth in features)
    if truth is not None and shown:
        raise SettingsError(
            f"the model would be shown {truth}, which it is to be judged by: list events.features "
            "without it"
        )
