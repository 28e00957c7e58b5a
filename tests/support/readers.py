"""Readers for the tests of reading: settings in a line, and a learner that only has traits."""

from collections.abc import Sequence
from typing import Any

from millstream.core.formats.events import EventReader
from millstream.core.formats.labels import LabelReader
from millstream.core.models.interface.learner import Answer, Features, Label, LearnerState
from millstream.core.models.interface.traits import Kind, LearnerTraits
from millstream.core.spec import EventsSpec, LabelsSpec, Scalar


class Traits:
    """A learner of which readers only use the traits."""

    def __init__(self, kind: Kind = "classifier", **traits: Any) -> None:
        self.traits = LearnerTraits(kind=kind, **traits)

    @property
    def state(self) -> LearnerState:
        raise NotImplementedError

    def predict(self, features: Features) -> Answer:
        raise NotImplementedError

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        raise NotImplementedError

    def learn(self, features: Features, label: Label | None) -> None:
        raise NotImplementedError

    def transform(self, features: Features) -> dict[str, Any]:
        raise NotImplementedError

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        raise NotImplementedError

    def digest(self) -> str:
        raise NotImplementedError


BINARY = Traits(binary=True)
MULTICLASS = Traits()
REGRESSOR = Traits("regressor")
SKLEARN = Traits(numeric_only=True, feature_names=("a", "b"))


def event_reader(
    learner: Traits = BINARY,
    *,
    labels: dict[str, Any] | None = None,
    classes: tuple[Scalar, ...] | None = None,
    **events: Any,
) -> EventReader:
    """A reader of events with an id and what else is given."""
    spec = EventsSpec.model_validate({"topic": "events", "id": "id", **events})
    wanted = labels or {"from": "event" if "label" in events else "none"}
    return EventReader(spec, LabelsSpec.model_validate(wanted), learner, classes)


def label_reader(
    learner: Traits = BINARY,
    *,
    classes: tuple[Scalar, ...] | None = None,
    events: dict[str, Any] | None = None,
    **labels: Any,
) -> LabelReader:
    """A reader of label messages."""
    spec = EventsSpec.model_validate({"topic": "events", "id": "id", **(events or {})})
    wanted = {"from": "topic", "topic": "labels", "wait": 1000, **labels}
    return LabelReader(spec, LabelsSpec.model_validate(wanted), learner, classes)
