"""Settings: the only place that reads settings files and the environment."""

import os
import re
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import Field, ValidationError, field_serializer, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as EnvironmentError_

from millstream.core.schema import Schema
from millstream.core.spec import (
    Assume,
    EventsSpec,
    LabelsSpec,
    Milliseconds,
    ModelSpec,
    Spec,
    TopicName,
    deciding,
)
from millstream.errors import SettingsError
from millstream.runners.properties import (
    HIDDEN,
    OWNED,
    WHOLE_NUMBERS,
    is_of_python,
    is_secret,
)
from millstream.settings_errors import sentences
from millstream.settings_file import dotted, merge, nearest, read_file, read_scalars, resolve_files

PREFIX = "MILLSTREAM_"
FAILPOINT = f"{PREFIX}FAILPOINT"
"""Not a setting of users: where a test wants the worker to die; see `runners.failpoints`."""
MAX_NOTE_BYTES = 900_000
# Kubernetes sets them in every pod beside a service that is named millstream.
_SERVICE_LINK = re.compile(f"^{PREFIX}(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)$")


class PredictionSettings(Spec):
    """What a prediction record holds."""

    features: bool = True
    """Carry the features; has to stay on where labels are delayed."""


class TopicNames(Spec):
    """Names of the topics that the worker writes; None: derived from the app's name."""

    predictions: TopicName | None = None
    examples: TopicName | None = None
    models: TopicName | None = None
    dead_letters: TopicName | None = None


class BatchSettings(Spec):
    """Upper bounds of a transaction; below them it ends as soon as no message is at hand."""

    max_records: int = Field(default=8192, ge=1, le=1_000_000)
    max_age: Milliseconds = 150


class BreakerSettings(Spec):
    """When too many records are bad, the worker stops rather than dead-letter a whole topic."""

    stop_ratio: float | None = Field(default=0.5, gt=0, le=1)
    window: int = Field(default=1000, ge=10)


