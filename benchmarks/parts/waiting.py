"""Labels that come later: what an event and its label cost while a million predictions wait."""

from benchmarks import waiting
from benchmarks.contenders import Contender, Millstream
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.parts.selection import LEARNING_RATE, ONCE
from benchmarks.rates import Measure, Run
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.waiting_pairs import Kind, Order
from benchmarks.workloads import delayed, learning

FLOOR = 0.75
"""Of memory's rate: on disk, an event and its label take no more than a third longer."""
LATER, LATER_ON_DISK = "labels later, exactly once", "labels later, waiting on disk"
RATE = 15_000
"""Events a second that are about to be expected with labels that come later."""
LONGER = 3
"""How many times as long as others they are measured: first all those that wait have to come."""


class ProcessorAlone:
    """The worker's own shard with so many predictions waiting, without Kafka."""

    def __init__(self, kind: Kind, order: Order, sizes: Sizes) -> None:
        self.name = name_of(kind, order)
        self._kind, self._order, self._waiting = kind, order, sizes.waiting
        if kind == "memory":
            self._waiting = min(waiting.IN_MEMORY, sizes.waiting)

    def run(self) -> Run:
        """Pairs of an event and its label in a second of the processor's time."""
        pairs = min(waiting.PAIRS, self._waiting)
        found = waiting.run(self._kind, self._waiting, pairs, self._order)
        return Run(1e6 / found.pair, {})


def name_of(kind: Kind, order: Order) -> str:
    """What it is called in the report."""
    of = "the oldest" if order == "oldest first" else "any"
    return f"waiting {'on disk' if kind == 'disk' else 'in memory'}, labels for {of}"


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """The shard alone, disk beside memory; and the worker, later labels beside inline ones."""
    kinds: tuple[Kind, ...] = ("memory", "disk")
    later, measured = delayed(sizes.waiting), LONGER * sizes.events(RATE)
    everything = sizes.waiting + measured
    some = Measure(everything, skip=sizes.waiting / everything)
    everyone: list[Contender] = [
        *(ProcessorAlone(kind, order, sizes) for order in waiting.ORDERS for kind in kinds),
        Millstream(stage, learning(), "exactly_once", ONCE, Measure(sizes.events(LEARNING_RATE))),
        Millstream(stage, later, "exactly_once", LATER, some),
        Millstream(stage, later, "exactly_once", LATER_ON_DISK, some, waiting={"store": "disk"}),
    ]
    processors = [
        Comparison(name_of("disk", order), name_of("memory", order), FLOOR, None)
        for order in waiting.ORDERS
    ]
    # Of those with later labels, both learn the same in the same order.
    workers = [Comparison(LATER, ONCE, tolerance=None), Comparison(LATER_ON_DISK, LATER, FLOOR)]
    return compare(everyone, [*processors, *workers], sizes.rounds, say)


PART = Part(
    "waiting",
    "Labels that come later",
    "*Waiting* is the worker's own shard without Kafka, one event and one label at a time: with a "
    f"million predictions on disk, beside {waiting.IN_MEMORY:,} in memory, whose pace hardly "
    "depends on how many they are. Its rates are events with their labels in a second of the "
    "processor's time. *Labels later* is the whole worker on Kafka, exactly once, each label a "
    "message of its own, a million events after its event, beside the same worker with the label "
    "in the event: twice the messages in, and what was learned goes to a topic besides the "
    "predictions. It counts from when a million predictions wait.",
    240,
    measure,
)
