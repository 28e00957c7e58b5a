"""What a snapshot leaves in the topic and in a store, also where something fails on the way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from millstream.config.sections import SnapshotSettings
from millstream.core.models.interface.learner import Learner
from millstream.core.models.state_codec import capture
from millstream.core.records.record import Output, Record
from millstream.core.snapshots.manifest import SnapshotManifest, chunk_records
from millstream.core.snapshots.snapshot import BadSnapshot, SnapshotMetadata
from millstream.kafka.producer import NotWritten
from millstream.snapshots.files import SnapshotFiles
from millstream.snapshots.writer import ORPHAN_MS, SnapshotWriter, StoredSnapshots
from tests.support.processors import plan

NOW = 1_767_225_600_000


class Topic:
    """The models topic, in memory."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.refuses: bytes | None = None
        """What it refuses: keys that hold this, or (b"") deletions."""

    def write(self, _partition: int, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if self.refuses is not None and (
                output.value is None if not self.refuses else self.refuses in (output.key or b"")
            ):
                raise NotWritten("no room")
            self.outputs.append(output)

    def log(self) -> SnapshotManifest:
        """As a restore reads it."""
        log = SnapshotManifest(0)
        for offset, output in enumerate(self.outputs):
            log.add(Record(offset, 0, output.key, output.value, None))
        return log


class Scene:
    """A writer, its topic and its store."""

    def __init__(self, folder: Path | None, keep: int = 2) -> None:
        self.topic = Topic()
        self.files = None if folder is None else SnapshotFiles(str(folder), "app")
        self.folder = folder
        self.made = plan()
        self.writer = SnapshotWriter(
            SnapshotSettings(keep=keep), self.topic, self.files, self.made.build_learner
        )
        self.kept = StoredSnapshots()

    def write(self, learned: int, learner: Learner | None = None) -> None:
        about = SnapshotMetadata(
            app="app", partition=0, positions={"events": learned}, logs={}, topic_ids={},
            learned=learned, model_version="v", model="", versions={}, created_at=NOW + learned,
        )  # fmt: skip
        captured = capture(learner or self.made.build_learner())
        self.writer.write(captured, about, None, self.kept)

    def stored(self) -> list[str]:
        """Names of the snapshots whose bytes are somewhere."""
        if self.folder is not None:
            return sorted(path.stem for path in self.folder.rglob("*") if path.is_file())
        return sorted(name for name in self.topic.log()._chunks)


@pytest.fixture(params=["topic", "folder"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    return Scene(None if request.param == "topic" else tmp_path)


def test_only_the_last_ones_are_kept(scene: Scene) -> None:
    for learned in range(5):
        scene.write(learned)
    log = scene.topic.log()
    assert [each.learned for each in log.pointers()] == [4, 3]
    assert scene.stored() == sorted(each.name for each in log.pointers())
    assert log.orphans() == {}


@pytest.mark.parametrize("age", [ORPHAN_MS + 2, ORPHAN_MS - 2])
def test_what_a_crash_left_is_cleared_away_once_no_worker_can_be_at_it(
    scene: Scene, age: int
) -> None:
    name = f"{NOW - age}-0123abcd"
    scene.topic.outputs += chunk_records(0, name, b"whatever there was time for")
    if scene.files is not None:
        scene.files.write(0, name, b"whatever there was time for")
    scene.kept = StoredSnapshots.of(scene.topic.log())
    scene.write(1)
    assert (name in scene.stored()) == (name in scene.topic.log().orphans()) == (age < ORPHAN_MS)


def test_a_snapshot_whose_pointer_is_refused_is_none_and_one_failure(scene: Scene) -> None:
    scene.write(1)
    scene.topic.refuses = b"/snapshot/"
    with pytest.raises(NotWritten):
        scene.write(2)
    assert [each.learned for each in scene.kept.pointers] == [1]
    assert [each.learned for each in scene.topic.log().pointers()] == [1]


def test_where_an_old_one_cannot_be_deleted_the_new_one_is_stored_all_the_same(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.write(1)
    scene.write(2)
    scene.topic.refuses = b""
    scene.write(3)
    assert "old snapshots could not be deleted" in caplog.text
    assert [each.learned for each in scene.topic.log().pointers()] == [3, 2, 1]
    scene.topic.refuses = None
    scene.write(4)
    assert [each.learned for each in scene.topic.log().pointers()] == [4, 3]


def test_a_model_that_cannot_be_written_is_one_failure_whatever_it_raises(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> str:
        raise ZeroDivisionError

    learner = scene.made.build_learner()
    monkeypatch.setattr(type(learner), "digest", fail)
    with pytest.raises(BadSnapshot, match="ZeroDivisionError"):
        scene.write(1)
    assert scene.topic.outputs == []
