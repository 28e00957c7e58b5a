"""The records that go in and out of the core."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

InputName = Literal["events", "labels"]
Stage = Literal["decode", "validate", "label", "predict", "learn", "publish"]
Headers = list[tuple[str, bytes | None]]


UNREADABLE_HEADERS: Final[Headers] = []
"""Stands (by identity) for headers that the client library could not decode."""


class Record(NamedTuple):
    """A message as it came from a partition, still undecoded."""

    offset: int
    timestamp: int
    """Kafka's timestamp in milliseconds since 1970; -1 where there is none."""
    key: bytes | None
    value: bytes | None
    headers: Headers | None


class Output(NamedTuple):
    """A message to write to the partition of the same number."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None


REASONS: Final[dict[str, tuple[Stage, str]]] = {
    "not_json": ("decode", "not JSON (RFC 8259; NaN, Infinity and bad UTF-8 are not)"),
    "not_an_object": ("decode", "valid JSON, but not an object"),
    "empty": ("decode", "an empty value (a tombstone, which has none at all, is skipped)"),
    "codec": ("decode", "the codec in the settings raised, or gave what JSON cannot hold"),
    "headers": ("decode", "the headers cannot be read"),
    "schema": ("validate", "the user's JSON Schema refuses it"),
    "id": ("validate", "the id is missing, empty, or neither text nor an integer"),
    "timestamp": ("validate", "the mapped timestamp is missing or cannot be read"),
    "missing_feature": ("validate", "a listed feature is missing or null"),
    "unknown_field": ("validate", "a field that the settings do not name"),
    "feature_type": ("validate", "a feature of a type that the model cannot take"),
    "feature_value": ("validate", "a feature that is not finite, or too large to square"),
    "bounds": ("validate", "a feature outside of its bounds"),
    "label_missing": ("label", "no label where there has to be one"),
    "label_type": ("label", "a label of a type that the model cannot learn"),
    "label_class": ("label", "a label that is none of the classes in the settings"),
    "unmatched": ("label", "no prediction for this label's id within the wait"),
    "late": ("label", "the label came after its prediction had expired"),
    "predict_error": ("predict", "the model raised an error when it predicted"),
    "not_finite": ("predict", "the model answered with a number that is not finite"),
    "learn_error": ("learn", "the model raised an error when it learned"),
    "quarantined": ("predict", "the process died, again and again, as it worked on this record"),
    "too_large": ("publish", "the prediction record would be larger than a message may be"),
}
"""Every reason a dead letter can have: the stage it belongs to, and what it means."""


@dataclass(slots=True)
class BatchResult:
    """The result of a batch of one partition; a runner performs all of it or nothing."""

    predictions: list[Output] = field(default_factory=list)
    examples: list[Output] = field(default_factory=list)
    dead_letters: list[Output] = field(default_factory=list)
    notes: list[Output] = field(default_factory=list)
    """For the models topic: settings and skips that a replay needs."""
    positions: dict[InputName, int] = field(default_factory=dict)
    """Per input, the offset after the last record that this result accounts for."""
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    """What to add to the metrics: name and label values to amount; see `metrics`."""
    times: list[int] = field(default_factory=list)
    """Kafka timestamps (ms) of the events predicted on, for the end-to-end latency."""
    scored: list[tuple[Any, Any]] = field(default_factory=list)
    """Predicted and actual values of the examples learned; see `monitoring.quality`."""
    delays: list[int] = field(default_factory=list)
    """How long after its event each label that was learned came, ms."""

    taken: int = 0
    """Number of records consumed."""

    def clear_outputs(self) -> None:
        """Release what is written; counts stay."""
        for written in (self.predictions, self.examples, self.dead_letters, self.notes):
            written.clear()

    def count(self, *name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def learned(self, prediction: Any, label: Any, delay: int) -> None:
        """Count an example whose label came `delay` ms after its event."""
        self.count("learned")
        self.scored.append((prediction, label))
        self.delays.append(delay)

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(
            self.positions or self.predictions or self.examples or self.dead_letters or self.notes
        )
