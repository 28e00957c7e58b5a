"""How fast a worker that has no snapshot replays its log."""

import re
import time

from tests.support.kafka.cluster import wait_until

from benchmarks.child import BenchmarkError
from benchmarks.contenders import Bare, Contender, Millstream
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.parts.selection import BARE
from benchmarks.rates import Measure, Run
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning

REPLAY = "replay of the log"
RATE = 40_000
PATIENCE_SECONDS = 300.0
_NO_SNAPSHOT = {"every": "7d", "examples": 10**9}


class Replay:
    """A worker that was killed after all events, and starts again."""

    def __init__(self, stage: Stage, name: str, events: int) -> None:
        self.name = name
        self._events = events
        self._stage = stage
        self._worker = Millstream(
            stage, learning(), "exactly_once", name, Measure(events), snapshots=_NO_SNAPSHOT
        )

    def run(self) -> Run:
        """Work the events off, kill it, and time the restore by its own log."""
        app = self._stage.app(learning(), events=self._events, **self._worker.settings())
        program = self._worker.program(app)
        committed = self._stage.kafka.committed
        try:
            with program:
                program.wait_until(
                    lambda: committed(app.name, app.events) == self._events, PATIENCE_SECONDS
                )
                program.sigkill()
                before = len(program.log_text())
                program.start()
                began = time.monotonic()
                wait_until(lambda: "restored (" in program.log_text()[before:], PATIENCE_SECONDS)
                waited = time.monotonic() - began
                said = program.log_text()[before:]
                program.sigkill()
        finally:
            self._stage.discard(app)
        found = re.search(r"restored .*?seconds=([0-9.]+)", said)
        if found is None:
            raise BenchmarkError(f"the log does not say how long the restore took ({waited:.1f} s)")
        return Run(self._events / float(found[1]), {})


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Beside the bare loop, which does the same work."""
    events = 2 * sizes.events(RATE)
    everyone: list[Contender] = [Bare(learning(), BARE, events), Replay(stage, REPLAY, events)]
    comparisons = [Comparison(REPLAY, BARE, tolerance=None)]
    return compare(everyone, comparisons, sizes.rounds, say)


PART = Part(
    "restore",
    "Restoring from the log",
    "A worker of scaler and logistic is killed once it has worked off everything, with no snapshot "
    "taken, and replays the whole log, beside a bare loop over the same events. A snapshot, by "
    "default every five minutes or 100,000 examples, bounds how much has to be replayed.",
    40,
    measure,
    per_million=True,
)
