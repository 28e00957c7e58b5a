"""The Kafka that everything is measured on, and the topics on it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.kafka.app import App
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.fixture import local_kafka, missing_for_local_kafka

from benchmarks.child import BenchmarkError
from benchmarks.workloads import Workload

HEAP = "2g"
"""Of the broker that is started: with half a gigabyte it stood still for 40 to 60 ms again and
again, to collect its garbage. Kafka's own script has 1 GB, its documentation 6."""


@dataclass
class Stage:
    """A Kafka, and a folder for settings and logs."""

    kafka: Kafka
    folder: Path
    _sources: dict[tuple[str, int, int], App] = field(default_factory=dict)

    def app(
        self, workload: Workload, *, events: int = 0, partitions: int = 1, **settings: Any
    ) -> App:
        """An app that has done nothing yet.

        So many events are there already, the same for all who ask for as many; or none.
        """
        source = self._source(workload, events, partitions) if events else None
        return self.new(workload, "bench", inputs_of=source, partitions=partitions, **settings)

    def _source(self, workload: Workload, count: int, partitions: int) -> App:
        key = workload.name, count, partitions
        if key not in self._sources:
            source = self.new(workload, "bench-input", partitions=partitions)
            self._sources[key] = source
            # An event a millisecond, and all of them over: labels are taken by their time.
            began = round(time.time() * 1000) - count - workload.behind - 1000
            self.send(source.events, workload.events(count), began)
            if workload.behind:
                self.send(source.labels, workload.labels(count), began + workload.behind)
        return self._sources[key]

    def send(self, topic: str, values: Iterator[bytes], began: int, first: int = 0) -> None:
        """Each with its number as key, and so many milliseconds after number 0."""
        sent = ((str(i), value, None, began + i, None) for i, value in enumerate(values, first))
        self.kafka.produce(topic, sent)

    def new(self, workload: Workload, name: str, **settings: Any) -> App:
        """An app with empty topics; `discard` it."""
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
def open_stage() -> Iterator[Stage]:
    """Use the Kafka of `KAFKA_BOOTSTRAP_SERVERS`, or start one; leave nothing behind.

    Raises BenchmarkError where there is neither.
    """
    with TemporaryDirectory(prefix="millstream-bench-") as folder, _some_kafka() as kafka:
        stage = Stage(kafka, Path(folder))
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
    with local_kafka("--heap", HEAP) as cluster:
        # Its clients outlive the broker by a moment, and would complain of that.
        yield Kafka(cluster.env["KAFKA_BOOTSTRAP_SERVERS"], {"log_level": 2})
