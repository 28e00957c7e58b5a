"""Snapshots shorten a restore, and change nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.kafka.app import PHISHING, App, bare_digest, event_of, label_of, released_digests
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess

pytestmark = pytest.mark.kafka
LATE = {"from": "topic", "wait": "1h"}
OFTEN = {"examples": 100, "every": "1h"}


def work(app: App, *, handled: int, resolved: int = 0) -> WorkerProcess:
    """Run a worker until so much is done, and stop it."""
    with app.worker() as worker:
        worker.wait_for_log("restored")
        worker.wait_until(lambda: app.handled() >= handled and app.resolved() >= resolved)
        assert worker.stop() == 0
    return worker


def restored(worker: WorkerProcess) -> dict[str, Any]:
    """What the last restore in a log says of itself."""
    line = re.findall(r"restored \((.*)\)", worker.log_text())[-1]
    return {
        name: None if value == "None" else int(value)
        for name, value in re.findall(r"(learned|snapshot|replayed|waiting)=(\w+)", line)
    }


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_restart_begins_from_the_last_snapshot_and_reads_only_what_came_after_it(
    kafka: Kafka, tmp_path: Path, guarantee: str
) -> None:
    app = App(kafka, tmp_path, snapshots=OFTEN, processing_guarantee=guarantee)
    app.send(app.events, (event_of(i) for i in range(500)))
    first = work(app, handled=500)
    assert "snapshot (" in first.log_text()
    app.send(app.events, (event_of(i) for i in range(500, 700)))
    second = work(app, handled=700)
    assert restored(second)["snapshot"] == restored(second)["learned"] == 500
    assert restored(second)["replayed"] < 30, "notes and chunks, and no event"
    assert released_digests(second) == {0: bare_digest(PHISHING[:700])}
    assert [each["learned"] for each in app.snapshots()] == sorted(
        each["learned"] for each in app.snapshots()
    )
    assert len(app.snapshots()) <= 3, "the oldest are let go of"


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_what_waits_for_its_label_is_found_again_though_no_snapshot_holds_it(
    kafka: Kafka, tmp_path: Path, guarantee: str
) -> None:
    app = App(kafka, tmp_path, labels=LATE, snapshots=OFTEN, processing_guarantee=guarantee)
    app.send(app.events, (event_of(i, label=False) for i in range(500)))
    work(app, handled=500)
    app.send(app.labels, (label_of(i) for i in range(300)))
    work(app, handled=500, resolved=300)
    app.send(app.events, (event_of(i, label=False) for i in range(500, 600)))
    # A label that comes again, one that comes too early, and those of what waits.
    app.send(app.labels, [label_of(10), label_of(650), *(label_of(i) for i in range(300, 600))])
    third = work(app, handled=600, resolved=600)
    assert restored(third)["snapshot"] == restored(third)["learned"] == 300
    assert restored(third)["waiting"] == 200
    app.send(app.events, (event_of(i, label=False) for i in range(600, 700)))
    last = work(app, handled=700, resolved=601)
    assert restored(last)["learned"] == 600
    order = [e["id"] for e in app.examples("learned")]
    assert sorted(order) == [*range(600), 650]
    assert released_digests(last) == {0: bare_digest(PHISHING[i] for i in order)}
