"""Work for a broker that has just started, before anything is measured on it.

A JVM compiles what runs often only after a while: what was measured on a broker in its first minute
was a third slower than the same three minutes later, and whoever came first in a round paid for it.
That goes for small transactions as well, which few events bring about.
"""

from benchmarks import latency
from benchmarks.contenders import Millstream
from benchmarks.rates import Measure
from benchmarks.stage import Stage
from benchmarks.workloads import learning, static

EVENTS = 700_000
"""For each guarantee; after about a million and a half, rates do not rise any more."""
RATE, SECONDS = 2_000, 30.0
"""For small transactions: some 200 a second."""


def warm_up(stage: Stage) -> None:
    """Fetches, writes and commits of all kinds, on topics of their own; two minutes."""
    workload = static(stage.folder)
    for guarantee in ("exactly_once", "at_least_once"):
        Millstream(stage, workload, guarantee, "warm-up", Measure(EVENTS)).run()
    worker = Millstream(stage, learning(), "exactly_once", "warm-up", Measure(0))
    latency.measure(worker, rate=RATE, seconds=SECONDS)
