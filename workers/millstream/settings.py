"""Settings: the only place that reads settings files and the environment."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from millstream.core.spec import EventsSpec, LabelsSpec, Milliseconds, ModelSpec, Spec


class PredictionSettings(Spec):
    """What a prediction record holds."""

    features: bool = True
    """Carry the features; has to stay on where labels are delayed."""


class TopicNames(Spec):
    """Names of the topics that the worker writes; None: derived from the app's name."""

    predictions: str | None = None
    examples: str | None = None
    models: str | None = None
    dead_letters: str | None = None


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

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="MILLSTREAM_",
                                      env_nested_delimiter="__")

    app: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    instance: str | None = None
    processing_guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    kafka: dict[str, str | int | float | bool] = {}
    events: EventsSpec
    labels: LabelsSpec = LabelsSpec()
    model: ModelSpec
    predictions: PredictionSettings = PredictionSettings()
    topics: TopicNames = TopicNames()
    batch: BatchSettings = BatchSettings()
    dead_letters: BreakerSettings = BreakerSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    def topic(self, which: Literal["predictions", "examples", "models", "dead_letters"]) -> str:
        """Name of an output topic."""
        return getattr(self.topics, which) or f"{self.app}.{which.replace('_', '-')}"
