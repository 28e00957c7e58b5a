"""The sections of a settings file that do not change what is predicted."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from millstream.core.spec import Milliseconds, Spec, TopicName


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
