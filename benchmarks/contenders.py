"""Who is measured: each is told to work off the same events, and says how fast that was.

To add one: a program in `peers/` that reads events and writes predictions, and a `Peer` of it.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from tests.support.kafka.app import App
from tests.support.kafka.cluster import wait_until
from tests.support.kafka.worker import WorkerProcess

from benchmarks import child, environments
from benchmarks.rates import Measure, Run, rate_of
from benchmarks.stage import Stage
from benchmarks.workloads import Workload

JOIN_SECONDS = 60.0


class Contender(Protocol):
    """One of those whose rates are compared."""

    name: str

    def run(self) -> Run:
        """Work off the events once. Raises BenchmarkError where that does not count."""


class Bare:
    """A bare loop around the model, without Kafka: bare_river.py, bare_static.py."""

    def __init__(self, workload: Workload, name: str, events: int) -> None:
        self.name = name
        self._workload, self._events = workload, events

    def run(self) -> Run:
        """Time it in a process of its own."""
        work = self._workload
        if "model" in work.files:
            found = child.run("bare_static", events=self._events, features=work.features,
                              model=work.files["model"])  # fmt: skip
        else:
            found = child.run("bare_river", events=self._events, features=work.features,
                              model=work.river)  # fmt: skip
        return Run(found["rate"], {int(at): document for at, document in found["answers"].items()})


class OnKafka:
    """A program that reads events from Kafka and writes predictions there."""

    polite = True
    """Whether it has to end well when it is told to."""

    def __init__(self, stage: Stage, workload: Workload, name: str, measure: Measure) -> None:
        self.name = name
        self.stage, self.workload, self.measure = stage, workload, measure

    def settings(self) -> Mapping[str, Any]:
        """What the settings file has besides the workload's."""
        return {}

    def program(self, app: App) -> WorkerProcess:
        """The program on that app's topics, to be started."""
        raise NotImplementedError

    def joined(self, app: App, program: WorkerProcess) -> None:
        """Wait until it would answer an event that comes now."""
        raise NotImplementedError

    def run(self) -> Run:
        """Start one that nobody knows yet on events that are all there."""
        stage, measure = self.stage, self.measure
        app = stage.app(
            self.workload, events=measure.events, partitions=measure.partitions, **self.settings()
        )
        topic = app.topic("predictions")
        try:
            return rate_of(self.program(app), stage.kafka, topic, measure, polite=self.polite)
        finally:
            stage.discard(app)


class Millstream(OnKafka):
    """`millstream run`, as a user starts it, with the settings' defaults."""

    def __init__(
        self,
        stage: Stage,
        workload: Workload,
        guarantee: str,
        name: str,
        measure: Measure,
        *,
        options: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        """`options`: of the command; `settings`: those that are not defaults."""
        super().__init__(stage, workload, name, measure)
        self._settings = {"processing_guarantee": guarantee, **settings}
        self._options = options

    def settings(self) -> Mapping[str, Any]:
        """Those that are not defaults."""
        return self._settings

    def program(self, app: App) -> WorkerProcess:
        """The worker."""
        log = app.file.with_suffix(".log")
        return WorkerProcess(app.file, log=log, options=self._options, fresh=True)

    def joined(self, app: App, program: WorkerProcess) -> None:  # noqa: ARG002 - others need it
        """Its log says so."""
        program.wait_for_log("restored (")


class Peer(OnKafka):
    """A program of `peers/`, in an environment of its own."""

    polite = False  # nothing depends on how it ends: all that counts is there by then

    def __init__(
        self,
        stage: Stage,
        workload: Workload,
        name: str,
        measure: Measure,
        program: str,
        *,
        environment: str | None = None,
        **options: Any,
    ) -> None:
        """`program`: module; `environment`: whose, None for our own; `options`: the program's."""
        super().__init__(stage, workload, name, measure)
        self._program, self._environment, self._options = program, environment, options

    def program(self, app: App) -> WorkerProcess:
        """The program, after its environment was made if need be."""
        python = {} if self._environment is None else {
            "python": environments.interpreter(self._environment)
        }  # fmt: skip
        return child.Loop(
            f"peers.{self._program}",
            app.file.with_suffix(".log"),
            **python,
            bootstrap=self.stage.kafka.bootstrap,
            group=app.name,
            events=app.events,
            predictions=app.topic("predictions"),
            model=self.workload.files.get("model"),
            **self._options,
        )

    def joined(self, app: App, program: WorkerProcess) -> None:
        """Its group is stable, and has a member to which the partition is assigned."""
        wait_until(lambda: not program.running or self._assigned(app.name), JOIN_SECONDS, "joined")

    def _assigned(self, group: str) -> bool:
        found = self.stage.kafka.admin.describe_consumer_groups([group])[group].result()
        return any(
            member.assignment and member.assignment.topic_partitions for member in found.members
        )
