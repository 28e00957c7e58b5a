"""Millstream beside others on the same events and model."""

from dataclasses import replace

from benchmarks import environments
from benchmarks.contenders import Bare, Contender, Millstream, Peer
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.parts.selection import BARE, CLOSE, LEAST, ONCE, PLAIN, STATIC_ONCE
from benchmarks.rates import Measure
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.workloads import Workload, learning, static

UNTUNED = "hand-written, at least once"
TUNED = "hand-written, at least once, tuned fetch"
EVERY_100 = "hand-written, transaction every 100 ms"
EVERY_100_TUNED = "hand-written, transaction every 100 ms, tuned fetch"
EVERY_10_TUNED = "hand-written, transaction every 10 ms, tuned fetch"
AIOKAFKA = "aiokafka, at least once"
AIOKAFKA_ONCE = "aiokafka, transactional"
QUIX = "quixstreams, at least once"
QUIX_ONCE = "quixstreams, exactly once"
FASTSTREAM = "FastStream, batch"
FASTSTREAM_SINGLE = "FastStream, single"
FAUST = "faust with take"
FAUST_SINGLE = "faust, single"
BYTEWAX = "bytewax"
FLINK_ONCE = "PyFlink, exactly once"
SPARK = "Spark Structured Streaming"

COMMIT_SECONDS = 1.0
"""Of quixstreams, whose default of 5 s would want five times the events for the same figure; and of
PyFlink, which has no default."""
WARM = 0.5
"""The share of the events with which those on a JVM of their own get warm."""
FLOORS = {
    LEAST: 0.95,     EVERY_100: 1.25, EVERY_100_TUNED: 1.05, AIOKAFKA_ONCE: 2.0, QUIX_ONCE: 3.2,
    FASTSTREAM: 6.8, FAUST: 20.0, FAUST_SINGLE: 20.0, BYTEWAX: 1.5,
    FLINK_ONCE: 1.7,
}  # fmt: skip
STATIC_FLOORS = {PLAIN: 0.8}


def contenders(stage: Stage, sizes: Sizes) -> list[Contender]:
    """Everyone, in the order of a round."""
    return [
        Bare(learning(), BARE, sizes.events(50_000)),
        *learners(stage, sizes),
        *static_ones(stage, sizes),
    ]


def learners(stage: Stage, sizes: Sizes) -> list[Contender]:
    """Those that learn."""
    work = learning()

    def millstream(guarantee: str, name: str) -> Millstream:
        return Millstream(stage, work, guarantee, name, Measure(sizes.events(40_000)))

    def hand(name: str, transaction_ms: int | None, backoff_ms: int | None = 10) -> Peer:
        return Peer(
            stage, work, name, Measure(sizes.events(40_000)), "confluent_loop",
            transaction_ms=transaction_ms, backoff_ms=backoff_ms,
        )  # fmt: skip

    return [
        millstream("exactly_once", ONCE),
        millstream("at_least_once", LEAST),
        hand(UNTUNED, None, None),
        hand(TUNED, None),
        hand(EVERY_100, 100, None),
        hand(EVERY_100_TUNED, 100),
        hand(EVERY_10_TUNED, 10),
        aiokafka(stage, work, AIOKAFKA, Measure(sizes.events(24_000))),
        aiokafka(stage, work, AIOKAFKA_ONCE, Measure(sizes.events(20_000))),
        quix(stage, work, QUIX, _quix_measure(sizes, 14_000)),
        quix(stage, work, QUIX_ONCE, _quix_measure(sizes, 13_000)),
        faststream(stage, work, FASTSTREAM, Measure(sizes.events(6_000))),
        faststream(stage, work, FASTSTREAM_SINGLE, Measure(sizes.events(600))),
        faust(stage, work, FAUST, Measure(sizes.events(2_000))),
        faust(stage, work, FAUST_SINGLE, Measure(sizes.events(1_500))),
        bytewax(stage, work, BYTEWAX, Measure(sizes.events(25_000))),
        flink(stage, work, FLINK_ONCE, _warm_measure(sizes, 20_000)),
        spark(stage, work, SPARK, _warm_measure(sizes, 10_000), 20_000),
    ]