class HttpSettings(Spec):
    """Address of /metrics, /livez and /readyz."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class LogSettings(Spec):
    """How the worker logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(BaseSettings):
    """Everything that a user can set."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        # An error that quotes what it was given would quote passwords.
        hide_input_in_errors=True,
    )

    app: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    instance: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    """A name for this worker, where the host's name and a lock file cannot tell workers apart."""
    processing_guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    kafka: dict[str, str | int | float | bool]
    """Properties of librdkafka; all but those in `runners.properties.OWNED`."""
    events: EventsSpec
    labels: LabelsSpec = LabelsSpec()
    model: ModelSpec
    predictions: PredictionSettings = PredictionSettings()
    topics: TopicNames = TopicNames()
    batch: BatchSettings = BatchSettings()
    dead_letters: BreakerSettings = BreakerSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` merged: the environment is read there, and once."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def topic(self, which: Literal["predictions", "examples", "models", "dead_letters"]) -> str:
        """Name of an output topic."""
        return getattr(self.topics, which) or f"{self.app}.{which.replace('_', '-')}"

    @field_serializer("kafka")
    def _without_secrets(self, kafka: dict[str, Any]) -> dict[str, Any]:
        return {name: HIDDEN if is_secret(name) else value for name, value in kafka.items()}

    def __repr_args__(self) -> Any:
        """Secrets are not for logs or tracebacks."""
        for name, value in super().__repr_args__():
            yield name, self._without_secrets(self.kafka) if name == "kafka" else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [
            *self._kafka_problems(),
            *self._event_problems(),
            *self._label_problems(),
            *self._topic_problems(),
            *self._note_problems(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _note_problems(self) -> list[str]:
        """What decides has to be written into the models topic, and to be read back as it was."""
        decides = deciding(self.events, self.labels, self.model)
        try:
            note = orjson.dumps(decides)
        except TypeError as error:
            return [f"events, labels or model hold a value that JSON cannot hold: {error}"]
        if len(note) > MAX_NOTE_BYTES:
            problem = (
                f"events.schema is too large: the settings that a restore needs have {len(note):,} "
                f"bytes with it, and may have {MAX_NOTE_BYTES:,}"
            )
            return [problem]
        back = orjson.loads(note)
        for name, spec in (("events", self.events), ("labels", self.labels), ("model", self.model)):
            if type(spec).model_validate(back[name]) != spec:
                return [f"{name} holds a value that JSON cannot hold exactly"]
        return []

    def _kafka_problems(self) -> list[str]:
        problems = [
            f"kafka.{name} belongs to Millstream's guarantees ({OWNED[name]}): leave it out"
            for name in self.kafka
            if name in OWNED
        ]
        problems += [
            f"kafka.{name} is a function or object of Python, which no file can hold: leave it out"
            for name in self.kafka
            if is_of_python(name)
        ]
        problems += [
            f"kafka.{name} is no whole number: write one without a unit"
            for name in WHOLE_NUMBERS
            if name in self.kafka and not re.fullmatch(r"[0-9]{1,10}", str(self.kafka[name]))
        ]
        if not self.kafka.get("bootstrap.servers"):
            problems.append("kafka.bootstrap.servers is missing: name a broker, as host:port")
        return problems

    def _event_problems(self) -> list[str]:
        events = self.events
        listed = events.features if isinstance(events.features, tuple) else ()
        problems = [
            f"events.features names {name} twice: once is enough"
            for name in sorted({name for name in listed if listed.count(name) > 1})
        ]
        roles = {
            "events.id": events.id,
            "events.label": events.label,
            "events.timestamp": events.timestamp,
        }
        problems += [
            f"{role} is {path}, which events.features lists as well: the model would be shown it; "
            "take it out of the features"
            for role, path in roles.items()
            if path is not None and path in listed
        ]
        problems += [
            f"events.bounds.{name} is not among events.features: bounds are for features"
            for name in events.bounds
            if listed and name not in listed
        ]
        problems += [
            f"events.bounds.{name} has its lowest value above its highest: exchange them"
            for name, (low, high) in events.bounds.items()
            if low is not None and high is not None and low > high
        ]
        if events.missing == "allow" and self.model.sklearn is not None:
            problems.append("events.missing cannot be allow with model.sklearn: a scikit-learn "
                            "model needs every feature; leave it out")  # fmt: skip
        if not listed and isinstance(events.features, tuple):
            problems.append("events.features is empty: list features, or leave it out for all")
        if events.json_schema is not None:
            try:
                Schema(events.json_schema)
            except ValueError as error:
                problems.append(f"events.schema is not a JSON Schema: {error}")
        return problems

    def _label_problems(self) -> list[str]:
        events, labels, problems = self.events, self.labels, []
        if labels.source == "event" and events.label is None:
            problems.append("events.label is missing: labels.from: event needs the label's field")
        if labels.source != "event" and events.label is not None:
            problems.append("events.label only means something with labels.from: event; leave it "
                            f"out, or change labels.from ({labels.source})")  # fmt: skip
        if labels.source == "topic" and events.id is None:
            problems.append("events.id is missing: labels that come later are joined by it")
        if labels.source == "topic" and not self.predictions.features:
            problems.append("predictions.features cannot be false with labels.from: topic: a "
                            "restore takes the features from there")  # fmt: skip
        if labels.source != "event" and labels.missing == "predict":
            problems.append("labels.missing only means something with labels.from: event; leave "
                            f"it out, or change labels.from ({labels.source})")  # fmt: skip
        classes = self.model.classes
        if classes is not None and len({(type(each), each) for each in classes}) < len(classes):
            problems.append("model.classes names a class twice: once is enough")
        assumed = labels.on_timeout.assume if isinstance(labels.on_timeout, Assume) else None
        # True == 1 in Python, but they are two classes.
        known = None if classes is None else {(type(each), each) for each in classes}
        if assumed is not None and known is not None and (type(assumed), assumed) not in known:
            problems.append(f"labels.on_timeout.assume is {assumed}, which is none of "
                            "model.classes: name one of them")  # fmt: skip
        return problems

    def _topic_problems(self) -> list[str]:
        names = {
            "events.topic": self.events.topic,
            "labels.topic": self.labels.topic,
            "topics.predictions": self.topic("predictions"),
            "topics.examples": self.topic("examples"),
            "topics.models": self.topic("models"),
            "topics.dead_letters": self.topic("dead_letters"),
        }
        first_use: dict[str, str] = {}
        problems = []
        for setting, name in names.items():
            if name is not None and name in first_use:
                problems.append(f"{first_use[name]} and {setting} are both {name}: each needs a "
                                "topic of its own")  # fmt: skip
            elif name is not None:
                first_use[name] = setting
        return problems


def load_settings(path: Path) -> Settings:
    """Settings from a YAML file; the environment (`MILLSTREAM_A__B`) wins over it.

    Paths in it are relative to its folder. Raises `SettingsError`: a sentence for each problem.
    """
    document = read_file(path)
    merge(document, _environment())
    resolve_files(document, path.parent, str(path))
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(sentences(error, Settings, str(path))) from None


def failpoint() -> str | None:
    """Where a test wants this process to die; None: nowhere."""
    return os.environ.get(FAILPOINT)


def _environment() -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in map(str.upper, source.env_vars):
        section = name.split("__")[0]
        if name == FAILPOINT or _SERVICE_LINK.search(name):
            continue
        if section.startswith(PREFIX) and section not in known:
            hint = nearest(section, known)
            raise SettingsError(f"unknown variable {name} in the environment: {hint}")
    try:
        values: dict[str, Any] = source()
    except EnvironmentError_ as error:
        section = PREFIX + str(error).split('"')[1].upper()
        raise SettingsError(
            f"{section}: a variable of this section cannot be read: write lists and objects as JSON"
        ) from error
    if isinstance(values.get("kafka"), dict):
        values["kafka"] = dotted(values["kafka"])
    if isinstance(values.get("labels"), dict):
        read_scalars(values["labels"])
    return values
