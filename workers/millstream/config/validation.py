"""Rules across several settings; each violation is a sentence for the user."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from millstream.config.kafka_properties import OWNED, WHOLE_NUMBERS, is_of_python
from millstream.core.formats.json_schema import Schema
from millstream.core.models.registry import definition_of
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec, Scalar, deciding

MAX_NOTE_BYTES: Final = 900_000
MIN_KEY_BYTES: Final = 16


def kafka_problems(kafka: Mapping[str, Any]) -> Iterator[str]:
    """Properties that Millstream owns, or that librdkafka cannot parse."""
    for name in kafka:
        if name in OWNED:
            yield f"kafka.{name} belongs to Millstream's guarantees ({OWNED[name]}): leave it out"
    for name in kafka:
        if is_of_python(name):
            yield (
                f"kafka.{name} is a function or object of Python, which no file can hold: "
                "leave it out"
            )
    for name in WHOLE_NUMBERS:
        if name in kafka and not re.fullmatch(r"[0-9]{1,10}", str(kafka[name])):
            yield f"kafka.{name} is no whole number: write one without a unit"
    for name, value in kafka.items():
        if "\0" in f"{name}{value}":
            yield f"kafka.{name} holds a NUL character, which ends it for librdkafka: take it out"
    if not kafka.get("bootstrap.servers"):
        yield "kafka.bootstrap.servers is missing: name a broker, as host:port"


def event_problems(events: EventsSpec, model: ModelSpec) -> Iterator[str]:
    """Features, bounds and schema of events."""
    listed = events.features if isinstance(events.features, tuple) else ()
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield f"events.features names {name} twice: once is enough"
    roles = {
        "events.id": events.id,
        "events.label": events.label,
        "events.timestamp": events.timestamp,
    }
    for role, path in roles.items():
        if path is not None and path in listed:
            yield (
                f"{role} is {path}, which events.features lists as well: the model would be shown "
                "it; take it out of the features"
            )
    for name, (low, high) in events.bounds.items():
        if listed and name not in listed:
            yield f"events.bounds.{name} is not among events.features: bounds are for features"
        if low is not None and high is not None and low > high:
            yield f"events.bounds.{name} has its lowest value above its highest: exchange them"
    if events.missing == "allow" and definition_of(model)[1].needs_all_features:
        yield (
            "events.missing cannot be allow with model.sklearn: a scikit-learn model needs every "
            "feature; leave it out"
        )
    if not listed and isinstance(events.features, tuple):
        yield "events.features is empty: list features, or leave it out for all"
    if events.json_schema is not None:
        try:
            Schema(events.json_schema)
        except ValueError as error:
            yield f"events.schema is not a JSON Schema: {error}"


def label_problems(events: EventsSpec, labels: LabelsSpec) -> Iterator[str]:
    """The source of labels and its fields."""
    if labels.source == "event" and events.label is None:
        yield "events.label is missing: labels.from: event needs the label's field"
    if labels.source != "event" and events.label is not None:
        yield (
            "events.label only means something with labels.from: event; leave it out, or change "
            f"labels.from ({labels.source})"
        )
    if labels.source == "topic" and events.id is None:
        yield "events.id is missing: labels that come later are joined by it"
    if labels.source != "event" and labels.missing == "predict":
        yield (
            "labels.missing only means something with labels.from: event; leave it out, or change "
            f"labels.from ({labels.source})"
        )


def class_problems(labels: LabelsSpec, model: ModelSpec) -> Iterator[str]:
    """Classes that are not distinct; `artifacts.loader` checks what the model can learn."""
    classes = model.classes or ()
    # True == 1 in Python, but they are two classes.
    if len({(type(each), each) for each in classes}) < len(classes):
        yield "model.classes names a class twice: once is enough"
    for setting, named in (("model.classes", classes), ("labels.values", labels.values.values())):
        by_key: dict[str, Scalar] = {}
        for each in named:
            key = each if isinstance(each, str) else orjson.dumps(each).decode()
            other = by_key.setdefault(key, each)
            if type(other) is not type(each):
                yield (
                    f"{setting} holds the {_kind(other)} {key} and the {_kind(each)} {key}, which "
                    "are one key of a prediction's probabilities: give the classes one type"
                )


def _kind(value: Scalar) -> str:
    return {bool: "boolean", str: "text"}.get(type(value), "number")


def topic_problems(names: Mapping[str, str | None]) -> Iterator[str]:
    """Topics with two roles; `names`: setting to topic."""
    first_use: dict[str, str] = {}
    for setting, name in names.items():
        if name is not None and name in first_use:
            yield f"{first_use[name]} and {setting} are both {name}: each needs a topic of its own"
        elif name is not None:
            first_use[name] = setting


def note_problems(events: EventsSpec, labels: LabelsSpec, model: ModelSpec) -> Iterator[str]:
    """Settings that the models topic could not store and give back unchanged."""
    try:
        note = orjson.dumps(deciding(events, labels, model))
    except TypeError as error:
        yield f"events, labels or model hold a value that JSON cannot hold: {error}"
        return
    if len(note) > MAX_NOTE_BYTES:
        yield (
            f"events.schema is too large: the settings that a restore needs have {len(note):,} "
            f"bytes with it, and may have {MAX_NOTE_BYTES:,}"
        )
        return
    back = orjson.loads(note)
    for name, spec in (("events", events), ("labels", labels), ("model", model)):
        if type(spec).model_validate(back[name]) != spec:
            yield f"{name} holds a value that JSON cannot hold exactly"
            return


def snapshot_problems(key: bytes | None) -> Iterator[str]:
    """A signing key that is too short."""
    if key is not None and len(key) < MIN_KEY_BYTES:
        yield (
            f"snapshots.key has {len(key)} bytes, which could be guessed: take {MIN_KEY_BYTES} or "
            "more, such as openssl rand -hex 32 gives"
        )


def runner_problems(runner: str, guarantee: str, kafka: Mapping[str, Any]) -> Iterator[str]:
    """Settings that the runner does not support."""
    if runner != "faust":
        return
    if guarantee != "at_least_once":
        yield (
            "runner: faust cannot work with processing_guarantee: exactly_once, as Faust lets no "
            "offsets join the transaction of another producer: set it to at_least_once (what is "
            "learned stays exactly once, outputs may repeat), or leave runner out"
        )
    if str(kafka.get("group.protocol", "classic")) != "classic":
        yield "kafka.group.protocol: Faust's Kafka client knows classic alone; leave it out"
