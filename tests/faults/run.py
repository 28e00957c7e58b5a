"""Runs cells of the matrix: a fault under one variant, and what came of it."""

import os
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.clusters import Clusters
from tests.faults.fault import Fault
from tests.faults.history import Violation
from tests.faults.scene import Recovery, Scene, Variant
from tests.faults.standing import describe


@dataclass
class Result:
    """What one run of one cell came to."""

    fault: str
    variant: Variant
    violations: list[Violation] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    error: str | None = None
    """Why it did not come to its end: something did not happen, or the worker ended."""
    story: list[str] = field(default_factory=list)
    """What happened by chance."""
    seconds: float = 0.0
    sent: int = 0
    load: float = 0.0
    """Of the machine, at its end: how many processes wanted to run, in the minute before."""

    def late(self) -> list[Recovery]:
        """I6: after what predictions did not flow again in the time that is promised.

        No violation by itself: on a busy machine the start of a Python process alone takes longer.
        """
        return [each for each in self.recoveries if each.within and each.seconds > each.within]

    @property
    def good(self) -> bool:
        """Whether every invariant held."""
        return not self.violations and self.error is None


def run_cell(
    fault: Fault,
    variant: Variant,
    clusters: Clusters,
    folder: Path,
    seed: int,
    *,
    strict_times: bool = False,
    fresh: bool = False,
) -> Result:
    """Stage a fault and verify; never raises for what the worker does.

    `strict_times`: what comes later than I6 allows is a violation. `fresh`: see `WorkerProcess`.
    """
    result = Result(fault.name, variant)
    cluster = clusters[fault.needs]
    began = time.monotonic()
    scene = Scene(cluster, folder, variant, seed=seed, fresh=fresh, **fault.scene)
    with scene:
        try:
            fault.play(scene)
            if not scene.over:
                scene.finish()
        except Exception:  # noqa: BLE001 - the cell failed, and the table says so
            result.error = f"{traceback.format_exc()}\n{describe(scene)}"
    result.violations, result.recoveries = scene.violations, scene.recoveries
    result.story = scene.story
    result.sent = scene.feed.sent
    if strict_times:
        result.violations += [
            Violation("I6", -1, f"{each.seconds:.1f} s after {each.after}, not {each.within:g} s")
            for each in result.late()
        ]
    result.seconds = time.monotonic() - began
    result.load = os.getloadavg()[0]
    return result
