"""Settings: the only place that reads settings files and the environment."""

import os
import re
from collections.abc import Mapping
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as EnvironmentError_

from millstream.config import validation as rules
from millstream.config.error_messages import sentences
from millstream.config.kafka_properties import HIDDEN, is_secret
from millstream.config.yaml_file import (
    dotted,
    merge,
    nearest,
    read_file,
    read_scalar,
    resolve_files,
)
from millstream.core.records.record import InputName
from millstream.core.spec import (
    EventsSpec,
    LabelsSpec,
    Milliseconds,
    ModelSpec,
    Spec,
    TopicName,
)
from millstream.errors import SettingsError

PREFIX = "MILLSTREAM_"
FAILPOINT = f"{PREFIX}FAILPOINT"
"""Not a setting of users: where a test wants the worker to die; see `runners.failpoints`."""
_OF_LABELS = {"on_timeout", "values"}
"""Sections whose values are labels."""
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

    max_records: int = Field(default=16384, ge=1, le=1_000_000)
    max_age: Milliseconds = 1000
    """Of a batch where there is a backlog; see `runners.pace` for how long it is without one."""


class WaitingSettings(Spec):
    """Where predictions wait for their labels; what comes out is the same."""

    store: Literal["memory", "disk"] = "memory"
    directory: Path | None = None
    """Folder for the file of `disk`; None: where the system keeps temporary files."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.directory is not None and self.store != "disk":
            raise ValueError("waiting.directory only means something with waiting.store: disk")
        return self


class BreakerSettings(Spec):
    """When too many records are bad, the worker stops rather than dead-letter a whole topic."""

    stop_ratio: float | None = Field(default=0.5, gt=0, le=1)
    window: int = Field(default=1000, ge=10)


class SnapshotSettings(Spec):
    """When a shard's state is written down, so that a restore need not read its whole log."""

    enabled: bool = True
    """False: take none, and use none; a restore reads its logs from their start."""
    every: Milliseconds = 300_000
    """At the latest so long after the last one, if anything was worked off since."""
    examples: int = Field(default=100_000, ge=1)
    """At the latest after so many examples learned."""
    keep: int = Field(default=3, ge=1, le=1_000)
    """How many of each partition are kept."""
    store: str | None = None
    """A folder, or a URL that fsspec knows (s3://bucket/path); None: the models topic."""
    key: SecretStr | None = None
    """Signs snapshots (HMAC-SHA256); with it, none is read that is not signed by it."""

    @property
    def key_bytes(self) -> bytes | None:
        """The key as it signs."""
        return None if self.key is None else self.key.get_secret_value().encode()

    allow_version_change: bool = False
    """Read pickled models that were written with other versions of the libraries."""
    trust: tuple[str, ...] = ()
    """Modules, besides those of the libraries, whose classes may be in a pickled model."""


class RecoverySettings(Spec):
    """What is done about logs that are gone, brokers that are away, and records that kill."""

    lost_log: Literal["stop", "continue"] = "stop"
    """Where a topic's retention has deleted what was not worked off or is needed for the state."""
    max_outage: Milliseconds = 600_000
    """The worker ends when no broker has answered for so long; 0: it waits for ever."""
    max_crashes: int | None = Field(default=3, ge=1, le=1_000)
    """After so many crashes over one record, that record goes to dead letters; None: never."""


class HttpSettings(Spec):
    """Address of /metrics, /livez and /readyz."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class FaustSettings(Spec):
    """How the worker works inside Faust."""

    take: int = Field(default=2000, ge=1, le=100_000)
    """How many events an agent takes at a time."""
    within: Milliseconds = Field(default=20, ge=1)
    """How long an agent waits for so many."""
    stall_after: Milliseconds = Field(default=60_000, ge=1_000)
    """When nothing comes for so long of what is there, liveness says so."""


class TracingSettings(Spec):
    """Spans for OpenTelemetry; needs the extra `otel`."""

    spans: Literal["none", "batch", "event"] = "none"
    """One for each batch, with links to the events' traces; or one for each event whose trace is
    sampled."""


class LogSettings(Spec):
    """How the worker logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(BaseModel):
    """Everything that a user can set."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        # An error that quotes what it was given would quote passwords.
        hide_input_in_errors=True,
    )

    app: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    instance: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    """A name for this worker, where the host's name and a lock file cannot tell workers apart."""
    processing_guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    runner: Literal["confluent", "faust"] = "confluent"
    """What moves the records in `millstream run`."""
    kafka: dict[str, str | int | float | bool]
    """Properties of librdkafka; all but those in `runners.properties.OWNED`."""
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
    def inputs(self) -> dict[InputName, str]:
        """Side to the topic that it comes from."""
        labels: dict[InputName, str] = {}
        if self.labels.source == "topic":
            labels["labels"] = str(self.labels.topic)
        return {"events": self.events.topic, **labels}

    @field_serializer("kafka")
    def _without_secrets(self, kafka: dict[str, Any]) -> dict[str, Any]:
        return {name: HIDDEN if is_secret(name) else value for name, value in kafka.items()}

    def __repr_args__(self) -> Any:
        """Secrets are not for logs or tracebacks."""
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


def load_settings(path: str | PathLike[str], kafka: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a YAML file; the environment (`MILLSTREAM_A__B`) wins over it.

    Paths in it are relative to its folder. `kafka`: connection properties that win over both.
    Raises `SettingsError`: a sentence for each problem.
    """
    if not isinstance(path, str | PathLike):
        raise SettingsError(
            f"settings are the path of a file here, and no {type(path).__name__}: make_settings "
            "makes them of what a file would hold"
        )
    path = Path(path)
    document = read_file(path)
    merge(document, _environment())
    merge(document, {"kafka": dict(kafka)} if kafka else {})
    return _validated(document, path.parent, str(path))


def make_settings(document: Mapping[str, Any], folder: Path = Path()) -> Settings:
    """Settings from what a YAML file would hold; the environment is not asked.

    Paths in it are relative to `folder`. Raises `SettingsError`: a sentence for each problem.
    """
    return _validated(deepcopy(dict(document)), folder, "settings")


def _validated(document: dict[str, Any], folder: Path, origin: str) -> Settings:
    resolve_files(document, folder, origin)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(sentences(error, Settings, origin)) from None


def failpoint() -> str | None:
    """Where a test wants this process to die; None: nowhere."""
    return os.environ.get(FAILPOINT)


class _Variables(Settings, BaseSettings):
    """What the environment may hold: `MILLSTREAM_A__B`. Only read by, never made."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


class _Environment(EnvSettingsSource):
    """The environment, with every mistake in its JSON of one kind."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def _environment() -> dict[str, Any]:
    source = _Environment(_Variables)
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
    snapshots = values.get("snapshots")
    if isinstance(snapshots, dict) and "key_file" in snapshots:
        snapshots["key"] = {"file": snapshots.pop("key_file")}
    for name in source.env_vars:
        section, _, key = name.removeprefix(f"{PREFIX}labels__".lower()).partition("__")
        labels = values.get("labels", {}).get(section) if section in _OF_LABELS else None
        # Text inside JSON is text: there are quotes around it.
        if isinstance(labels, dict) and isinstance(labels.get(key), str):
            labels[key] = read_scalar(labels[key])
    return values