def static_ones(stage: Stage, sizes: Sizes) -> list[Contender]:
    """Those that call a fitted model; not all, since the order is the same."""
    work = static(stage.folder)
    fast = Measure(sizes.events(80_000))
    return [
        Millstream(stage, work, "exactly_once", STATIC_ONCE, fast),
        Peer(stage, work, PLAIN, fast, "confluent_loop", backoff_ms=10),
        aiokafka(stage, work, _static(AIOKAFKA_ONCE), Measure(sizes.events(30_000))),
        quix(stage, work, _static(QUIX_ONCE), _quix_measure(sizes, 3_000)),
        faststream(stage, work, _static(FASTSTREAM), Measure(sizes.events(6_000))),
        bytewax(stage, work, _static(BYTEWAX), Measure(sizes.events(8_000))),
        flink(stage, work, _static(FLINK_ONCE), _warm_measure(sizes, 30_000)),
        spark(stage, work, _static(SPARK), _warm_measure(sizes, 15_000), 30_000),
    ]


def aiokafka(stage: Stage, work: Workload, name: str, measure: Measure) -> Peer:
    """The one of that name; likewise those below."""
    return Peer(
        stage, work, name, measure, "aiokafka_loop", environment="aiokafka",
        transactional="transactional" in name,
    )  # fmt: skip


def quix(
    stage: Stage, work: Workload, name: str, measure: Measure, seconds: float = COMMIT_SECONDS
) -> Peer:
    """Commits every `seconds`."""
    guarantee = "exactly-once" if "exactly once" in name else "at-least-once"
    return Peer(
        stage, work, name, measure, "quix", environment="quix",
        guarantee=guarantee, commit_seconds=seconds,
    )  # fmt: skip


def faststream(stage: Stage, work: Workload, name: str, measure: Measure) -> Peer:
    """Batch or single."""
    return Peer(
        stage, work, name, measure, "faststream_app", environment="faststream",
        batch="batch" in name,
    )  # fmt: skip


def faust(stage: Stage, work: Workload, name: str, measure: Measure) -> Peer:
    """With `take` or without."""
    take = 1000 if "take" in name else None
    return Peer(stage, work, name, measure, "faust_app", environment="faust", take=take)


def bytewax(stage: Stage, work: Workload, name: str, measure: Measure) -> Peer:
    """Without recovery."""
    return Peer(stage, work, name, measure, "bytewax_flow", environment="bytewax")


def flink(stage: Stage, work: Workload, name: str, measure: Measure) -> Peer:
    """Checkpoints, and with them commits, every `COMMIT_SECONDS`."""
    return Peer(
        stage, work, name, measure, "flink_job", environment="flink",
        guarantee="exactly-once", checkpoint_ms=round(COMMIT_SECONDS * 1000),
        folder=str(stage.folder),
    )  # fmt: skip


def spark(stage: Stage, work: Workload, name: str, measure: Measure, trigger_events: int) -> Peer:
    """`trigger_events`: the most of a micro-batch, about two seconds' worth."""
    return Peer(
        stage, work, name, measure, "spark_stream", environment="spark",
        trigger_events=trigger_events, folder=str(stage.folder),
    )  # fmt: skip


def _warm_measure(sizes: Sizes, rate: float) -> Measure:
    """Enough for several commits after a JVM, which starts slow, has got warm."""
    seconds = max(sizes.seconds, 4 * COMMIT_SECONDS) / (1 - WARM)
    events = replace(sizes, seconds=seconds).events(rate)
    return Measure(events, quiet=2.5 * COMMIT_SECONDS, skip=WARM)


def _quix_measure(sizes: Sizes, rate: float) -> Measure:
    """Enough for several commits, and no end before the last one has come."""
    seconds = max(sizes.seconds, 4 * COMMIT_SECONDS)
    return Measure(replace(sizes, seconds=seconds).events(rate), quiet=2.5 * COMMIT_SECONDS)


def _static(name: str) -> str:
    return f"static, {name}"


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Compare the exactly-once worker with everyone."""
    everyone = contenders(stage, sizes)
    names = [each.name for each in everyone]
    fixed = names.index(STATIC_ONCE)
    comparisons = [
        Comparison(ONCE, name, FLOORS.get(name)) for name in names[:fixed] if name != ONCE
    ] + [
        Comparison(STATIC_ONCE, name, STATIC_FLOORS.get(name), CLOSE) for name in names[fixed + 1 :]
    ]
    results = compare(everyone, comparisons, sizes.rounds, say)
    return replace(results, machine={**results.machine, **environments.all_versions()})


PART = Part(
    "peers",
    "Beside others",
    "The exactly-once worker beside loops written by hand and beside frameworks, each as its own "
    "documentation advises ([peers](peers)), on the same topic, events and model, writing the same "
    "fields and answers. A *tuned fetch* is `fetch.queue.backoff.ms: 10`, which the worker sets.",
    340,
    measure,
)
