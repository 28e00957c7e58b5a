"""The worker beside loops that only move events: what no worker on these clients could beat."""

from dataclasses import replace

from benchmarks.contenders import Bare, Contender, Millstream, Peer
from benchmarks.measure import Say, Sizes, compare
from benchmarks.parts.part import Part
from benchmarks.parts.selection import BARE, LEARNING_RATE, ONCE
from benchmarks.rates import Measure
from benchmarks.results import Comparison, Results
from benchmarks.stage import Stage
from benchmarks.workloads import learning

BYTES = "pass-through, at least once"
JSON = "JSON parsed and dumped, at least once"
EVERY_100 = "pass-through, transaction every 100 ms"
EVERY_300 = "pass-through, transaction every 300 ms"
FLOOR = "floor: as large as predictions, every 300 ms"
IN_TURN = "bare loop and floor in turn"
"""Not run: what follows from the times that the two take for an event, one after the other."""

LOOPS = {
    BYTES: ("bytes", None),
    JSON: ("json", None),
    EVERY_100: ("bytes", 100),
    EVERY_300: ("bytes", 300),
    FLOOR: ("predictions", 300),
}
"""What they write, and the age of a transaction; 300 ms is the worker's own, without a backlog."""
RATE = 300_000
"""Events a second that are about to be expected of them."""
LEAST_SECONDS = 1.0
"""For several transactions of 300 ms."""
COMPARISONS = (
    Comparison(ONCE, BARE),
    *(Comparison(ONCE, name, tolerance=None) for name in LOOPS),
    *(Comparison(name, BYTES, tolerance=None) for name in (EVERY_100, EVERY_300)),
)


def measure(stage: Stage, sizes: Sizes, say: Say) -> Results:
    """Everyone in turn, and what the bare loop and the floor come to together."""
    work, some = learning(), sizes.events(LEARNING_RATE)
    long_enough = replace(sizes, seconds=max(sizes.seconds, LEAST_SECONDS))
    more = Measure(long_enough.events(RATE), answers=False)
    everyone: list[Contender] = [
        Bare(work, BARE, some),
        Millstream(stage, work, "exactly_once", ONCE, Measure(some)),
        *(
            Peer(stage, work, name, more, "pass_through", what=what, transaction_ms=age)
            for name, (what, age) in LOOPS.items()
        ),
    ]
    return with_both_in_turn(compare(everyone, COMPARISONS, sizes.rounds, say))


def with_both_in_turn(results: Results) -> Results:
    """Add the rate of one who does first what the bare loop does, then what the floor does."""
    rates = results.rates
    if not rates.keys() >= {ONCE, BARE, FLOOR}:
        return results
    in_turn = [
        1 / (1 / bare + 1 / floor) for bare, floor in zip(rates[BARE], rates[FLOOR], strict=True)
    ]
    added = [Comparison(IN_TURN, BARE, tolerance=None), Comparison(ONCE, IN_TURN, tolerance=None)]
    comparisons = [*results.comparisons[:1], *added, *results.comparisons[1:]]
    return replace(results, comparisons=comparisons, rates={**rates, IN_TURN: in_turn})


PART = Part(
    "limits",
    "What moving events costs",
    "The exactly-once worker beside loops with confluent-kafka that have no model and answer "
    "nothing: they write the events' own bytes, or as many bytes as predictions have, which is the "
    f"*floor* for the machinery. *{IN_TURN[0].upper()}{IN_TURN[1:]}* is not run: it is the rate "
    "that follows where an event takes the time of the bare loop and then that of the floor. A "
    "worker can do better where the clients' threads and the broker work while the model does. "
    "None of these loops has answers to compare, but each event must have exactly one output.",
    95,
    measure,
)
