"""One worker process and two, on four partitions."""

from benchmarks.contenders import Millstream
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.rates import Measure
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning

ONE, TWO = "one worker process", "two worker processes"
PARTITIONS = 4
SKIP = 1 / 3
"""Of the events, while two processes share out the partitions between them."""
RATE = 80_000


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """The same events, with one process and with two."""
    how = Measure(sizes.events(RATE), partitions=PARTITIONS, skip=SKIP)
    everyone = [
        Millstream(stage, learning(), "exactly_once", name, how, options=("--workers", number))
        for name, number in ((ONE, "1"), (TWO, "2"))
    ]
    return compare(everyone, [Comparison(TWO, ONE, 1.3)], sizes.rounds, say)


PART = Part(
    "scaling",
    "Two workers",
    f"`millstream run --workers 2` beside one worker, exactly once, scaler and logistic, on a "
    f"topic of {PARTITIONS} partitions, with the broker on the same cores.",
    40,
    measure,
)
