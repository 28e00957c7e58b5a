"""What `make bench` measures."""

from dataclasses import replace
from statistics import median

from benchmarks import child, latency
from benchmarks.contenders import Bare, Contender, Millstream, Peer
from benchmarks.measure import Say, Sizes, compare, interleaved
from benchmarks.parts.part import Part
from benchmarks.rates import Measure
from benchmarks.results import Comparison, Limit, Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning, static

# Names of contenders; those of a guarantee are Millstream's.
BARE = "bare River loop"
ONCE = "learning, exactly once"
LEAST = "learning, at least once"
PLAIN = "plain loop"
STATIC_ONCE = "static, exactly once"
STATIC_LEAST = "static, at least once"

LEARNING_RATE, STATIC_RATE = 40_000, 80_000
"""Events a second that are about to be expected."""
CLOSE = 1e-12
"""Vectorised calls depend in the last bit on which rows are predicted together."""
COMPARISONS = (
    Comparison(ONCE, BARE, floor=0.85),
    Comparison(LEAST, BARE),
    Comparison(ONCE, LEAST, floor=0.95),
    Comparison(STATIC_ONCE, PLAIN, floor=0.8, tolerance=CLOSE),
    Comparison(STATIC_LEAST, PLAIN, tolerance=CLOSE),
)
LIMITS = (Limit(ONCE, "p99", 100),)
LOAD = 0.5
"""Latencies are measured under this share of the exactly-once rate."""
LINGER_MS = 5
"""Of that load: the default of Kafka's clients, Java's and librdkafka's. At so many events a second
a request for each millisecond of them keeps load, broker and worker busier than the events do."""


def contenders(stage: Stage, sizes: Sizes) -> list[Contender]:
    """Everyone whose rate is measured, in the order of a round."""
    learns, fixed = learning(), static(stage.folder)
    many = sizes.events(LEARNING_RATE)
    some, more = Measure(many), Measure(sizes.events(STATIC_RATE))
    return [
        Bare(learns, BARE, many),
        Millstream(stage, learns, "exactly_once", ONCE, some),
        Millstream(stage, learns, "at_least_once", LEAST, some),
        Peer(stage, fixed, PLAIN, more, "confluent_loop", backoff_ms=10),
        Millstream(stage, fixed, "exactly_once", STATIC_ONCE, more),
        Millstream(stage, fixed, "at_least_once", STATIC_LEAST, more),
    ]


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Measure everything; `say` is told what was found as it is found."""
    results = compare(contenders(stage, sizes), COMPARISONS, sizes.rounds, say, strict=True)
    worker = Millstream(stage, learning(), "exactly_once", ONCE, Measure(0))
    load = LOAD * median(results.rates[ONCE])
    latencies = interleaved(
        sizes.rounds,
        {ONCE: lambda: latency.measure(
            worker, rate=load, seconds=sizes.latency_seconds, linger_ms=LINGER_MS
        )},
        lambda name, one: say(f"{name}: p50 {one.p50:.1f} ms, p99 {one.p99:.1f} ms"),
    )  # fmt: skip
    rows = interleaved(
        sizes.rounds,
        {"rows": lambda: child.run("rows", sizes=sizes.batch_sizes)},
        lambda *_: say("static models: cost per row"),
    )
    return replace(
        results, latencies=latencies, loads={ONCE: load}, limits=LIMITS, rows=rows["rows"]
    )


PART = Part(
    "selection",
    "The price of the worker",
    "The worker beside a bare loop around the model without Kafka, and beside a loop that is "
    "written by hand; latency at half of the exactly-once rate; what a batch saves. This is what "
    "`make bench` measures.",
    110,
    measure,
)
