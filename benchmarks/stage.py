"""The Kafka that everything is measured on, and the topics on it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.kafka.app import App
from tests.kafka.cluster import Kafka
from tests.kafka.fixture import local_kafka, missing_for_local_kafka

from benchmarks.child import BenchmarkError
from benchmarks.workloads import Workload


@dataclass
class Stage:
    """A Kafka, a folder for settings and logs, and how many events a run works off."""

    kafka: Kafka
    folder: Path
    counts: Mapping[str, int]
    """Workload name to number of events."""
    _sources: dict[str, App] = field(default_factory=dict)

    def app(self, workload: Workload, *, preloaded: bool, **settings: Any) -> App:
        """An app that has done nothing yet, on one partition.

        Its events are there already (`preloaded`, the same for all), or its topic is empty.
        """
        source = self._source(workload) if preloaded else None
        return self._new(workload, f"bench-{workload.name}", inputs_of=source, **settings)

    def _source(self, workload: Workload) -> App:
        if workload.name not in self._sources:
            source = self._sources[workload.name] = self._new(workload, "bench-input")
            events = workload.events(self.counts[workload.name])
            keyed = ((str(number), raw, None, None, None) for number, raw in enumerate(events))
            self.kafka.produce(source.events, keyed)
        return self._sources[workload.name]

    def _new(self, workload: Workload, name: str, **settings: Any) -> App:
        return App(self.kafka, self.folder, name=name, **workload.settings, **settings)

    def discard(self, app: App) -> None:
        """Delete the topics of an app that is done with; those it only read stay."""
        there = self.kafka.admin.list_topics(timeout=10).topics
        for future in self.kafka.admin.delete_topics(
            [topic for topic in there if topic.startswith(f"{app.name}.")]
        ).values():
            future.result()

    def close(self) -> None:
        """Delete the inputs."""
        for source in self._sources.values():
            self.discard(source)
        self._sources.clear()


@contextmanager
def open_stage(counts: Mapping[str, int]) -> Iterator[Stage]:
    """Use the Kafka of `KAFKA_BOOTSTRAP_SERVERS`, or start one; leave nothing behind.

    Raises BenchmarkError where there is neither.
    """
    with TemporaryDirectory(prefix="millstream-bench-") as folder, _some_kafka() as kafka:
        stage = Stage(kafka, Path(folder), counts)
        try:
            yield stage
        finally:
            stage.close()


@contextmanager
def _some_kafka() -> Iterator[Kafka]:
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Kafka(given)
        return
    if missing := missing_for_local_kafka():
        raise BenchmarkError(missing)
    with local_kafka() as cluster:
        # Its clients outlive the broker by a moment, and would complain of that.
        yield Kafka(cluster.env["KAFKA_BOOTSTRAP_SERVERS"], {"log_level": 2})
