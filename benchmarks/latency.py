"""End-to-end latency with an open loop.

It counts from the moment an event was due to be sent until a read_committed reader has its
prediction, so a load that falls behind is part of it rather than hidden. The worker, the load and
the reader are three processes, and the broker a fourth.
"""

from array import array
from dataclasses import dataclass
from pathlib import Path

from benchmarks import child
from benchmarks.child import BenchmarkError
from benchmarks.contenders import OnKafka

WARM_UP_SECONDS = 2.0
"""Of the load, not counted: caches, connections and the broker's compiler warm up."""
PATIENCE_SECONDS = 60.0
"""How long the last prediction may be waited for after the last event was sent."""


@dataclass(frozen=True)
class Latency:
    """What one measurement gave, in ms."""

    p50: float
    p99: float
    p999: float
    largest: float
    load_late_p99: float
    """How late the load itself sent; part of the figures above."""


def measure(contender: OnKafka, *, rate: float, seconds: float, linger_ms: float = 0) -> Latency:
    """Put `rate` events a second on an idle contender for `seconds`, besides the warm-up.

    `linger_ms`: of the load, see there; it is part of the latency.
    """
    stage = contender.stage
    count = int(rate * (seconds + WARM_UP_SECONDS))
    app = stage.app(contender.workload, **contender.settings())
    predictions, path = app.topic("predictions"), app.file.with_suffix(".times")
    try:
        with contender.program(app) as program:
            contender.joined(app, program)
            bootstrap = stage.kafka.bootstrap
            listening = child.started(
                "listen", bootstrap=bootstrap, topic=predictions, count=count, path=str(path)
            )
            sending = child.started(
                "load", bootstrap=bootstrap, topic=app.events, rate=rate, count=count,
                linger_ms=linger_ms,
            )  # fmt: skip
            with listening as reader, sending as load:
                sent = child.result(load)
                # Fails, with its log, where it ends before its predictions have come.
                program.wait_until(lambda: reader.poll() is not None, PATIENCE_SECONDS)
                heard = child.result(reader)
            if contender.polite:
                program.stop()
    finally:
        stage.discard(app)
    if heard != count:
        raise BenchmarkError(f"{heard} predictions came of {count} events")
    waits = _waits(path, sent["start_ns"], 1e9 / rate, first=int(rate * WARM_UP_SECONDS))
    p50, p99, p999 = (percentile(waits, percent) for percent in (50, 99, 99.9))
    return Latency(p50, p99, p999, waits[-1], sent["late_p99_ms"])


def _waits(path: Path, start_ns: int, gap_ns: float, *, first: int) -> list[float]:
    """Latencies in ms, ascending, of event `first` and those after it."""
    noted = array("q", path.read_bytes())
    pairs = zip(noted[::2], noted[1::2], strict=True)
    return sorted((time - start_ns - i * gap_ns) / 1e6 for i, time in pairs if i >= first)


def percentile(ascending: list[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed."""
    rank = -(-len(ascending) * percent // 100)  # rounded up
    return ascending[max(0, int(rank) - 1)]
