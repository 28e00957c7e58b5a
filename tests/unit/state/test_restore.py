"""The decisions of a restore, on logs in memory."""

from typing import Any

import pytest

from millstream import Memory, Stop
from millstream import _failpoints as failpoints
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.replay import StoreProgress
from millstream.core.snapshots.snapshot import BadSnapshot
from millstream.disk_store.store import DiskStore
from millstream.snapshots.search import SnapshotLoader
from millstream.state.restore import PartitionRestore
from millstream.state.restore_context import RestoreContext
from millstream.state.restore_steps import CommittedOffsets, RestoreResult
from millstream.state.retained_store import RetainedStore
from tests.support.apps import small
from tests.unit.memory.test_lost_logs import cut

INLINE: dict[str, Any] = {
    "app": "a",
    "events": {"topic": "e", "id": "id", "features": ["x"], "label": "y"},
    "labels": {"from": "event"},
    "model": {"river": "linear_model.LogisticRegression()"},
}


def context_of(app: Memory) -> RestoreContext:
    return app.worker._parts


def finish(restore: PartitionRestore) -> RestoreResult:
    while (result := restore.step(1.0)) is None:
        pass
    return result


def restore(
    app: Memory, committed: CommittedOffsets, store: RetainedStore | None = None
) -> RestoreResult:
    context = context_of(app)
    return finish(PartitionRestore(context, 0, committed, None, {}, store or context.new_store()))


def learned(settings: dict[str, Any], count: int = 5) -> Memory:
    """An app that has learned from so many events."""
    app = Memory(settings)
    late = settings["labels"]["from"] == "topic"
    for number in range(count):
        app.predict({"id": number, "x": float(number)} | ({} if late else {"y": number % 2 > 0}))
        if late:
            app.label(number, number % 2 > 0)
    return app


def owner_of(result: RestoreResult) -> int:
    assert isinstance(result.processor, DelayedLabelProcessor)
    return result.processor.epoch


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(failpoints, "reach", names.append)
    return names


AT_LEAST_ONCE = {"processing_guarantee": "at_least_once"}


@pytest.mark.parametrize(
    ("settings", "committed", "steps"),
    [
        (INLINE, {"events": 5}, 4),
        (INLINE, {"events": None}, 6),
        (small(), {"events": 5, "labels": 5}, 6),
        (small(), {"events": 5, "labels": None}, 7),
    ],
)
def test_a_crash_can_be_staged_after_each_step(
    settings: dict[str, Any], committed: CommittedOffsets, steps: int, reached: list[str]
) -> None:
    app = learned(settings)
    reached.clear()
    restore(app, committed)
    assert reached == ["mid_restore"] * steps


def test_a_crash_can_be_staged_when_a_new_owner_is_announced(reached: list[str]) -> None:
    app = learned(small(**AT_LEAST_ONCE))
    reached.clear()
    restore(app, {"events": 5, "labels": 5})
    assert reached == ["mid_restore"] * 4 + ["after_claim"] + ["mid_restore"] * 4


@pytest.mark.parametrize(
    ("start", "committed", "position"),
    [("earliest", 3, 3), ("latest", 3, 3), ("earliest", None, 5), ("latest", None, 5)],
)
def test_it_continues_from_the_committed_offset_else_from_what_was_predicted(
    start: str, committed: int | None, position: int
) -> None:
    app = learned(INLINE | {"events": INLINE["events"] | {"start": start}})
    app.worker.send("events", b'{"id": 9, "x": 1.0, "y": true}', timestamp=1)
    assert restore(app, {"events": committed}).positions == {"events": position}


@pytest.mark.parametrize(("start", "position"), [("earliest", 0), ("latest", 2)])
def test_a_new_app_begins_where_the_settings_say(start: str, position: int) -> None:
    app = Memory(INLINE | {"events": INLINE["events"] | {"start": start}})
    for number in range(2):
        app.worker.send("events", b'{"id": %d, "x": 1.0, "y": true}' % number, timestamp=1)
    assert restore(app, {"events": None}).positions == {"events": position}


def test_only_a_worker_announces_itself_as_owner() -> None:
    app = learned(small(**AT_LEAST_ONCE))
    before = len(app.worker.logs.records("phishing.examples", 0))
    context = context_of(app)
    log, context.epoch_log = context.epoch_log, None
    restore(app, {"events": 5, "labels": 5})
    assert len(app.worker.logs.records("phishing.examples", 0)) == before
    context.epoch_log = log
    result = restore(app, {"events": 5, "labels": 5})
    assert len(app.worker.logs.records("phishing.examples", 0)) == before + 1
    assert max(result.origin.ownership, key=int) == str(owner_of(result))


def test_a_snapshot_names_its_owner_for_a_group_that_has_forgotten_it() -> None:
    """Else the examples that follow the snapshot would be taken for another owner's."""
    app = learned(small(**AT_LEAST_ONCE))
    app.advance("3h")  # so that the replay starts behind the announcement: nothing is pending
    for number in range(5, 8):
        if number < 7:
            app.worker.snapshot()
        app.predict({"id": number, "x": 1.0})
        app.label(number, True)
    result = restore(app, {"events": None, "labels": None})
    assert result.origin.learned == 6
    assert result.processor.learned == 8


@pytest.mark.parametrize(("committed", "predictions"), [(5, 5), (3, 0)])
def test_predictions_beyond_the_committed_offset_are_read_again_by_the_next_restore(
    committed: int, predictions: int
) -> None:
    """They are not in the store: a user has moved the group's offsets back."""
    app = Memory(small())
    for number in range(5):
        app.predict({"id": number, "x": 1.0})
    store = RetainedStore(DiskStore(), fenced=True)
    restore(app, {"events": committed, "labels": 0}, store)
    assert store.begin_restore(committed) == StoreProgress(committed, predictions, 0)
    store.close()


def test_lost_events_are_reported_with_the_snapshot_that_was_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = learned(INLINE)
    app.worker.snapshot()

    def refuse(*_: object) -> None:
        raise BadSnapshot("torn")

    monkeypatch.setattr(SnapshotLoader, "load", refuse)
    cut(monkeypatch, "e", 2)
    with pytest.raises(Stop, match=r"what the model learned \(a snapshot was passed over: torn\)"):
        restore(app, {"events": 5})


def test_a_restore_begins_from_the_snapshot_and_says_so() -> None:
    app = learned(INLINE)
    app.worker.snapshot()
    app.predict({"id": 5, "x": 1.0, "y": True})
    result = restore(app, {"events": 6})
    assert (result.origin.learned, result.origin.positions) == (5, {"events": 5})
    assert result.processor.learned == 6
    assert [pointer.learned for pointer in result.origin.stored.pointers] == [5]


def test_its_progress_changes_with_each_step() -> None:
    app = learned(small())
    context = context_of(app)
    each = PartitionRestore(context, 0, {"events": 5, "labels": 5}, None, {}, context.new_store())
    seen = [each.progress()]
    while each.step(1.0) is None:
        seen.append(each.progress())
    assert len(set(seen)) == len(seen)
    assert each.all_committed()
