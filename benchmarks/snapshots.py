"""What a snapshot costs the loop: the pause for the copy, and what sealing it beside takes away.

    python -m benchmarks.snapshots

Without Kafka. Each model learns from random data first. Then, for each: how long the loop stands
still for the copy of its state, how long sealing takes in the thread beside, and how that compares
to what the loop does for an event.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from river import forest

from millstream.config.sections import SnapshotSettings
from millstream.core.models.factory import wrap
from millstream.core.models.interface.learner import Learner
from millstream.core.models.river.expression import build
from millstream.core.models.state_codec import capture
from millstream.core.snapshots.snapshot import SnapshotMetadata, finish
from millstream.core.spec import ModelSpec

CAPTURES = 5
EVENTS = 3_000
"""Learned from between two captures, and to measure a rate."""
DEFAULT_EXAMPLES = SnapshotSettings().examples
LINEAR = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"
TREE = "tree.HoeffdingTreeClassifier()"
ABOUT = SnapshotMetadata(
    app="app", partition=0, positions={"events": 0}, logs={}, topic_ids={}, learned=0,
    model_version="0123456789ab", model="", versions={}, created_at=0,
)  # fmt: skip


class Subject(NamedTuple):
    """A model, and how much it learns before it is measured."""

    name: str
    make: Callable[[], Any]
    features: int
    taught: int


SUBJECTS = (
    Subject("scaler, logistic; 9 features", lambda: build(LINEAR), 9, 10_000),
    Subject("scaler, logistic; 200 features", lambda: build(LINEAR), 200, 2_000),
    Subject("Hoeffding tree; 100,000 learned", lambda: build(TREE), 9, 100_000),
    Subject("adaptive forest of 10; 10,000", lambda: forest.ARFClassifier(seed=1), 9, 10_000),
)


class Cost(NamedTuple):
    """What was measured of one model; times are seconds of the processor, but for `stall`."""

    size: int
    """Bytes of a sealed snapshot."""
    event: float
    """To predict and learn from one event."""
    pause: float
    """That the loop stands still, median; likewise `longest`."""
    longest: float
    sealing: float
    """Of the thread beside, which the loop has to do without: Python runs one at a time."""
    stall: float
    """The longest that one event of the loop took meanwhile, by the clock on the wall."""

    def share(self) -> float:
        """Of the loop's time that snapshots every hundred thousand examples take."""
        snapshot = self.pause + self.sealing
        return snapshot / (snapshot + DEFAULT_EXAMPLES * self.event)


def measure(subject: Subject) -> Cost:
    """Teach a model, and measure what snapshots of it cost."""
    spec = ModelSpec(river=LINEAR)

    def fresh() -> Learner:
        return wrap(subject.make(), spec, labelled=True, feature_names=None)

    learner, rows = fresh(), _rows(subject.features)
    _learn(learner, rows, subject.taught)
    before = _learn(learner, rows, EVENTS)
    pauses = []
    captured = capture(learner)
    for _ in range(CAPTURES):
        began = time.thread_time()
        captured = capture(learner)
        pauses.append(time.thread_time() - began)
        _learn(learner, rows, EVENTS)
    features = next(rows)[0]
    sealed: list[tuple[int, float]] = []

    def seal() -> None:
        began = time.thread_time()
        size = len(finish(captured, ABOUT, fresh(), features))
        sealed.append((size, time.thread_time() - began))

    thread = threading.Thread(target=seal)
    thread.start()
    stall = 0.0
    while thread.is_alive():
        began = time.perf_counter()
        _learn(learner, rows, 1)
        stall = max(stall, time.perf_counter() - began)
    size, sealing = sealed[0]
    return Cost(
        size, before / EVENTS, statistics.median(pauses), max(pauses), sealing, stall
    )  # fmt: skip


def _rows(features: int) -> Iterator[tuple[dict[str, float], bool]]:
    dice = random.Random(1)
    names = [f"f{i}" for i in range(features)]
    while True:
        row = {name: dice.random() for name in names}
        yield row, row["f0"] * row["f1"] + row["f2"] > 0.75 + dice.random() / 5


def _learn(learner: Learner, rows: Iterator[tuple[dict[str, float], bool]], count: int) -> float:
    """Predict and learn so often; returns the seconds of that alone."""
    seconds = 0.0
    for _ in range(count):
        features, label = next(rows)
        began = time.thread_time()
        learner.predict(features)
        learner.learn(features, label)
        seconds += time.thread_time() - began
    return seconds


def main() -> None:
    """Measure and print."""
    table = Table("model", "kB", "pause, ms", "longest", "sealing, ms", "snapshot, in events",
                  "share", "stall, ms")  # fmt: skip
    for subject in SUBJECTS:
        cost = measure(subject)
        table.add_row(
            subject.name, f"{cost.size / 1000:,.0f}", f"{cost.pause * 1000:.2f}",
            f"{cost.longest * 1000:.2f}", f"{cost.sealing * 1000:.0f}",
            f"{(cost.pause + cost.sealing) / cost.event:,.0f}", f"{cost.share():.2%}",
            f"{cost.stall * 1000:.0f}",
        )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
