"""Labels: the rule for what a model can learn, and the reader of the labels topic."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from millstream.core.formats.codec import Codecs, decoder, no_codecs
from millstream.core.formats.features import MAX_MAGNITUDE
from millstream.core.formats.json_fields import MAX_TEXT, MISSING, check_id, getter, time_reader
from millstream.core.models.interface.learner import Label, Learner
from millstream.core.spec import Assume, EventsSpec, LabelsSpec, Scalar
from millstream.errors import DeadLetter


class LabelRule:
    """Which labels a model can learn; the same for labels inside events and on their own topic."""

    def __init__(
        self, labels: LabelsSpec, learner: Learner, classes: tuple[Scalar, ...] | None
    ) -> None:
        self._values = labels.values
        # What an anomaly detector learns from labels is the distribution of a number.
        self._numbers = learner.traits.kind in {"regressor", "anomaly"}
        self._binary = learner.traits.binary
        if self._binary and classes is not None:
            classes = tuple(bool(each) if _is_bit(each) else each for each in classes)
        # True == 1 in Python, but they are two classes.
        self._classes = None if classes is None else {(type(each), each) for each in classes}
        checked = self._values or self._numbers or classes is not None
        self.as_they_are: frozenset[type] = frozenset() if checked else frozenset({bool})
        """Types of which `convert` gives back every value as it is."""

    def convert(self, value: Any) -> Label:
        """The label that the model learns.

        Raises `DeadLetter`: `label_type`, `label_class`.
        """
        return self.check(self._mapped(value) if self._values else value)

    def check(self, value: Any) -> Label:
        """The label that the model learns, of one that is no longer to be mapped.

        Raises `DeadLetter`: `label_type`, `label_class`.
        """
        if self._numbers:
            return self._number(value)
        kind = type(value)
        if self._binary and _is_bit(value):
            value, kind = value == 1, bool
        if kind is not bool and (self._binary or kind not in (int, str)):
            raise DeadLetter(
                "label_type",
                f"{_named(value)} is no {'boolean, 0 or 1' if self._binary else 'class'}",
            )
        if kind is str and len(value) > MAX_TEXT:
            raise DeadLetter("label_type", f"text longer than {MAX_TEXT} characters")
        if self._classes is not None and (kind, value) not in self._classes:
            raise DeadLetter("label_class", "none of model.classes")
        checked: Label = value
        return checked

    def _mapped(self, value: Any) -> Any:
        if type(value) in (dict, list):  # perhaps nested too deep to be made a text
            return value
        text = str(value).lower() if type(value) is bool else str(value)
        return self._values.get(text, value)

    @staticmethod
    def _number(value: Any) -> Label:
        if type(value) not in (int, float):
            raise DeadLetter("label_type", f"{_named(value)} is no number")
        if not -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
            raise DeadLetter("label_type", "a number too large to square")
        checked: Label = value
        return checked


def _is_bit(value: Any) -> bool:
    """Whether a value is a number that a model of two classes takes for false or true."""
    return type(value) is int and value in (0, 1)


def _named(value: Any) -> str:
    """A value's JSON type, for a message that must not hold the value."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", float: "a float"}
    return names.get(type(value), "a number")


def assumed_label(
    labels: LabelsSpec, learner: Learner, classes: tuple[Scalar, ...] | None
) -> Label | None:
    """The label that a prediction is learned with when none came; None: it is dropped.

    Raises `DeadLetter` where the model could not learn it.
    """
    if not isinstance(labels.on_timeout, Assume):
        return None
    return LabelRule(labels, learner, classes).convert(labels.on_timeout.assume)


def unlearnable(
    labels: LabelsSpec, learner: Learner, classes: tuple[Scalar, ...] | None
) -> Iterator[str]:
    """Sentences on labels in the settings that the model could never learn."""
    if classes is not None and learner.traits.kind != "classifier":
        yield f"model.classes: a model of this kind ({learner.traits.kind}) has none: leave it out"
        return
    any_class, rule = LabelRule(labels, learner, None), LabelRule(labels, learner, classes)
    learned = set()
    for each in classes or ():
        try:
            label = any_class.check(each)
        except DeadLetter as bad:
            yield f"model.classes: the model cannot learn {each!r} ({bad.detail}): name its classes"
            continue
        if (type(label), label) in learned:
            yield "model.classes names a class twice: to this model 0 and 1 are false and true"
        learned.add((type(label), label))
    for text, each in labels.values.items():
        try:
            rule.check(each)
        except DeadLetter as bad:
            yield (
                f"labels.values.{text}: the model cannot learn {each!r} ({bad.detail}): "
                "map to one of its labels"
            )
    try:
        assumed_label(labels, learner, classes)
    except DeadLetter as bad:
        yield (
            f"labels.on_timeout.assume: the model cannot learn it ({bad.detail}): "
            "name one of its labels"
        )


class LabelMessage(NamedTuple):
    """A message of the labels topic."""

    id: str | int
    label: Label
    time: int | None
    """Mapped timestamp in ms; None: Kafka's counts."""


class LabelReader:
    """Reads the messages of the labels topic."""

    def __init__(
        self,
        events: EventsSpec,
        labels: LabelsSpec,
        learner: Learner,
        classes: tuple[Scalar, ...] | None,
        codecs: Codecs = no_codecs,
    ) -> None:
        self.decode = decoder(labels.codec, codecs)
        self._id_path = labels.id_path(events)
        self._label_path = labels.label_path
        self._id = getter(self._id_path)
        self._label = getter(self._label_path)
        self._time = (
            time_reader(labels.timestamp, labels.timestamp_unit) if labels.timestamp else None
        )
        self._rule = LabelRule(labels, learner, classes)

    def read(self, value: bytes) -> LabelMessage:
        """The label in a message; raises `DeadLetter`."""
        document = self.decode(value)
        identity = check_id(self._id(document), self._id_path)
        raw = self._label(document)
        if raw is MISSING or raw is None:
            raise DeadLetter("label_missing", f"{self._label_path} is missing or null")
        time = None if self._time is None else self._time(document)
        return LabelMessage(identity, self._rule.convert(raw), time)
