"""How things are measured: in turn, in one session, and compared where they do the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import KafkaException

from benchmarks.child import BenchmarkError
from benchmarks.contenders import Contender
from benchmarks.results import Comparison, Results
from benchmarks.same import check_runs

Say = Callable[[str], None]
T = TypeVar("T")

# The first from the tests' own helpers, which the harness uses.
_FAILURES = (AssertionError, BenchmarkError, KafkaException)
_ROUND_TO = 1000


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int
    seconds: float
    """That a run should take: each contender gets the events for it."""
    latency_seconds: float
    memory_seconds: float
    batch_sizes: tuple[int, ...] = (1, 64, 512, 4096)
    waiting: int = 1_000_000
    """Predictions that wait for their labels."""

    def events(self, rate: float) -> int:
        """How many for one that should do about `rate` events a second: thousands, at least one."""
        return max(1, round(rate * self.seconds / _ROUND_TO)) * _ROUND_TO


QUICK = Sizes(rounds=1, seconds=0.5, latency_seconds=2, memory_seconds=5, waiting=2_000)


def compare(
    contenders: Sequence[Contender],
    comparisons: Sequence[Comparison],
    rounds: int,
    say: Say,
    *,
    strict: bool = False,
) -> Results:
    """Measure all in turn; one that fails, or publishes something else, is left out and named.

    `strict`: raise BenchmarkError instead.
    """
    failures: dict[str, str] = {}

    def failed(name: str, error: Exception) -> None:
        if strict:
            raise BenchmarkError(f"{name}: {error}") from error
        failures[name] = in_short(error)
        say(f"{name} does not count: {error}")

    runs = interleaved(
        rounds,
        {each.name: each.run for each in contenders},
        lambda name, run: say(f"{name}: {run.rate:,.0f} events/s"),
        failed,
    )
    for each in comparisons:
        if each.tolerance is None or failures.keys() & {each.of, each.to}:
            continue
        try:
            one, other = runs[each.of][0], runs[each.to][0]
            check_runs(f"{each.of!r} and {each.to!r}", one, other, tolerance=each.tolerance)
        except BenchmarkError as error:
            failed(each.to, error)
    rates = {
        name: [run.rate for run in each] for name, each in runs.items() if name not in failures
    }
    kept = [each for each in comparisons if not failures.keys() & {each.of, each.to}]
    return Results(kept, rates=rates, failures=failures)


def in_short(error: Exception) -> str:
    """What went wrong without the log that follows it: that is of one machine."""
    return str(error).partition(";")[0].partition("\n")[0]


def interleaved(
    rounds: int,
    measurements: Mapping[str, Callable[[], T]],
    done: Callable[[str, T], None],
    failed: Callable[[str, Exception], None] | None = None,
) -> dict[str, list[T]]:
    """Measure each once, then each once more, and so on, so that all share good and bad minutes.

    One that fails is not tried again, if `failed` allows it to go on.
    """
    found: dict[str, list[T]] = {name: [] for name in measurements}
    for number in range(rounds):
        for name, measurement in measurements.items():
            if name not in found:
                continue
            try:
                found[name].append(measurement())
            except _FAILURES as error:
                if failed is None:
                    raise
                failed(name, error)
                del found[name]
            else:
                done(f"round {number + 1} of {rounds}, {name}", found[name][-1])
    return found
