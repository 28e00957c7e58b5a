"""When a snapshot is due."""

from types import SimpleNamespace
from typing import Any

import pytest

from millstream.config.sections import SnapshotSettings
from millstream.observability.metrics import Metrics
from millstream.state import snapshot_scheduler
from millstream.state.snapshot_scheduler import SnapshotScheduler


class Scene:
    """One partition's track, and a clock that is set by hand."""

    def __init__(self, **settings: Any) -> None:
        context: Any = SimpleNamespace(learns=True)
        nothing: Any = None
        self.snapshots = SnapshotScheduler(SnapshotSettings(**settings), context, nothing, nothing)
        self.processor: Any = SimpleNamespace(learned=0)
        self.partition: Any = SimpleNamespace(positions={"events": 0}, number=0)
        self.track = snapshot_scheduler._Track(
            self.partition, self.processor, learned=0, positions={"events": 0}, due_at=300.0
        )

    def due(self, now: float) -> bool:
        return self.snapshots._due(self.track, self.partition, now)


def test_one_is_due_after_so_many_examples_or_so_long_if_there_is_anything_new() -> None:
    scene = Scene(examples=100)
    scene.processor.learned = 99
    assert not scene.due(1)
    scene.processor.learned = 100
    assert scene.due(1)
    scene.processor.learned = 0
    assert not scene.due(301)
    scene.partition.positions["events"] = 1
    assert scene.due(301)


@pytest.mark.parametrize("now", [30.0, 59.9, 60.1])
def test_a_dear_one_is_followed_by_a_rest_whatever_is_new(now: float) -> None:
    scene = Scene(examples=100)
    scene.processor.learned = 1_000
    scene.track.rest_until = 60.0
    assert scene.due(now) == (now > 60)


@pytest.mark.parametrize("kept", [[], [SimpleNamespace(bytes=7, created_at=5_000)]])
def test_the_age_of_the_last_one_is_known_from_the_restore_on(
    kept: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would hear of a store that hangs from the start."""
    monkeypatch.setattr(snapshot_scheduler, "wall_clock", lambda: 9_000)
    scene = Scene(examples=100)
    scene.snapshots._metrics = metrics = Metrics("app")
    scene.partition.processor = scene.processor
    scene.partition.origin = SimpleNamespace(
        learned=0, positions={"events": 0}, stored=SimpleNamespace(pointers=kept)
    )
    scene.snapshots.turn([scene.partition])
    told = metrics.registry.get_sample_value(
        "millstream_snapshot_timestamp_seconds", {"app": "app", "partition": "0"}
    )
    assert told == (5.0 if kept else 9.0)
