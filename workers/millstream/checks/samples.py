"""Check that the newest events and labels fit the settings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from millstream.artifacts.user_code import load_codec
from millstream.checks.finding import Finding
from millstream.config.settings import Settings
from millstream.core.formats.events import EventReader
from millstream.core.formats.json_fields import MISSING, Document, getter
from millstream.core.formats.labels import LabelReader
from millstream.core.models.interface.learner import Learner
from millstream.core.records.record import REASONS, UNREADABLE_HEADERS, InputName, Record
from millstream.core.spec import AllBut
from millstream.errors import DeadLetter
from millstream.kafka.admin import TopicInfo
from millstream.kafka.log_reader import read_log
from millstream.kafka.watermarks import Watermarks

EACH: Final = 100
"""Number of newest offsets of a partition that are read."""
_PARTITIONS_AT_MOST: Final = 50


def check_samples(
    settings: Settings, learner: Learner, bounds: Watermarks, known: Mapping[str, TopicInfo]
) -> list[Finding]:
    """Read the newest events and labels as the worker would; `known`: the topics that exist.

    Raises Stop if they cannot be read at all.
    """
    if settings.events.topic not in known:
        return []
    events, labels, classes = settings.events, settings.labels, settings.model.classes
    reader = EventReader(events, labels, learner, classes, load_codec)
    found = _Sample("events", reader).take(settings, bounds, events.topic, known)
    findings = found.judge(settings, _event_paths(settings))
    if settings.has_delayed_labels and learner.traits.learns and labels.topic in known:
        label_reader = LabelReader(events, labels, learner, classes, load_codec)
        taken = _Sample("labels", label_reader).take(settings, bounds, str(labels.topic), known)
        findings += taken.judge(settings, _label_paths(settings))
        findings += _strangers(found, taken)
    return findings


@dataclass
class _Sample:
    """The newest records of one input, and what is wrong with them."""

    side: InputName
    reader: EventReader | LabelReader
    records: int = 0
    """Without tombstones, which the worker skips."""
    bad: Counter[str] = field(default_factory=Counter)
    details: dict[str, Counter[str]] = field(default_factory=dict)
    documents: list[Document] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def take(
        self, settings: Settings, bounds: Watermarks, topic: str, known: Mapping[str, TopicInfo]
    ) -> "_Sample":
        for partition in range(min(known[topic].partitions, _PARTITIONS_AT_MOST)):
            read_log(settings, bounds, topic, partition, self._add, EACH)
        return self

    def _add(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.value is None:
                continue
            self.records += 1
            try:
                if record.headers is UNREADABLE_HEADERS:
                    raise DeadLetter("headers")  # noqa: TRY301 - as the processor does
                self.documents.append(self.reader.decode(record.value))
                self.ids.add(str(self.reader.read(record.value).id))
            except DeadLetter as bad:
                self.bad[bad.reason] += 1
                self.details.setdefault(bad.reason, Counter())[bad.detail] += 1

    def judge(self, settings: Settings, paths: Iterable[tuple[str, str]]) -> list[Finding]:
        """Report how many would be dead letters, and paths of the settings that no record has."""
        if not self.records:
            text = "the topic is empty: there is nothing to hold the settings against yet"
            return [Finding("note", self.side, text)]
        return [self._dead_letters(settings.dead_letters.stop_ratio), *self._nowhere(paths)]

    def _dead_letters(self, stop_ratio: float | None) -> Finding:
        bad = self.bad.total()
        if not bad:
            text = f"the newest {self.records} are what the settings say"
            return Finding("ok", self.side, text)
        reasons = "; ".join(f"{n} {reason} ({self._why(reason)})" for reason, n in self.bad.items())
        text = f"{bad} of the newest {self.records} would be dead letters: {reasons}"
        if bad / self.records < (stop_ratio or 1):
            return Finding("warning", self.side, text)
        return Finding(
            "error", self.side, f"{text}; so many stop the worker" if stop_ratio else text
        )

    def _why(self, reason: str) -> str:
        detail, _ = self.details[reason].most_common(1)[0]
        return detail or REASONS[reason][1]

    def _nowhere(self, paths: Iterable[tuple[str, str]]) -> Iterable[Finding]:
        """Warn of paths that no record of the sample has: optional fields go missing silently."""
        missing: dict[str, list[str]] = {}
        for setting, path in paths:
            get = getter(path)
            if self.documents and all(get(document) is MISSING for document in self.documents):
                missing.setdefault(setting, []).append(path)
        for setting, names in missing.items():
            text = (
                f"none of the newest {len(self.documents)} has {', '.join(names)} ({setting}): "
                "is it spelt as it is there?"
            )
            yield Finding("warning", self.side, text)


def _event_paths(settings: Settings) -> Iterable[tuple[str, str]]:
    events = settings.events
    if isinstance(events.features, AllBut):
        yield from (("events.features.all_but", path) for path in events.features.all_but)
    elif isinstance(events.features, tuple):
        yield from (("events.features", path) for path in events.features)
    if events.id:
        yield "events.id", events.id
    if events.label and settings.model.learn:
        yield "events.label", events.label


def _label_paths(settings: Settings) -> Iterable[tuple[str, str]]:
    labels = settings.labels
    yield "labels.id", labels.id_path(settings.events)
    yield "labels.label", labels.label_path


def _strangers(events: _Sample, labels: _Sample) -> list[Finding]:
    """Note if no label belongs to an event of the sample: perhaps none ever does."""
    if not (events.ids and labels.ids) or events.ids & labels.ids:
        return []
    text = (
        f"none of the newest {len(labels.ids)} has the id of one of the newest {len(events.ids)} "
        "events, which is as it should be only where labels come much later"
    )
    return [Finding("note", "labels", text)]
