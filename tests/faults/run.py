"""Runs cells of the matrix: a fault under one variant, and what came of it."""

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.clusters import Clusters
from tests.faults.fault import Fault
from tests.faults.history import Violation
from tests.faults.scene import Recovery, Scene, Variant


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

    @property
    def good(self) -> bool:
        """Whether every invariant held."""
        return not self.violations and self.error is None


def run_cell(fault: Fault, variant: Variant, clusters: Clusters, folder: Path, seed: int) -> Result:
    """Stage a fault and verify; never raises for what the worker does."""
    result = Result(fault.name, variant)
    cluster = clusters[fault.needs]
    began = time.monotonic()
    scene = Scene(cluster, folder, variant, seed=seed, **fault.scene)
    with scene:
        try:
            fault.play(scene)
            if not scene.over:
                scene.finish()
        except Exception:  # noqa: BLE001 - the cell failed, and the table says so
            result.error = f"{traceback.format_exc()}\n{scene.describe()}"
    result.violations, result.recoveries = scene.violations, scene.recoveries
    result.story = scene.story
    result.sent = scene.feed.sent
    result.seconds = time.monotonic() - began
    return result
