"""One worker process and two, on four partitions."""

from collections.abc import Iterable

from confluent_kafka import Producer
from tests.support.kafka.app import App
from tests.support.kafka.cluster import wait_until

from benchmarks.child import BenchmarkError
from benchmarks.contenders import Millstream
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.rates import Measure, Run, rate_of
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning

ONE, TWO = "one worker process", "two worker processes"
PARTITIONS = 4
SKIP = 1 / 3
"""Of the events, while they are brought."""
RATE = 80_000


class Assembled(Millstream):
    """Gets its events once its processes have shared out the partitions.

    Otherwise the first one begins with all of them, and the second, which comes some seconds later,
    with what the first has learned: that measures a rebalance.
    """

    def run(self) -> Run:
        """Start one that nobody knows yet, then bring the events."""
        stage, measure = self.stage, self.measure
        events = list(self.workload.events(measure.events))
        app = stage.app(self.workload, partitions=measure.partitions, **self.settings())
        program = self.program(app)

        def feed() -> None:
            wait_until(lambda: self._shared_out(app), 60, "the partitions are shared out")
            _send(app, events)

        try:
            topic = app.topic("predictions")
            return rate_of(program, stage.kafka, topic, measure, feed=feed)
        finally:
            stage.discard(app)

    def _shared_out(self, app: App) -> bool:
        found = app.kafka.admin.describe_consumer_groups([app.name])[app.name].result()
        shares = [
            len(member.assignment.topic_partitions) if member.assignment else 0
            for member in found.members
        ]
        processes = int(self._options[-1])
        return shares == [self.measure.partitions // processes] * processes


def _send(app: App, events: Iterable[bytes]) -> None:
    """As fast as the client can, to be out of the way soon."""
    producer = Producer(
        {**app.kafka.config, "linger.ms": 20, "queue.buffering.max.messages": 10_000_000,
         "queue.buffering.max.kbytes": 2_000_000, "partitioner": "murmur2_random"}
    )  # fmt: skip
    for number, event in enumerate(events):
        producer.produce(app.events, event, str(number))
    if producer.flush(60):
        raise BenchmarkError("the broker did not take all events within a minute")


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """The same events, with one process and with two."""
    how = Measure(sizes.events(RATE), partitions=PARTITIONS, skip=SKIP)
    everyone = [
        Assembled(stage, learning(), "exactly_once", name, how, options=("--workers", number))
        for name, number in ((ONE, "1"), (TWO, "2"))
    ]
    return compare(everyone, [Comparison(TWO, ONE, 1.3)], sizes.rounds, say)


PART = Part(
    "scaling",
    "Two workers",
    f"`millstream run --workers 2` beside one worker, exactly once, scaler and logistic, on a "
    f"topic of {PARTITIONS} partitions, with the broker on the same cores. Events come once the "
    "partitions are shared out.",
    40,
    measure,
)
