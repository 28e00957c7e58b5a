"""The reader of events: bytes of a message to id, features, label and time."""

from millstream.core.formats.codec import Codecs, decoder, no_codecs
from millstream.core.formats.fast_events import usual_reader
from millstream.core.formats.features import feature_reader
from millstream.core.formats.json_fields import (
    MISSING,
    Document,
    check_id,
    getter,
    root,
    time_reader,
)
from millstream.core.formats.json_schema import Schema
from millstream.core.formats.labels import LabelRule
from millstream.core.models.interface.learner import Label, Learner
from millstream.core.records.event import Event, new_event
from millstream.core.spec import EventsSpec, LabelsSpec, Scalar
from millstream.errors import DeadLetter


class EventReader:
    """Reads the messages of the events topic, under one set of settings."""

    def __init__(
        self,
        events: EventsSpec,
        labels: LabelsSpec,
        learner: Learner,
        classes: tuple[Scalar, ...] | None,
        codecs: Codecs = no_codecs,
    ) -> None:
        self.decode = decoder(events.codec, codecs)
        label_path = events.label if labels.source == "event" else None
        taken = [path for path in (events.id, label_path, events.timestamp) if path]
        self._features = feature_reader(events, learner, taken)
        self._id_path = events.id or ""
        self._id = getter(events.id) if events.id else None
        self._time = (
            time_reader(events.timestamp, events.timestamp_unit) if events.timestamp else None
        )
        self._label_path = label_path or ""
        # Without learning, a label is a field like any other.
        self._label = getter(label_path) if label_path and learner.traits.learns else None
        self._label_rule = LabelRule(labels, learner, classes)
        self._label_may_miss = labels.missing == "predict"
        self._schema = None if events.json_schema is None else Schema(events.json_schema)
        self._refuse_unknown = events.unknown == "dead_letter"
        self.usual = usual_reader(
            events, self._label_path if self._label else None, self._label_rule
        )
        """The event in a message that is usual in every way; None for any other. None: there is no
        such shortcut."""
        self._known: set[str] | None = None
        if isinstance(events.features, tuple):
            self._known = {root(path) for path in (*events.features, *taken)}
            if events.label:
                self._known.add(root(events.label))

    def read(self, value: bytes) -> Event:
        """The event in a message; raises `DeadLetter`."""
        if self.usual is not None and (usual := self.usual(value)) is not None:
            return usual
        document = self.decode(value)
        if self._schema is not None:
            self._schema.check(document)
        identity = None
        if self._id is not None:
            identity = self._id(document)
            if type(identity) is not int:
                identity = check_id(identity, self._id_path)
        time = None if self._time is None else self._time(document)
        features = self._features(document)
        label = None if self._label is None else self._read_label(document)
        known = self._known
        unknown = 0 if known is None or document.keys() <= known else self._unknown(document, known)
        return new_event(Event, (identity, features, label, time, unknown))

    def _read_label(self, document: Document) -> Label | None:
        raw = self._label(document) if self._label is not None else MISSING
        if raw is MISSING or raw is None:
            if self._label_may_miss:
                return None
            raise DeadLetter("label_missing", f"{self._label_path} is missing or null")
        return self._label_rule.convert(raw)

    def _unknown(self, document: Document, known: set[str]) -> int:
        unknown = document.keys() - known
        if self._refuse_unknown:
            raise DeadLetter(
                "unknown_field", f"{len(unknown)} fields that the settings do not name"
            )
        return len(unknown)
