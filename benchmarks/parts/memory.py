"""Memory of a worker over time, at constant load."""

import time
from pathlib import Path

from benchmarks import child
from benchmarks.child import BenchmarkError
from benchmarks.contenders import Millstream
from benchmarks.measure import Say, Sizes
from benchmarks.parts.part import Part
from benchmarks.rates import Measure
from benchmarks.results import Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning

RATE = 5_000
"""Events a second."""
EVERY_SECONDS = 1.0
NAME = f"exactly once, {RATE:,} events/s"
_KB = 1024


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Load a worker, and look at what it occupies every second."""
    worker = Millstream(stage, learning(), "exactly_once", NAME, Measure(0))
    app = stage.app(worker.workload, **worker.settings())
    series: list[tuple[float, float]] = []
    try:
        with worker.program(app) as program:
            worker.joined(app, program)
            sending = child.started(
                "load", bootstrap=stage.kafka.bootstrap, topic=app.events, rate=RATE,
                count=int(RATE * sizes.memory_seconds),
            )  # fmt: skip
            with sending as load:
                began = time.monotonic()
                while load.poll() is None and program.running:
                    series.append((time.monotonic() - began, resident_mb(program.process.pid)))
                    time.sleep(EVERY_SECONDS)
                child.result(load)
            if program.stop():
                raise BenchmarkError(f"it did not end well; {program.log_text()[-2000:]}")
    finally:
        stage.discard(app)
    say(f"{NAME}: {series[0][1]:.0f} MB at first, {series[-1][1]:.0f} MB in the end")
    return Results(memory={NAME: series})


def resident_mb(pid: int) -> float:
    """What a process occupies, as Linux counts it (`VmRSS`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / _KB
    raise BenchmarkError(f"process {pid} has no memory")


PART = Part(
    "memory",
    "Memory over time",
    "What a worker occupies at constant load. A minute shows whether it grows with each event, not "
    "what becomes of it in a week.",
    80,
    measure,
    once=True,
)
