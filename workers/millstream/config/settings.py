"""The settings of an app: one immutable value, validated, and the facts that follow from it."""

from collections.abc import Mapping
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from millstream.config import validation as rules
from millstream.config.environment import PREFIX, read_environment
from millstream.config.error_messages import sentences
from millstream.config.kafka_properties import HIDDEN, is_secret
from millstream.config.references import resolve_references
from millstream.config.sections import (
    BatchSettings,
    BreakerSettings,
    FaustSettings,
    HttpSettings,
    LogSettings,
    PredictionSettings,
    RecoverySettings,
    SnapshotSettings,
    TopicNames,
    TracingSettings,
    WaitingSettings,
)
from millstream.config.yaml_file import merge, read_file
from millstream.core.records.record import InputName
from millstream.core.spec import EventsSpec, LabelsSpec, ModelSpec
from millstream.errors import SettingsError


class Settings(BaseModel):
    """Everything that a user can set."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        # An error that quotes its input would quote passwords.
        hide_input_in_errors=True,
    )

    app: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    instance: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    """A name for this worker, where host name and lock file do not identify it."""
    processing_guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    runner: Literal["confluent", "faust"] = "confluent"
    """The consumer behind `millstream run`."""
    kafka: dict[str, str | int | float | bool]
    """Properties of librdkafka; all but those in `kafka_properties.OWNED`."""
    events: EventsSpec
    labels: LabelsSpec = LabelsSpec()
    model: ModelSpec
    predictions: PredictionSettings = PredictionSettings()
    topics: TopicNames = TopicNames()
    batch: BatchSettings = BatchSettings()
    waiting: WaitingSettings = WaitingSettings()
    dead_letters: BreakerSettings = BreakerSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    recovery: RecoverySettings = RecoverySettings()
    http: HttpSettings = HttpSettings()
    faust: FaustSettings = FaustSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    def topic(self, which: Literal["predictions", "examples", "models", "dead_letters"]) -> str:
        """Name of an output topic."""
        return getattr(self.topics, which) or f"{self.app}.{which.replace('_', '-')}"

    @property
    def has_delayed_labels(self) -> bool:
        """The model learns from labels that come on a topic of their own."""
        return self.labels.source == "topic" and self.model.learn

    @property
    def inputs(self) -> dict[InputName, str]:
        """Each input of the worker and its topic; labels only where the model learns from them."""
        if self.has_delayed_labels:
            return {"events": self.events.topic, "labels": str(self.labels.topic)}
        return {"events": self.events.topic}

    @field_serializer("kafka")
    def _without_secrets(self, kafka: dict[str, Any]) -> dict[str, Any]:
        return {name: HIDDEN if is_secret(name) else value for name, value in kafka.items()}

    def __repr_args__(self) -> Any:
        """Hide secrets from logs and tracebacks."""
        for name, value in super().__repr_args__():
            yield name, self._without_secrets(self.kafka) if name == "kafka" else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = {
            "events.topic": self.events.topic,
            "labels.topic": self.labels.topic,
            "topics.predictions": self.topic("predictions"),
            "topics.examples": self.topic("examples"),
            "topics.models": self.topic("models"),
            "topics.dead_letters": self.topic("dead_letters"),
        }
        problems = [
            *rules.kafka_problems(self.kafka),
            *rules.event_problems(self.events, self.model),
            *rules.label_problems(self.events, self.labels),
            *rules.class_problems(self.labels, self.model),
            *rules.topic_problems(names),
            *rules.note_problems(self.events, self.labels, self.model),
            *rules.snapshot_problems(self.snapshots.key_bytes),
            *rules.runner_problems(self.runner, self.processing_guarantee, self.kafka),
        ]
        if self.labels.source == "topic" and not self.predictions.features:
            problems.append("predictions.features cannot be false with labels.from: topic: a "
                            "restore takes the features from there")  # fmt: skip
        if problems:
            raise ValueError("\n".join(problems))
        return self


class _Variables(Settings, BaseSettings):
    """The settings as environment variables; no instance is ever made."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


def load_settings(path: str | PathLike[str], kafka: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a YAML file; the environment (`MILLSTREAM_A__B`) wins over it.

    Paths in it are relative to its folder. `kafka`: connection properties that win over both.
    Raises `SettingsError`: a sentence for each problem.

    >>> settings = load_settings("examples/phishing/millstream.yaml")
    >>> settings.app, settings.topic("predictions")
    ('phishing', 'phishing.predictions')
    """
    if not isinstance(path, str | PathLike):
        raise SettingsError(
            f"settings are the path of a file here, and no {type(path).__name__}: make_settings "
            "makes them of what a file would hold"
        )
    path = Path(path)
    document = read_file(path)
    merge(document, read_environment(_Variables))
    merge(document, {"kafka": dict(kafka)} if kafka else {})
    return _validated(document, path.parent, str(path))


def make_settings(document: Mapping[str, Any], folder: Path = Path()) -> Settings:
    """Settings from the content of a YAML file; the environment is ignored.

    Paths in it are relative to `folder`. Raises `SettingsError`: a sentence for each problem.

    >>> settings = make_settings({
    ...     "app": "fraud",
    ...     "kafka": {"bootstrap.servers": "localhost:9092"},
    ...     "events": {"topic": "payments"},
    ...     "model": {"river": "cluster.KMeans()"},
    ...     "batch": {"max_age": "500ms"},
    ... })
    >>> settings.batch.max_age
    500
    """
    return _validated(deepcopy(dict(document)), folder, "settings")


def _validated(document: dict[str, Any], folder: Path, origin: str) -> Settings:
    resolve_references(document, folder, origin)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(sentences(error, Settings, origin)) from None
