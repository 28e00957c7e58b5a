"""Liveness and readiness, and their HTTP server."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http import HTTPStatus
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry

from millstream.config.sections import HttpSettings
from millstream.errors import Stop
from millstream.observability.health import Health
from millstream.observability.http_server import MOST_CONNECTIONS, HealthServer
from millstream.observability.metrics import Metrics
from tests.support.http_get import get


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(stall_after=30, clock=clock)


@pytest.fixture
def address(health: Health) -> Iterator[str]:
    metrics = Metrics()
    metrics.batches.add({("learned",): 7})
    server = HealthServer(HttpSettings(port=0), health, metrics.registry)
    yield server.start()
    server.stop()


def test_a_loop_that_turns_is_alive_and_one_that_hangs_is_not(health: Health, clock: Clock) -> None:
    clock.now += 30
    assert health.alive()
    clock.now += 0.1
    assert not health.alive()
    health.beat()
    assert health.alive()


def test_a_worker_is_ready_once_it_joined_and_all_its_shards_are_restored(health: Health) -> None:
    assert not health.ready()
    health.set_shards(assigned=2, restored=1)
    assert not health.ready()
    health.set_shards(assigned=2, restored=2)
    assert health.ready()


def test_a_worker_that_waits_for_a_broker_is_alive_but_not_ready(
    health: Health, clock: Clock
) -> None:
    health.set_shards(assigned=1, restored=1)
    for seconds in range(10, 100, 4):
        clock.now += 4
        health.set_outage(seconds)
    assert health.alive()
    assert not health.ready()
    assert health.why_not_ready() == "no broker has answered for 98 s"


def test_a_loop_that_still_hangs_after_an_outage_is_not_alive(health: Health, clock: Clock) -> None:
    health.set_shards(assigned=1, restored=1)
    clock.now += 100
    health.set_outage(100)
    health.set_outage(0)
    assert health.ready()
    clock.now += 30
    assert health.alive()
    clock.now += 0.1
    health.set_outage(0)
    assert not health.alive()


def test_a_worker_that_is_not_ready_says_what_it_waits_for(health: Health) -> None:
    assert health.why_not_ready() == "the worker has not joined its group yet"
    health.set_shards(assigned=2, restored=1)
    assert health.why_not_ready() == "1 of 2 shards are restored"
    health.set_shards(assigned=2, restored=2)
    assert health.why_not_ready() is None


def test_a_member_without_partitions_is_ready(health: Health) -> None:
    health.set_shards(assigned=0, restored=0)
    assert health.ready()


def test_livez_says_whether_the_loop_turns(health: Health, clock: Clock, address: str) -> None:
    status, body = get(address, "/livez")
    assert (status, json.loads(body)["alive"]) == (HTTPStatus.OK, True)
    clock.now += 31
    status, body = get(address, "/livez")
    assert (status, json.loads(body)["alive"]) == (HTTPStatus.SERVICE_UNAVAILABLE, False)
    assert json.loads(body)["seconds_since_progress"] == 31


def test_readyz_says_how_many_shards_are_restored(health: Health, address: str) -> None:
    health.set_shards(assigned=3, restored=1)
    status, body = get(address, "/readyz")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    report = json.loads(body)
    assert (report["shards_assigned"], report["shards_restored"]) == (3, 1)
    health.set_shards(assigned=3, restored=3)
    assert get(address, "/readyz?verbose")[0] == HTTPStatus.OK


def test_metrics_are_served(address: str) -> None:
    status, body = get(address, "/metrics")
    assert status == HTTPStatus.OK
    assert b"millstream_learned_total 7.0" in body


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=foo", "text/plain; version=1.x", "nonsense"]
)
def test_a_format_that_there_is_not_is_answered_in_the_plainest_one(
    address: str, accept: str
) -> None:
    with closing(HTTPConnection(address, timeout=10)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": accept})
        answer = connection.getresponse()
        assert answer.getheader("Content-Type", "").startswith("text/plain; version=0.0.4")
        assert b"millstream_learned_total 7.0" in answer.read()


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/"])
def test_head_is_answered_like_get_without_the_body(
    health: Health, address: str, path: str
) -> None:
    health.set_shards(assigned=1, restored=0)
    answers = {}
    host, _, port = address.rpartition(":")
    for method in ("GET", "HEAD"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        lines = [line for line in head.splitlines() if not line.startswith(b"Date:")]
        answers[method] = lines[:2], body
    assert answers["HEAD"][0] == answers["GET"][0]
    assert answers["GET"][1] != b""
    assert answers["HEAD"][1] == b""


def test_another_path_says_which_there_are(address: str) -> None:
    status, body = get(address, "/")
    assert status == HTTPStatus.NOT_FOUND
    assert b"/readyz" in body


def test_clients_that_say_nothing_give_way_to_those_that_come_after_them(address: str) -> None:
    host, _, port = address.rpartition(":")
    with ExitStack() as silent:
        connections = [
            silent.enter_context(socket.create_connection((host, int(port)), timeout=5))
            for _ in range(MOST_CONNECTIONS + 20)
        ]
        assert get(address, "/livez")[0] == HTTPStatus.OK
        for connection in connections[:20]:
            assert connection.recv(1) == b"", "the server hung up"


def test_an_address_in_use_is_one_sentence_that_names_the_setting(health: Health) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HealthServer(HttpSettings(port=port), health, CollectorRegistry())
        with pytest.raises(Stop, match=rf"cannot listen on 127.0.0.1:{port} .*http.port"):
            server.start()
        server.stop()


def test_a_host_that_is_not_ours_is_one_sentence(health: Health) -> None:
    server = HealthServer(HttpSettings(host="203.0.113.7"), health, CollectorRegistry())
    with pytest.raises(Stop, match=r"cannot listen on 203\.0\.113\.7"):
        server.start()


def test_a_stopped_server_listens_no_more(health: Health) -> None:
    server = HealthServer(HttpSettings(port=0), health, CollectorRegistry())
    host, _, port = server.start().rpartition(":")
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)
