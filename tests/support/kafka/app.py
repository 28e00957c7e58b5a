"""An app on a real Kafka, as a test sets it up: settings file, topics, worker, what came out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml
from river import compose, linear_model, optim, preprocessing
from river.datasets import Phishing

from millstream.core.models.interface.state_digest import digest
from tests.support.kafka.cluster import Kafka, Message
from tests.support.kafka.worker import WorkerProcess
from tests.support.validators import validate

SCALED_LOGISTIC = (
    "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.005))"
)
PHISHING = [(dict(x), bool(y)) for x, y in Phishing()]
FEATURES = list(PHISHING[0][0])


def scaled_logistic() -> compose.Pipeline:
    """The same model, bare."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(
        optimizer=optim.SGD(0.005)
    )


def bare_digest(examples: Iterable[tuple[Mapping[str, Any], Any]]) -> str:
    """Digest of the bare model after learning these examples in this order."""
    model = scaled_logistic()
    for features, label in examples:
        model.learn_one(dict(features), label)
    return digest(model)


class App:
    """One app with topics and a settings file of its own."""

    def __init__(
        self,
        kafka: Kafka,
        folder: Path,
        *,
        model: str | Mapping[str, Any] = SCALED_LOGISTIC,
        labels: Mapping[str, Any] | None = None,
        events: Mapping[str, Any] | None = None,
        partitions: int = 1,
        name: str = "app",
        inputs_of: "App | None" = None,
        topic_config: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`inputs_of`: work on the events and labels of another app, under a name of one's own."""
        self.kafka = kafka
        self.name = kafka.unique(name)
        self.partitions = partitions
        source = inputs_of or self
        self.events = f"{source.name}.events"
        self.labels = f"{source.name}.labels"
        self.late = labels is not None and labels.get("from") == "topic"
        self.settings: dict[str, Any] = {
            "app": self.name,
            "kafka": {"bootstrap.servers": kafka.bootstrap},
            "events": {"topic": self.events, "id": "id", "features": FEATURES, **(events or {})},
            "labels": dict(labels or {"from": "event"}),
            "model": {"river": model} if isinstance(model, str) else dict(model),
            "http": {"port": 0},
            **settings,
        }
        if self.settings["labels"]["from"] == "event":
            self.settings["events"].setdefault("label", "label")
        if self.late:
            self.settings["labels"]["topic"] = self.labels
        self.file = folder / f"{self.name}.yaml"
        self.write_settings()
        outputs = [
            self.topic(each) for each in ("predictions", "examples", "models", "dead-letters")
        ]
        inputs = [] if inputs_of else [self.events, self.labels]
        kafka.create_topics(*inputs, *outputs, partitions=partitions, config=topic_config)

    def write_settings(self, **changes: Any) -> None:
        """Write the settings file, with changes at its top level."""
        self.settings |= changes
        self.file.write_text(yaml.safe_dump(self.settings, sort_keys=False))

    def topic(self, role: str) -> str:
        """Name of an output topic."""
        return f"{self.name}.{role}"

    def worker(self, number: int = 0) -> WorkerProcess:
        """A worker of this app, to be started."""
        return WorkerProcess(self.file, log=self.file.with_suffix(f".{number}.log"))

    def send(
        self,
        topic: str,
        documents: Iterable[tuple[Any, Any]],
        *,
        times: Sequence[int] | None = None,
        partition: int | None = None,
    ) -> None:
        """Publish (id, document) pairs with the id as key."""
        self.kafka.produce(
            topic,
            (
                (str(identity), document if isinstance(document, bytes) else orjson.dumps(document),
                 None, None if times is None else times[i], partition)
                for i, (identity, document) in enumerate(documents)
            ),
        )  # fmt: skip

    def read(self, role: str, *, committed: bool = True) -> list[Message]:
        """All that stands in an output topic, checked against its contract."""
        messages = self.kafka.read(self.topic(role), committed=committed)
        kind = {"predictions": "prediction", "examples": "example", "models": "model-note"}
        if role == "models":  # chunks of snapshots are no JSON, and a deletion has no value
            messages = [m for m in messages if b"/snapshot/" not in (m.key or b"")]
        if role in kind:
            for message in messages[:50] + messages[-50:]:
                validate(kind[role], message.json)
        return messages

    def snapshots(self) -> list[dict[str, Any]]:
        """The pointers to snapshots that stand in the models topic, oldest first."""
        pointers: dict[bytes, dict[str, Any] | None] = {}
        for message in self.kafka.read(self.topic("models")):
            key = message.key or b""
            if re.fullmatch(rb"\d+/snapshot/[^/]+", key):
                pointers.pop(key, None)
                pointers[key] = message.json if message.value is not None else None
                if pointers[key]:
                    validate("snapshot", pointers[key])
        return [pointer for pointer in pointers.values() if pointer is not None]

    def predictions(self, *, committed: bool = True) -> list[dict[str, Any]]:
        """The prediction records."""
        return [message.json for message in self.read("predictions", committed=committed)]

    def examples(self, *kinds: str) -> list[dict[str, Any]]:
        """The example records, of some kinds only if any are named."""
        records = [message.json for message in self.read("examples")]
        return [record for record in records if not kinds or record["kind"] in kinds]

    def dead_letters(self) -> list[dict[str, str]]:
        """The headers of ours that dead letters carry; notes of replays are none."""
        found = [
            {name: (value or b"").decode(errors="replace") for name, value in message.headers
             if name.startswith("millstream-")}
            for message in self.read("dead-letters")
        ]  # fmt: skip
        return [headers for headers in found if "millstream-stage" in headers]

    def handled(self) -> int:
        """How many events have come to a prediction or a dead letter, repeats included."""
        events = sum(
            1 for letter in self.dead_letters() if letter["millstream-topic"] == self.events
        )
        return len(self.kafka.read(self.topic("predictions"))) + events

    def unhandled(self, sent: int) -> str:
        """Which of the events 0 to `sent` have come to no prediction, for a failure."""
        sources = {
            (record["source"]["partition"], record["source"]["offset"])
            for record in self.predictions()
        }
        lines = [f"of {sent} events {len(sources)} are predicted"]
        for partition, end in sorted(self.kafka.end_offsets(self.events).items()):
            missing = [each for each in range(end) if (partition, each) not in sources]
            committed = self.kafka.committed(self.name, self.events, partition)
            lines.append(f"partition {partition}: {end=} {committed=} missing={_runs(missing)}")
        return "\n".join(lines)

    def resolved(self) -> int:
        """How many predictions have met their label or expired."""
        return len(self.examples("learned", "expired", "failed"))


def _runs(offsets: Sequence[int]) -> str:
    """Offsets as FROM-TO, the first few."""
    known = set(offsets)
    starts = [each for each in offsets if each - 1 not in known]
    ends = [each for each in offsets if each + 1 not in known]
    runs = [f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]
    return f"{len(offsets)}: {', '.join(runs[:5])}"


def event_of(number: int, *, label: bool = True) -> tuple[int, dict[str, Any]]:
    """Website `number` of the Phishing data set as an event."""
    features, truth = PHISHING[number % len(PHISHING)]
    return number, {"id": number, **features, **({"label": truth} if label else {})}


def label_of(number: int) -> tuple[int, dict[str, Any]]:
    """Its label, as a message of its own."""
    return number, {"id": number, "label": PHISHING[number % len(PHISHING)][1]}


def released_digests(worker: WorkerProcess) -> dict[int, str]:
    """Partition to digest of the weights, as the worker last logged it when it gave a shard up."""
    found = re.findall(r"shard released.*?partition=(\d+).*?digest=([0-9a-f]+)", worker.log_text())
    return {int(partition): value for partition, value in found}
