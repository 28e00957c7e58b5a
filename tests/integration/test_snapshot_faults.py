"""Snapshots that are damaged, forged or cannot be stored: a restart passes over them, loudly."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_snapshots import restored
from tests.support.kafka.app import PHISHING, App, bare_digest, event_of, released_digests
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.damage import cut, flipped, forged, other_format, put, torn
from tests.support.kafka.worker import WorkerProcess

pytestmark = pytest.mark.kafka
KEY = "a key that nobody has guessed yet"


def pieces(app: App, worker: WorkerProcess, count: int) -> Iterator[int]:
    """Send a hundred events, so often, each time after the snapshot of those before."""
    begin = app.handled()
    for number in range(1, count + 1):
        app.send(app.events, (event_of(i) for i in range(begin, begin + 100)))
        begin += 100
        worker.wait_until(
            partial(_reached, app, begin),
            message=f"a snapshot of {begin} examples",
        )
        yield number


def _reached(app: App, learned: int) -> bool:
    return any(pointer["learned"] == learned for pointer in app.snapshots())


def app_with_snapshots(kafka: Kafka, folder: Path, count: int, **snapshots: Any) -> App:
    """An app that has so many, of 100, 200 ... examples."""
    app = App(kafka, folder, snapshots={"examples": 100, "every": "1h", "keep": 5, **snapshots})
    with app.worker() as worker:
        list(pieces(app, worker, count))
        assert worker.stop() == 0
    return app


def passed_over(worker: WorkerProcess) -> list[str]:
    return re.findall(r"snapshot passed over \(.*?reason=(.*?)\)?\n", worker.log_text())


def restarted(app: App, events: int, *, after: str = "") -> WorkerProcess:
    """Work once more; the weights have to be those of one worker that never stopped.

    `after`: what its log has to say before it gets the events; else they are there before it is.
    """
    begin = app.handled()
    more = [event_of(i) for i in range(begin, begin + events)]
    if not after:
        app.send(app.events, more)
    app.file.with_suffix(".0.log").unlink(missing_ok=True)
    with app.worker() as worker:
        if after:
            worker.wait_for_log(after)
            app.send(app.events, more)
        worker.wait_until(lambda: app.handled() == begin + events)
        assert worker.stop() == 0
    assert released_digests(worker) == {0: bare_digest(PHISHING[: begin + events])}
    return worker


def test_of_damaged_snapshots_a_restart_takes_the_newest_good_one_and_says_what_it_passes_over(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = app_with_snapshots(kafka, tmp_path, 5)
    *_, second, third, fourth, fifth = app.snapshots()
    for damage, pointer in ((torn, second), (cut, third), (other_format, fourth), (flipped, fifth)):
        damage(app, pointer)
    # What crashes and others have left: chunks without a pointer, a pointer that is none.
    put(app, b"0/snapshot/1500000000000-00000000/0", b"?")
    put(app, b"0/snapshot/1500000000000-00000001", b"{}")
    worker = restarted(app, 50, after="snapshot (partition=0 positions={'events': 500} learned=500")
    assert restored(worker)["snapshot"] == 100
    told = passed_over(worker)
    for words in (
        "pointer is damaged",
        "chunk of it is damaged",
        "format 2",
        "of payload",
        "no ch",
    ):
        assert len([reason for reason in told if words in reason]) == 1, words
    assert len(told) == 5
    # What was replayed is stored again at once, and what had no pointer is cleared away.
    assert [p["learned"] for p in app.snapshots()] == [300, 400, 500, 500, 550]
    standing = {m.key: m.value for m in kafka.read(app.topic("models"))}
    assert not [k for k, v in standing.items() if v is not None and b"/1500000000000" in (k or b"")]


def test_where_there_is_a_key_only_what_it_signed_is_read(kafka: Kafka, tmp_path: Path) -> None:
    app = app_with_snapshots(kafka, tmp_path, 1)
    app.write_settings(snapshots={**app.settings["snapshots"], "key": KEY})
    first = restarted(app, 50)
    assert restored(first)["snapshot"] is None
    assert passed_over(first) == ["it is not signed, but the settings have a key"]
    second = restarted(app, 50)
    assert restored(second)["snapshot"] == 150
    # Weights of somebody else's, in order by themselves and signed by another key.
    forged(app, app.snapshots()[-1], KEY.upper().encode())
    third = restarted(app, 50)
    assert restored(third)["snapshot"] == 150
    assert passed_over(third) == ["it is not signed with the key in the settings"]
    app.write_settings(snapshots={**app.settings["snapshots"], "key": KEY[::-1]})
    last = restarted(app, 50)
    assert restored(last)["snapshot"] is None
    assert set(passed_over(last)) == {
        "it is not signed with the key in the settings",
        "it is not signed, but the settings have a key",
    }
    for text in (first.log_text(), last.log_text()):
        assert KEY not in text
        assert KEY[::-1] not in text


def test_a_worker_whose_store_fails_goes_on_and_says_so(kafka: Kafka, tmp_path: Path) -> None:
    folder = tmp_path / "snaps"
    app = App(kafka, tmp_path, snapshots={"examples": 100, "keep": 2, "store": "snaps"})
    with app.worker() as worker:
        list(pieces(app, worker, 3))
        files = sorted((folder / app.name / "0").iterdir())
        assert [f"{p['name']}.snapshot" for p in app.snapshots()] == [f.name for f in files]
        assert len(files) == 2, "the oldest are let go of"
        # A file where the folder was: nothing can be stored there, whoever tries.
        (folder / app.name).rename(tmp_path / "aside")
        (folder / app.name).write_text("in the way")
        app.send(app.events, (event_of(i) for i in range(300, 400)))
        worker.wait_for_log("snapshot failed")
        app.send(app.events, (event_of(i) for i in range(400, 450)))
        worker.wait_until(lambda: app.handled() == 450)
        assert worker.stop() == 0
    assert "cannot be written" in worker.log_text()
    without = restarted(app, 50)
    assert restored(without)["snapshot"] is None
    assert len(passed_over(without)) == 2
    (folder / app.name).unlink()
    (tmp_path / "aside").rename(folder / app.name)
    newest = files[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    again = restarted(app, 50)
    assert restored(again)["snapshot"] == 200
    assert len(passed_over(again)) == 1


def test_a_store_that_nothing_knows_ends_the_start_with_a_sentence(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, snapshots={"store": "nosuch://bucket/snaps"})
    with app.worker() as worker:
        assert worker.wait() == 2
    assert "snapshots.store: nosuch://bucket/snaps: Protocol not known" in worker.log_text()
    assert "Traceback" not in worker.log_text()
