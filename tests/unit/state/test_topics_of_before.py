"""Topics that version 0.1.0 wrote at commit 3d929f9 are read: nobody has to begin afresh.

Each file of `topics_of_before/` holds the settings of an app in memory, every record of its topics,
the group's offsets, and what the worker of then had come to.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import make_settings
from millstream.core.records.record import Output
from millstream.runners.memory.broker import CommittedPositions, MemoryLogs
from millstream.runners.memory.worker import MemoryWorker

FILES = sorted(Path(__file__).with_name("topics_of_before").glob("*.json"))
LATER = 1_700_000_100_000


def bytes_of(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def restored(document: dict[str, Any], *, without_snapshots: bool = False) -> MemoryWorker:
    """A worker of today on the topics of then."""
    settings = make_settings(document["settings"])
    logs = MemoryLogs()
    for topic, records in document["topics"].items():
        for timestamp, key, value, headers in records:
            name = bytes_of(key) or b""
            if without_snapshots and topic == settings.topic("models") and b"/snapshot/" in name:
                continue
            named = None if headers is None else [(n, bytes_of(v)) for n, v in headers]
            logs.append(topic, 0, Output(bytes_of(key), bytes_of(value), named), timestamp)
    committed = document["committed"]
    logs.committed[0] = CommittedPositions(committed["positions"], committed["owner"])
    worker = MemoryWorker(settings, learner_factory(settings), logs)
    worker.now = LATER
    return worker


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return found


def test_there_are_topics_of_each_kind_of_app() -> None:
    names = sorted(path.stem for path in FILES)
    assert names == ["delayed", "delayed-at-least-once", "inline", "tree"]


@pytest.mark.parametrize("without_snapshots", [False, True], ids=["snapshot", "log alone"])
def test_a_restore_comes_to_what_the_worker_of_then_had(
    document: dict[str, Any], *, without_snapshots: bool
) -> None:
    processor = restored(document, without_snapshots=without_snapshots).processor()
    assert processor.learned == document["learned"]
    assert processor.learner.digest() == document["digest"]
    assert (processor.pending(), processor.early_labels()) == (
        document["waiting"],
        document["held"],
    )


def test_a_snapshot_of_then_is_what_a_restore_begins_from() -> None:
    found = {path.stem: restored(json.loads(path.read_text("utf-8"))) for path in FILES}
    # A pickle, such as the tree's, is for the same versions of Python and libraries only.
    assert found["inline"].restored_from() > 0
    assert found["delayed"].restored_from() > 0
    assert found["delayed-at-least-once"].restored_from() == 0  # it took none


def test_a_restore_writes_nothing_about_settings_that_have_not_changed(
    document: dict[str, Any],
) -> None:
    worker = restored(document)
    models = worker.settings.topic("models")
    before = len(worker.logs.records(models, 0))
    worker.send("events", b'{"id": 900, "x": 0.5, "y": 0.5, "label": true}', timestamp=LATER)
    worker.work(LATER)
    written = worker.logs.records(models, 0)[before:]
    kinds = [json.loads(record.value or b"{}").get("kind") for record in written]
    assert "settings" not in kinds
