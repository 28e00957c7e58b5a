"""Who is measured: each is told to work off the same events, and says how fast that was.

To add one: a class with `name` and `run`; a program that reads and writes Kafka starts as a
`Loop` (see `PlainLoop`) and is measured by `rates.rate_of` like all the others.
"""

from typing import Any, Protocol

from benchmarks import child
from benchmarks.rates import Run, rate_of
from benchmarks.stage import Stage
from benchmarks.workloads import Workload


class Contender(Protocol):
    """One of those whose rates are compared."""

    name: str

    def run(self) -> Run:
        """Work off the events once. Raises BenchmarkError where that does not count."""


class BareRiver:
    """The bare loop around River; see bare_river.py."""

    def __init__(self, stage: Stage, workload: Workload, name: str) -> None:
        self.name = name
        self._events = stage.counts[workload.name]

    def run(self) -> Run:
        """Time it in a process of its own."""
        return Run(**child.run("bare_river", events=self._events))


class Millstream:
    """`millstream run`, as a user starts it, with the settings' defaults."""

    def __init__(
        self, stage: Stage, workload: Workload, guarantee: str, name: str, **settings: Any
    ) -> None:
        self.name = name
        self._stage, self._workload = stage, workload
        self._settings = {"processing_guarantee": guarantee, **settings}

    def run(self) -> Run:
        """Start a worker that nobody knows yet on events that are all there."""
        stage, events = self._stage, self._stage.counts[self._workload.name]
        app = stage.app(self._workload, preloaded=True, **self._settings)
        try:
            return rate_of(app.worker(), stage.kafka, app.topic("predictions"), events)
        finally:
            stage.discard(app)


class PlainLoop:
    """A hand-written loop around the static model; see plain_loop.py."""

    def __init__(self, stage: Stage, workload: Workload, name: str) -> None:
        self.name = name
        self._stage, self._workload = stage, workload

    def run(self) -> Run:
        """Start it on the same events."""
        stage, events = self._stage, self._stage.counts[self._workload.name]
        app = stage.app(self._workload, preloaded=True)
        loop = child.Loop(
            "plain_loop",
            app.file.with_suffix(".log"),
            bootstrap=stage.kafka.bootstrap,
            group=app.name,
            events=app.events,
            predictions=app.topic("predictions"),
            model=self._workload.files["model"],
        )
        try:
            return rate_of(loop, stage.kafka, app.topic("predictions"), events)
        finally:
            stage.discard(app)
