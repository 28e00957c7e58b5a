"""An event and its label at a time, while many predictions wait in memory or on disk; no Kafka.

    python -m benchmarks.waiting_pairs \
        '{"kind": "disk", "waiting": 1000000, "pairs": 30000, "order": "any"}'

A process of its own for each store, so that its memory can be told. Times are those of the
processor, so that other programs matter less.
"""

import gc
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson
from tests.support.kafka.app import FEATURES, SCALED_LOGISTIC

from benchmarks.child import answer
from benchmarks.workloads import event
from millstream.artifacts.loader import learner_factory
from millstream.cli.worker_process import GC_THRESHOLDS
from millstream.config.settings import Settings
from millstream.core.join.pending_store import MemoryPendingStore, PendingPrediction, compact
from millstream.core.processing.config import ProcessorConfig, SettingsVersion
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.records.outputs import PartitionSource
from millstream.core.records.record import Record
from millstream.disk_store.store import DiskStore

NOW = 1_800_000_000_000
LATER = NOW + 1_000_000_000
"""The worker's clock: nothing is due."""
BATCH = 512
Kind = Literal["memory", "disk"]
Order = Literal["oldest first", "any"]


@dataclass(frozen=True)
class Figures:
    """What one process found."""

    pair: float
    """Microseconds for an event and a label."""
    fill: float
    """Microseconds to let one prediction wait."""
    memory: float
    """Megabytes of the process at most, less what it had before the store was filled."""
    disk: float
    """Megabytes of the store's file."""
    slowest: float
    """Milliseconds of the slowest batch, by the clock on the wall."""


def new_shard(store: MemoryPendingStore | DiskStore) -> DelayedLabelProcessor:
    """A shard on a store that is filled already."""
    settings = Settings.model_validate(
        {
            "app": "waiting",
            "kafka": {"bootstrap.servers": "none:9092"},
            "events": {"topic": "events", "id": "id", "features": FEATURES},
            "labels": {"from": "topic", "topic": "labels", "wait": "30d", "max_waiting": 10**9},
            "model": {"river": SCALED_LOGISTIC},
        }
    )
    source = PartitionSource(
        0, "events", "labels", "waiting", "0123456789ab", 1_000_000, features=True
    )
    settings_versions = (SettingsVersion(0, settings.events, settings.labels),)
    plan = ProcessorConfig(source, settings.model, learner_factory(settings), settings_versions, {})
    return DelayedLabelProcessor(plan, store=store)


def fill(store: MemoryPendingStore | DiskStore, count: int) -> None:
    """Let predictions wait, as a restore does."""
    probabilities = {"false": 0.4816573, "true": 0.5183427}
    for number in range(count):
        made = event(number, labelled=False)
        identity = made.pop("id")
        answer = {"prediction": True, "probabilities": probabilities}
        example = compact(orjson.dumps({"features": made, **answer}))
        key = str(number).encode()
        store.add(PendingPrediction(identity, number, NOW + number, NOW + number, key, example))
    store.commit()


def batches(count: int, pairs: int, order: Order) -> Iterator[tuple[list[Record], list[Record]]]:
    """New events, and labels for what waits; made before the clock runs."""
    chosen: Sequence[int] = range(pairs)
    if order == "any":
        chosen = random.Random(1).sample(range(count), pairs)
    for start in range(0, pairs, BATCH):
        events, labels = [], []
        for i in range(start, min(start + BATCH, pairs)):
            number, time_of = count + i, NOW + count + i
            key, value = str(number).encode(), orjson.dumps(event(number, labelled=False))
            events.append(Record(number, time_of, key, value, None))
            of = {"id": event(chosen[i], labelled=False)["id"], "label": i % 2 == 0}
            labels.append(Record(i, time_of, key, orjson.dumps(of), None))
        yield events, labels


def peak_mb() -> float:
    """The most memory that this process ever had."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(kind: Kind, waiting: int, pairs: int, order: Order) -> dict[str, Any]:
    """The `Figures` of one store."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    before = peak_mb()
    store = MemoryPendingStore() if kind == "memory" else DiskStore()
    began = time.process_time()
    fill(store, waiting)
    filled = time.process_time() - began
    memory = peak_mb() - before
    processor, work = new_shard(store), list(batches(waiting, pairs, order))
    slowest, began = 0.0, time.process_time()
    for events, labels in work:
        clock = time.perf_counter()
        processor.process(
            {"events": events, "labels": labels}, {"events": True, "labels": True}, LATER
        )
        processor.committed()
        slowest = max(slowest, time.perf_counter() - clock)
    pair = (time.process_time() - began) / pairs
    assert (processor.learned, processor.pending()) == (pairs, waiting)
    disk = store.disk_bytes() / 1e6 if isinstance(store, DiskStore) else 0.0
    return asdict(Figures(pair * 1e6, filled / waiting * 1e6, memory, disk, slowest * 1e3))


if __name__ == "__main__":
    answer(measure)
