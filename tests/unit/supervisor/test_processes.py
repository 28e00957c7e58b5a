"""Starting, restarting and ending several processes; small scripts stand in for the workers."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from millstream.config.settings import Settings
from millstream.supervisor.control_channel import ControlChannel, numbered
from millstream.supervisor.processes import (
    LONGEST_WAIT_SECONDS,
    Child,
    Supervisor,
    WorkerEnded,
    worker_command,
)
from tests.support.kafka.cluster import wait_until

SERVES = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
line = socket.socket(fileno=int(sys.argv[2]))
line.sendall(f"127.0.0.1:{9000 + int(sys.argv[1])}\\n".encode())
signal.pause()
"""
IGNORES_THE_FIRST_SIGTERM = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
line = socket.socket(fileno=int(sys.argv[2]))
line.sendall(b"127.0.0.1:1\\n")
while True:
    signal.pause()
"""
DOES_NOT_END = IGNORES_THE_FIRST_SIGTERM.replace("signal.SIG_DFL", "signal.SIG_IGN")
ENDS_BADLY = SERVES.replace("sys.exit(0)", "sys.exit(int(sys.argv[1]))")
ENDS_WITH_TWO = "import sys; sys.exit(2 if sys.argv[1] == '1' else __import__('signal').pause())"


def running(script: str) -> Callable[[int, int], Sequence[str]]:
    return lambda number, descriptor: (sys.executable, "-c", script, str(number), str(descriptor))


@contextmanager
def supervising(script: str, count: int = 2) -> Iterator[tuple[Supervisor, threading.Thread]]:
    supervisor = Supervisor(count, running(script), first_wait=0.01)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        wait_until(lambda: all(child.address for child in supervisor.children))
        yield supervisor, thread
    finally:
        supervisor.stop()
        supervisor.terminate()
        thread.join(30)
        assert not thread.is_alive()


def pids(supervisor: Supervisor) -> list[int]:
    return [child.process.pid if child.process else 0 for child in supervisor.children]


def test_all_are_started_and_end_when_they_are_asked_to() -> None:
    with supervising(SERVES) as (supervisor, thread):
        assert [child.address for child in supervisor.children] == [
            "127.0.0.1:9000",
            "127.0.0.1:9001",
        ]
        supervisor.stop()
        thread.join(30)
        assert not any(child.running for child in supervisor.children)


def test_one_that_is_killed_is_started_again_and_the_other_stays() -> None:
    with supervising(SERVES) as (supervisor, _):
        first, second = pids(supervisor)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.children[0].restarts == 1)
        wait_until(lambda: supervisor.children[0].address)
        again, same = pids(supervisor)
        assert again not in {0, first}
        assert same == second


def test_one_that_ends_by_itself_ends_all_with_its_exit_code() -> None:
    supervisor = Supervisor(3, running(ENDS_WITH_TWO))
    with pytest.raises(WorkerEnded, match="worker 1 of 3 ended with exit code 2") as ended:
        supervisor.run()
    assert ended.value.exit_code == 2
    assert not any(child.running for child in supervisor.children)


def test_a_worker_that_ends_badly_when_it_is_asked_to_gives_its_exit_code_to_all() -> None:
    supervisor = Supervisor(2, running(ENDS_BADLY))
    failures: list[WorkerEnded] = []

    def run() -> None:
        with pytest.raises(WorkerEnded, match="worker 1 of 2 was asked to stop") as ended:
            supervisor.run()
        failures.append(ended.value)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: all(child.address for child in supervisor.children))
    supervisor.stop()
    thread.join(30)
    assert [failure.exit_code for failure in failures] == [1]


def test_a_restart_for_which_the_system_has_no_room_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = Child(0, running(SERVES), 0.0)
    child.plan_restart()
    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", Mock(side_effect=BlockingIOError(11, "no room")))
        child.restart_if_due()
    assert (child.running, child.restarts) == (False, 0)
    child.restart_if_due()
    assert (child.running, child.restarts) == (True, 1)
    child.terminate()
    child.wait(30)


def test_workers_find_modules_where_the_program_does_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/usr/bin", *sys.path])
    assert worker_command(["a.yaml"])(0, 7)[1] == "-P"
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert "-P" not in worker_command(["a.yaml"])(0, 7)


def test_a_second_request_reaches_the_workers_as_a_second_signal() -> None:
    with supervising(IGNORES_THE_FIRST_SIGTERM) as (supervisor, thread):
        supervisor.stop()

        # Whether the first SIGTERM has come cannot be seen, so a second one is sent until it ends.
        def ended() -> bool:
            supervisor.terminate()
            return not thread.is_alive()

        wait_until(ended)


def test_a_worker_that_hangs_is_killed_in_the_end() -> None:
    supervisor = Supervisor(2, running(DOES_NOT_END), leave_seconds=0.1)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_until(lambda: all(child.address for child in supervisor.children))
    supervisor.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert not any(child.running for child in supervisor.children)


def test_each_restart_in_a_row_waits_longer_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(0, running(SERVES), 1.0)
    now = [1000.0]
    monkeypatch.setattr("millstream.supervisor.processes.time.monotonic", lambda: now[0])
    child.started_at = now[0]
    assert [child.plan_restart() for _ in range(7)] == [1, 2, 4, 8, 16, LONGEST_WAIT_SECONDS, 30]
    now[0] += 61  # it has run for a minute since: that is another matter
    assert child.plan_restart() == 1


def test_a_worker_stops_when_its_supervisor_is_gone() -> None:
    stopped = threading.Event()
    ours, theirs = socket.socketpair()
    line = ControlChannel(theirs.detach())
    line.tell("127.0.0.1:1")
    line.when_broken(stopped.set)
    assert ours.recv(100) == b"127.0.0.1:1\n"
    assert not stopped.is_set()
    ours.close()
    assert stopped.wait(30)


def test_a_supervisor_that_is_gone_before_its_worker_speaks_stops_it_too() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    line = ControlChannel(theirs.detach())
    line.tell("127.0.0.1:1")
    stopped = threading.Event()
    line.when_broken(stopped.set)
    assert stopped.wait(30)


def test_each_worker_has_names_of_its_own_and_an_address_for_the_supervisor_alone(
    tmp_path: Path,
) -> None:
    settings = Settings.model_validate(
        {
            "app": "app",
            "instance": "blue",
            "kafka": {"bootstrap.servers": "none:9092", "group.instance.id": "member"},
            "events": {"topic": "events", "features": ["a"]},
            "model": {"river": "cluster.KMeans()"},
            "labels": {"from": "none"},
            "http": {"host": "localhost", "port": 9464},
        }
    )
    own = numbered(settings, 3)
    assert own.instance == "blue-3"
    assert own.kafka["group.instance.id"] == "member-3"
    assert (own.http.host, own.http.port) == ("127.0.0.1", 0)
    assert numbered(settings.model_copy(update={"instance": None}), 3).instance is None
    assert settings.kafka["group.instance.id"] == "member"
