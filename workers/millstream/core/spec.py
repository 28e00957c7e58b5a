"""The settings of events, labels and model, which decide results.

These are values without files or environment behind them (`config` reads those), so that a record
of them in the models topic is enough to replay a log the way it was first processed.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    model_validator,
)

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def parse_duration(value: object) -> object:
    """`"7d"`, `"1h 30m"` or `"250ms"` as whole milliseconds; anything else is left to pydantic."""
    if isinstance(value, bool):
        # A TypeError would pass through pydantic, which turns a ValueError into a sentence.
        raise ValueError("true and false are no durations: write one such as 7d")  # noqa: TRY004 - see above
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text or _DURATION.sub("", text).strip():
        raise ValueError(
            f"{value!r} is not a duration: write a number and a unit, such as 250ms, "
            "30s, 15m, 12h, 7d"
        )
    return round(sum(float(n) * _UNITS_MS[unit] for n, unit in _DURATION.findall(text)))


def _field_path(path: str) -> str:
    if not all(path.split(".")):
        raise ValueError(
            f"{path!r} is not a path: write a field's name, or names with dots between them"
        )
    return path


_HUNDRED_YEARS_MS = 100 * 366 * _UNITS_MS["d"]
Milliseconds = Annotated[int, BeforeValidator(parse_duration), Field(ge=0, le=_HUNDRED_YEARS_MS)]
FieldPath = Annotated[str, AfterValidator(_field_path)]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
"""What Kafka allows."""
Scalar = bool | Annotated[int, Field(ge=-(2**63), lt=2**64)] | FiniteFloat | str
"""A label that JSON can hold."""


class Spec(BaseModel):
    """A part of the settings: immutable, and with no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AllBut(Spec):
    """Every field of the event is a feature, except these (and id, label, timestamp)."""

    all_but: tuple[FieldPath, ...]


class EventsSpec(Spec):
    """How an event is read. Paths are field names, nested with dots."""

    topic: TopicName
    codec: FunctionName | None = None
    """`package.module:function`: from the bytes of a message to its fields; None: JSON."""
    id: FieldPath | None = None
    """Path of the id; without one the source position is the id (`topic-partition-offset`)."""
    features: tuple[FieldPath, ...] | AllBut | Literal["all"] = "all"
    timestamp: FieldPath | None = None
    """Path of the event time: ISO 8601, or a number in `timestamp_unit` since 1970."""
    timestamp_unit: Literal["s", "ms", "us", "ns"] = "ms"
    label: FieldPath | None = None
    """Path of the label inside the event, where `labels.from` is `event`."""
    json_schema: dict[str, Any] | bool | None = Field(default=None, alias="schema")
    """JSON Schema that every event has to meet; in a settings file, the path of one."""
    bounds: dict[str, tuple[FiniteFloat | None, FiniteFloat | None]] = {}
    """Feature name to (lowest, highest) value allowed, both ends included; None is open."""
    missing: Literal["dead_letter", "allow"] | None = None
    """A feature that is listed and missing or null. None: `allow` for River (the model sees the
    features that are there), `dead_letter` for scikit-learn."""
    unknown: Literal["ignore", "dead_letter"] = "ignore"
    """A field that is neither feature, id, label nor timestamp, where features are listed."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where an app that has no committed offset and no outputs yet begins."""


class Assume(Spec):
    """A prediction whose label never came is learned with this label."""

    assume: Scalar


