"""The whole worker on Kafka with millions of predictions waiting: on disk beside in memory.

    python -m benchmarks.waiting_many [--waiting 10000000] [--pairs 150000] [--rounds 5]

Two workers, exactly once, are filled at the same time; then they take turns: while one works off a
lot of events and labels, each label for the prediction that has waited longest, the other one is
frozen. So all rounds are of the same two processes, minutes apart at most. Both work off the same
messages, and have to publish as many. With ten million it took 13 minutes, and the
workers 10 GB of memory.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from tests.support.kafka.worker import WorkerProcess

from benchmarks.stage import Stage, open_stage
from benchmarks.waiting_pairs import Kind
from benchmarks.workloads import delayed

KINDS: tuple[Kind, ...] = ("disk", "memory")
FROZEN_MS = 600_000
"""A worker may be frozen for so long without being put out of its group."""
ASK_SECONDS = 0.1
_ENOUGH_STEPS = 4
"""Of what was seen, to do without the first one and the last."""
SLOWEST = 2_000
"""Events a second; who is slower is given up."""
Count = Annotated[int, typer.Option(min=1)]


class Inputs:
    """Events, and labels that come so many events later; what is sent is over already."""

    def __init__(self, stage: Stage, waiting: int, pairs: int) -> None:
        """`pairs`: how many may be sent."""
        self.workload = delayed(waiting)
        self.app = stage.new(self.workload, "bench-input")
        self._stage, self._waiting = stage, waiting
        self._began = round(time.time() * 1000) - waiting - pairs - 1000
        stage.send(self.app.events, self.workload.events(waiting), self._began)

    def send(self, first: int, pairs: int) -> None:
        """Pairs of an event and of the label of the oldest that waits, from pair `first` on."""
        began, behind = self._began, self._waiting
        events = self.workload.events(pairs, behind + first)
        labels = self.workload.labels(pairs, first)
        self._stage.send(self.app.events, events, began, behind + first)
        self._stage.send(self.app.labels, labels, began + behind, first)


class Worker:
    """One worker, and what came of it."""

    def __init__(self, stage: Stage, kind: Kind, inputs: Inputs) -> None:
        self.kind = kind
        self._kafka = stage.kafka
        self.app = stage.new(
            inputs.workload, "bench", inputs_of=inputs.app, processing_guarantee="exactly_once",
            waiting={"store": kind},
        )  # fmt: skip
        may = {"session.timeout.ms": FROZEN_MS, "max.poll.interval.ms": FROZEN_MS}
        kafka = {**self.app.settings["kafka"], **may}
        self.app.write_settings(kafka=kafka)
        self.process = WorkerProcess(self.app.file, fresh=True)

    def taken(self) -> int:
        """How many events are worked off: their offsets commit with what came of them."""
        return self._kafka.committed(self.app.name, self.app.events) or 0

    def work_off(self, until: int) -> list[tuple[float, int]]:
        """Wait for so many events; when how many of them were committed."""
        steps = [(time.monotonic(), self.taken())]
        give_up = time.monotonic() + 60 + (until - steps[0][1]) / SLOWEST
        while steps[-1][1] < until:
            if not self.process.running or time.monotonic() > give_up:
                raise SystemExit(f"{self.kind}: {steps[-1]}; {self.process.log_text()[-2000:]}")
            time.sleep(ASK_SECONDS)
            taken = self.taken()
            if taken > steps[-1][1]:
                steps.append((time.monotonic(), taken))
        return steps

    def rate(self, until: int) -> float:
        """Wait for so many events; how many a second from the first commit to the last but one.

        The last event has no label after it, and waits until none has come for a while.
        """
        steps = self.work_off(until)
        counted = steps[1:-1] if len(steps) > _ENOUGH_STEPS else steps
        (began, first), (ended, last) = counted[0], counted[-1]
        return (last - first) / (ended - began)

    def learned(self) -> int:
        """How many examples it wrote."""
        return sum(1 for _ in self._kafka.read(self.app.topic("examples")))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing meanwhile."""
        pid = self.process.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def memory_mb(self) -> float:
        """The most memory that its process ever had."""
        with open(f"/proc/{self.process.process.pid}/status") as status:  # noqa: PTH123 - no file
            peak = next(line for line in status if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024


def main(waiting: Count = 10_000_000, pairs: Count = 150_000, rounds: Count = 5) -> None:
    """Print what each round gave, and the ratio."""
    say = Console(highlight=False).print
    with open_stage() as stage, ExitStack() as running:
        inputs = Inputs(stage, waiting, rounds * pairs)
        running.callback(stage.discard, inputs.app)
        workers = [Worker(stage, kind, inputs) for kind in KINDS]
        for worker in workers:
            running.callback(stage.discard, worker.app)
            running.enter_context(worker.process)
        for worker in workers:
            worker.work_off(waiting)
            say(f"{worker.kind}: {waiting:,} wait, {worker.memory_mb():,.0f} MB")
        ratios = []
        for number in range(rounds):
            rates = {}
            order = workers if number % 2 == 0 else workers[::-1]
            with order[1].frozen():
                with order[0].frozen():
                    inputs.send(number * pairs, pairs)
                rates[order[0].kind] = order[0].rate(waiting + (number + 1) * pairs)
            with order[0].frozen():
                rates[order[1].kind] = order[1].rate(waiting + (number + 1) * pairs)
            ratios.append(rates["disk"] / rates["memory"])
            say(f"disk {rates['disk']:,.0f}, memory {rates['memory']:,.0f}: {ratios[-1]:.2f}")
        say(f"disk / memory {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        for worker in workers:
            say(f"{worker.kind}: {worker.memory_mb():,.0f} MB at most")
            assert not worker.process.stop()
            if (learned := worker.learned()) != rounds * pairs:
                raise SystemExit(f"{worker.kind}: {learned:,} examples of {rounds * pairs:,}")


if __name__ == "__main__":
    typer.run(main)
