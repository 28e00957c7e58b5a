"""I7: memory and file descriptors of a worker stay flat for as long as one cares to wait.

The soak is staged as a fault of its own: a worker under a steady load, whose partitions come and
go now and then, is looked at every few seconds; at its end everything is verified as ever.
"""

import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.faults.fault import Fault
from tests.faults.history import Violation
from tests.faults.scene import Scene

SAMPLE_SECONDS = 2.0
REBALANCE_SECONDS = 60.0
GROWTH = 1.03
"""Memory may be so much larger at the end than in the middle: allocators take their time."""
GROWTH_BYTES = 4_000_000


class Sample(NamedTuple):
    """What the kernel says of a process."""

    resident: int
    """Bytes of memory."""
    descriptors: int
    """Open files and sockets."""


def sample(pid: int) -> Sample:
    """Look at a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Sample(pages * 4096, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))


def growth(samples: list[Sample]) -> list[Violation]:
    """I7: compare the last quarter with the second; the first one warms up."""
    quarter = len(samples) // 4
    if not quarter:
        return [Violation("I7", -1, "too few samples: soak for longer")]
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    memory = [int(median(each.resident for each in part)) for part in (before, after)]
    if memory[1] > memory[0] * GROWTH + GROWTH_BYTES:
        found.append(Violation("I7", -1, f"memory grew from {memory[0]:,} to {memory[1]:,} bytes"))
    files = [int(median(each.descriptors for each in part)) for part in (before, after)]
    if files[1] > files[0]:
        found.append(Violation("I7", -1, f"file descriptors grew from {files[0]} to {files[1]}"))
    return found


def soak(scene: Scene, minutes: float) -> None:
    """Let a worker work, with a second one that comes and goes."""
    worker = scene.start()
    scene.begin_feed()
    scene.progress()
    samples: list[Sample] = []
    until = time.monotonic() + 60 * minutes
    rebalance_at = time.monotonic() + REBALANCE_SECONDS
    while time.monotonic() < until:
        samples.append(sample(worker.process.pid))
        time.sleep(SAMPLE_SECONDS)
        assert worker.running, "the worker has ended"
        if time.monotonic() > rebalance_at:
            rebalance_at += REBALANCE_SECONDS
            other = scene.start(1)
            other.wait_until(lambda: scene.owns(1), message="it has a partition")
            assert other.stop() == 0
    scene.violations += growth(samples)
    middle, last = samples[len(samples) // 2], samples[-1]
    scene.told(
        f"memory {middle.resident / 1e6:.1f} MB in the middle, {last.resident / 1e6:.1f} MB at the "
        f"end; {middle.descriptors} and {last.descriptors} file descriptors"
    )


def soak_fault(minutes: float) -> Fault:
    """The soak as a row of the matrix; ids are forgotten within it, as their wait is short."""
    return Fault(
        f"soak of {minutes:g} min",
        lambda scene: soak(scene, minutes),
        scene={"labels": {"wait": "20s"}, "per_second": 200},
    )
