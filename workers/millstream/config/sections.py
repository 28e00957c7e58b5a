"""The sections of a settings file that do not change what is predicted."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from millstream.core.spec import Milliseconds, Spec, TopicName


class PredictionSettings(Spec):
    """The content of a prediction record."""

    features: bool = True
    """Include the features; must stay true with `labels.from: topic`."""


class TopicNames(Spec):
    """Names of the topics that the worker writes; None: derived from the app's name."""

    predictions: TopicName | None = None
    examples: TopicName | None = None
    models: TopicName | None = None
    dead_letters: TopicName | None = None


class BatchSettings(Spec):
    """Upper bounds of a transaction; it ends sooner when no message is available."""

    max_records: int = Field(default=16384, ge=1, le=1_000_000)
    max_age: Milliseconds = 1000
    """Of a batch under backlog, ms; without one, see `runners.batch_size`."""


class WaitingSettings(Spec):
    """The store of pending predictions; outputs do not depend on it."""

    store: Literal["memory", "disk"] = "memory"
    directory: Path | None = None
    """Folder of the disk store; None: the system's temporary folder."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.directory is not None and self.store != "disk":
            raise ValueError("waiting.directory only means something with waiting.store: disk")
        return self


class BreakerSettings(Spec):
    """The circuit breaker: stops the worker before it rejects a whole topic."""

    stop_ratio: float | None = Field(default=0.5, gt=0, le=1)
    window: int = Field(default=1000, ge=10)


class SnapshotSettings(Spec):
    """Snapshots of a partition's state, which spare a restore the whole log."""

    enabled: bool = True
    """False: none is written or read; a restore reads the logs from their start."""
    every: Milliseconds = 300_000
    """Longest time between two, ms, if anything was processed in between."""
    examples: int = Field(default=100_000, ge=1)
    """Most examples learned between two."""
    keep: int = Field(default=3, ge=1, le=1_000)
    """Number retained for each partition."""
    store: str | None = None
    """A folder, or a URL that fsspec knows (s3://bucket/path); None: the models topic."""
    key: SecretStr | None = None
    """Signs snapshots (HMAC-SHA256); with a key, unsigned ones are refused."""

    @property
    def key_bytes(self) -> bytes | None:
        """The key as bytes; None without one."""
        return None if self.key is None else self.key.get_secret_value().encode()

    allow_version_change: bool = False
    """Accept pickled models that other versions of the libraries wrote."""
    trust: tuple[str, ...] = ()
    """Modules, besides those of the libraries, whose classes a pickled model may contain."""


class RecoverySettings(Spec):
    """Reactions to lost logs, unreachable brokers and records that crash the worker."""

    lost_log: Literal["stop", "continue"] = "stop"
    """When retention has deleted records not yet processed, or needed for the state."""
    max_outage: Milliseconds = 600_000
    """The worker stops when no broker has answered for so long, ms; 0: never."""
    max_crashes: int | None = Field(default=3, ge=1, le=1_000)
    """Crashes over one record before it is rejected; None: it never is."""


class HttpSettings(Spec):
    """Address of /metrics, /livez and /readyz."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class FaustSettings(Spec):
    """The agent inside Faust."""

    take: int = Field(default=2000, ge=1, le=100_000)
    """Most events that an agent consumes at a time."""
    within: Milliseconds = Field(default=20, ge=1)
    """Longest wait for so many, ms."""
    stall_after: Milliseconds = Field(default=60_000, ge=1_000)
    """Liveness fails when no available message arrives for so long, ms."""


class TracingSettings(Spec):
    """Spans for OpenTelemetry; needs the extra `otel`."""

    spans: Literal["none", "batch", "event"] = "none"
    """One for each batch, with links to the events' traces; or one for each event whose trace is
    sampled."""


class LogSettings(Spec):
    """The log of the worker."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
