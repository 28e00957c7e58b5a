"""End-to-end latency, of the worker and of others."""

from collections.abc import Callable

from benchmarks import latency
from benchmarks.contenders import Millstream, OnKafka, Peer
from benchmarks.latency import Latency
from benchmarks.measure import Say, Sizes, in_short, interleaved
from benchmarks.parts.part import Part
from benchmarks.parts.peers import aiokafka, faststream, quix
from benchmarks.rates import Measure
from benchmarks.results import Limit, Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning

RATE, LOW = 2_000, 100
"""Events a second."""
ONCE = "exactly once"
LEAST = "at least once"
ONCE_LOW = f"exactly once, at {LOW}/s"
LIMITS = (
    Limit(ONCE, "p50", 10),
    Limit(ONCE, "p99", 40),
    Limit(LEAST, "p99", 20),
    Limit(ONCE_LOW, "p50", 6),
)
NONE = Measure(0)


def contenders(stage: Stage) -> dict[str, tuple[OnKafka, float]]:
    """Name to who it is, and under which load; faust and FastStream's single could not keep up."""
    work = learning()

    def millstream(guarantee: str) -> Millstream:
        return Millstream(stage, work, guarantee, guarantee, NONE)

    def hand(transaction_ms: int | None) -> Peer:
        return Peer(
            stage, work, "", NONE, "confluent_loop", backoff_ms=10, transaction_ms=transaction_ms
        )

    once = millstream("exactly_once")
    found: dict[str, OnKafka] = {
        LEAST: millstream("at_least_once"),
        "hand-written, at least once": hand(None),
        "hand-written, transaction every 10 ms": hand(10),
        "hand-written, transaction every 100 ms": hand(100),
        "aiokafka, at least once": aiokafka(stage, work, "", NONE),
        "aiokafka, transactional": aiokafka(stage, work, "transactional", NONE),
        "quixstreams, at least once": quix(stage, work, "", NONE, 5.0),
        "quixstreams, exactly once": quix(stage, work, "exactly once", NONE, 5.0),
        "quixstreams, exactly once, every 100 ms": quix(stage, work, "exactly once", NONE, 0.1),
        "FastStream, batch": faststream(stage, work, "batch", NONE),
    }
    return {
        ONCE: (once, RATE),
        ONCE_LOW: (once, LOW),
        **{name: (each, RATE) for name, each in found.items()},
    }


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Everyone in turn."""
    failures: dict[str, str] = {}

    def failed(name: str, error: Exception) -> None:
        failures[name] = in_short(error)
        say(f"{name} does not count: {error}")

    everyone = contenders(stage)

    def of(contender: OnKafka, rate: float) -> Callable[[], Latency]:
        return lambda: latency.measure(contender, rate=rate, seconds=sizes.latency_seconds)

    found = interleaved(
        sizes.rounds,
        {name: of(contender, rate) for name, (contender, rate) in everyone.items()},
        lambda name, one: say(f"{name}: p50 {one.p50:.1f} ms, p99 {one.p99:.1f} ms"),
        failed,
    )
    loads = {name: everyone[name][1] for name in found}
    limits = [limit for limit in LIMITS if limit.name in found]
    return Results(latencies=found, loads=loads, limits=limits, failures=failures)


PART = Part(
    "latency",
    "Latency",
    f"At {RATE:,} events a second, from when an event was due until a `read_committed` reader has "
    "its prediction. Loops written by hand have the tuned fetch. Faust and FastStream's single "
    "messages cannot keep up with that load and are left out.",
    165,
    measure,
)
