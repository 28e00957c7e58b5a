"""`millstream run --workers 2`: one command, two processes, one group, one address."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.kafka.app import App, released_digests
from tests.support.kafka.cluster import Kafka, wait_until
from tests.support.kafka.feed import (
    Feed,
    assert_each_event_has_one_prediction,
    assert_each_event_was_learned_once,
    expected_digests,
)
from tests.support.kafka.worker import WorkerProcess

pytestmark = pytest.mark.kafka
PATIENCE_S = 120
"""Three processes import their libraries at the same time, perhaps on one core."""


def two_workers(app: App) -> WorkerProcess:
    return WorkerProcess(app.file, log=app.file.with_suffix(".log"), options=("--workers", "2"))


def address(supervisor: WorkerProcess) -> str:
    """Of the supervisor; the workers' own lines say which of them they are."""
    served = re.compile(r"serving /metrics.*\(address=(\S+)\)$", re.MULTILINE)
    supervisor.wait_until(lambda: served.search(supervisor.log_text()), PATIENCE_S)
    found = served.search(supervisor.log_text())
    assert found
    return found[1]


def ask(where: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{where}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def workers_of(supervisor: WorkerProcess) -> list[int]:
    """Process ids of its workers."""
    number = supervisor.process.pid
    children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [int(child) for child in children]


def predicted_by(where: str) -> dict[str, float]:
    """Worker to how many predictions it says it has published."""
    pattern = re.compile(r'millstream_predicted_total\{app="[^"]+",worker="(\d)"\} (\S+)')
    return {number: float(count) for number, count in pattern.findall(ask(where, "/metrics")[1])}


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return "State:\tZ" in Path(f"/proc/{process}/status").read_text()


def test_two_workers_share_the_partitions_and_outlive_a_kill_of_one(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path, partitions=4)
    with two_workers(app) as supervisor, Feed(kafka, app) as feed:
        where = address(supervisor)
        supervisor.wait_until(lambda: ask(where, "/readyz")[0] == 200, PATIENCE_S)
        supervisor.wait_until(
            lambda: len([n for n in predicted_by(where).values() if n > 50]) == 2, PATIENCE_S
        )
        first, second = workers_of(supervisor)
        os.kill(first, signal.SIGKILL)
        supervisor.wait_until(
            lambda: len(set(workers_of(supervisor)) - {first, second}) == 1, PATIENCE_S
        )
        supervisor.wait_until(lambda: ask(where, "/readyz")[0] == 200, PATIENCE_S)
        supervisor.wait_until(lambda: predicted_by(where).get("0", 0) > 50, PATIENCE_S)
        restarts = f'millstream_worker_restarts_total{{app="{app.name}",worker="0"}} 1.0'
        assert restarts in ask(where, "/metrics")[1]
        assert [each["worker"] for each in json.loads(ask(where, "/livez")[1])["workers"]] == [0, 1]
        feed.end()
        supervisor.wait_until(
            lambda: app.handled() >= feed.sent, PATIENCE_S, lambda: app.unhandled(feed.sent)
        )
        assert supervisor.stop(PATIENCE_S) == 0
        assert "Traceback" not in supervisor.log_text()
    assert_each_event_has_one_prediction(app, feed.sent, repeats=False)
    assert_each_event_was_learned_once(app, feed.sent)
    assert released_digests(supervisor) == expected_digests(app)


def test_workers_end_when_their_supervisor_is_killed(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path, partitions=2)
    with two_workers(app) as supervisor:
        where = address(supervisor)
        supervisor.wait_until(lambda: ask(where, "/readyz")[0] == 200, PATIENCE_S)
        workers = workers_of(supervisor)
        supervisor.sigkill()
        wait_until(lambda: all(map(gone, workers)), message="the workers have ended")
        assert supervisor.log_text().count("shard released") == 2


def test_what_ends_one_worker_ends_all_and_is_said(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(app=kafka.unique("another"))
    with two_workers(app) as supervisor:
        assert supervisor.wait(PATIENCE_S) == 1
        log = supervisor.log_text()
    assert f"millstream topics create {app.file}" in log
    assert "of 2 ended with exit code 1" in log
    assert "Traceback" not in log