class LabelsSpec(Spec):
    """Where labels come from and what is done with them."""

    source: Literal["event", "topic", "none"] = Field(default="none", alias="from")
    topic: TopicName | None = None
    codec: FunctionName | None = None
    """As that of events, for label messages."""
    id: FieldPath | None = None
    """Path of the id in a label message; default: the path of the id in events."""
    label: FieldPath | None = None
    """Path of the label in a label message (default `label`)."""
    timestamp: FieldPath | None = None
    timestamp_unit: Literal["s", "ms", "us", "ns"] = "ms"
    wait: Milliseconds | None = None
    """How long a prediction waits for its label, and an early label for its event."""
    on_timeout: Literal["drop"] | Assume = "drop"
    learn_from: Literal["raw", "transformed"] = "raw"
    """What a late label is learned with: the features as they came, transformed by the pipeline
    as it is now; or as the pipeline transformed them when the prediction was made."""
    max_idle: Milliseconds = 0
    """How long to wait for an empty input (events or labels) before the other one continues."""
    max_waiting: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    """How many predictions of a partition wait at the most; as many early labels are held, and as
    many resolved ids remembered."""
    at_max: Literal["stop", "expire_oldest"] = "stop"
    """What happens when one more would wait: the worker stops and says so, or the one whose wait
    ends first is given up early."""
    values: dict[str, Scalar] = {}
    """Label as it comes (as text) to the label that the model learns: `{"yes": true}`."""
    missing: Literal["dead_letter", "predict"] = "dead_letter"
    """An event without its inline label: dead letter, or predicted and not learned from."""

    @property
    def label_path(self) -> str:
        """Path of the label in a label message."""
        return self.label or "label"

    def id_path(self, events: EventsSpec) -> str:
        """Path of the id in a label message."""
        return self.id or events.id or "id"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "topic":
            if not self.topic:
                raise ValueError("labels.topic is missing: name the topic that labels come on")
            if not self.wait:
                raise ValueError(
                    "labels.wait is missing: say how long a prediction waits for its "
                    "label, such as 7d"
                )
        else:
            only_late = (
                "topic", "codec", "id", "label", "timestamp", "timestamp_unit", "wait",
                "on_timeout", "learn_from", "max_idle", "max_waiting", "at_max",
            )  # fmt: skip
            fields = type(self).model_fields
            given = {name for name in only_late if getattr(self, name) != fields[name].default}
            if given:
                raise ValueError(
                    f"labels.{min(given)} only means something with labels.from: topic"
                )
        return self


class FileRef(Spec):
    """A file that is only read when its SHA-256 is the pinned one."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ModelSpec(Spec):
    """The model's definition: exactly one of `river`, `factory` and `sklearn`."""

    name: str | None = None
    """Name in predictions; default: the app."""
    river: str | None = None
    """A River expression, such as `preprocessing.StandardScaler() | linear_model.Perceptron()`."""
    factory: str | None = None
    """`package.module:function`; called without arguments, returns the model."""
    sklearn: FileRef | None = None
    """A fitted scikit-learn estimator or Pipeline, saved by joblib."""
    weights: FileRef | None = None
    """A pickled model of the same definition whose weights the first learner starts from."""
    learn: bool = True
    classes: tuple[Scalar, ...] | None = None
    """The classes there are; needed by scikit-learn's `partial_fit`; others are dead letters."""

    @model_validator(mode="after")
    def _one_definition(self) -> Self:
        given = [k for k in ("river", "factory", "sklearn") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of model.river, model.factory and model.sklearn"
                + (f", not {' and '.join(given)}" if given else "")
            )
        return self


MODEL_FILES: Final = tuple(
    name for name, field in ModelSpec.model_fields.items() if FileRef in get_args(field.annotation)
)
"""The settings below `model` that name a file."""


def deciding(events: EventsSpec, labels: LabelsSpec, model: ModelSpec) -> dict[str, Any]:
    """Return the settings that decide how a log is processed, as JSON.

    Settings at their defaults are left out, so that a new setting changes no partition's record of
    its settings. In return, the default of a setting can never change: see the test of it.
    """
    specs = {"events": events, "labels": labels, "model": model}
    return {
        name: spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for name, spec in specs.items()
    }


def deciding_anew(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that `deciding` gave in any version as this version gives them.

    Raises `ValidationError`, `KeyError` or `TypeError` if they are not such settings.
    """
    return deciding(
        EventsSpec.model_validate(settings["events"]),
        LabelsSpec.model_validate(settings["labels"]),
        ModelSpec.model_validate(settings["model"]),
    )
