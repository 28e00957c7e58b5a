"""One address for several workers: health and metrics."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from millstream.config.sections import HttpSettings
from millstream.observability.health import Health
from millstream.observability.http_server import HealthServer
from millstream.observability.metrics import Metrics
from millstream.supervisor.aggregation import AllHealth, AllMetrics
from millstream.supervisor.processes import Child
from tests.support.http_get import get

ANY = HttpSettings(port=0)


class Here(Child):
    """A worker in this process."""

    def __init__(self, number: int) -> None:
        super().__init__(number, lambda *_: (), 1.0)
        self.health, self.metrics = Health(), Metrics()
        self.server = HealthServer(ANY, self.health, self.metrics.registry)
        self._address: str | None = self.server.start()
        self.up = True

    @property
    def address(self) -> str | None:
        return self._address

    @property
    def running(self) -> bool:
        return self.up

    def silence(self) -> None:
        self.server.stop()

    def has_not_said(self, since: float) -> None:
        self._address, self.started_at = None, since


@pytest.fixture
def workers() -> Iterator[list[Here]]:
    with ExitStack() as stack:
        workers = [Here(number) for number in range(2)]
        for worker in workers:
            stack.callback(worker.silence)
            worker.health.set_shards(2, 2)
        yield workers


@pytest.fixture
def address(workers: list[Here]) -> Iterator[str]:
    server = HealthServer(ANY, AllHealth(workers), AllMetrics(workers, "fraud").registry())
    yield server.start()
    server.stop()


def test_all_are_alive_and_ready_where_each_is(address: str) -> None:
    status, body = get(address, "/readyz")
    assert status == HTTPStatus.OK
    report = json.loads(body)
    assert (report["alive"], report["ready"], report["reason"]) == (True, True, None)
    assert [each["worker"] for each in report["workers"]] == [0, 1]
    assert report["workers"][1]["shards_assigned"] == 2


def test_one_that_restores_makes_all_unready_and_leaves_them_alive(
    address: str, workers: list[Here]
) -> None:
    workers[1].health.set_shards(2, 1)
    status, body = get(address, "/readyz")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert json.loads(body)["reason"] == "worker 1: 1 of 2 shards are restored"
    assert get(address, "/livez")[0] == HTTPStatus.OK


def test_one_that_does_not_answer_is_not_alive(address: str, workers: list[Here]) -> None:
    workers[0].silence()
    status, body = get(address, "/livez")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert json.loads(body)["reason"] == "worker 0: it does not answer"


def test_one_that_was_killed_is_not_ready_and_ends_nobody_else(
    address: str, workers: list[Here]
) -> None:
    workers[0].silence()
    workers[0].up = False
    assert get(address, "/livez")[0] == HTTPStatus.OK
    status, body = get(address, "/readyz")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "worker 0: it was killed, and will be started again" in json.loads(body)["reason"]


def test_one_that_starts_has_a_minute_to_do_so(
    address: str, workers: list[Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.supervisor.aggregation.time.monotonic", lambda: 1000.0)
    workers[0].has_not_said(since=950.0)
    assert get(address, "/livez")[0] == HTTPStatus.OK
    assert get(address, "/readyz")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    workers[0].has_not_said(since=900.0)
    assert get(address, "/livez")[0] == HTTPStatus.SERVICE_UNAVAILABLE


def test_metrics_of_all_are_one_page_and_say_whose_they_are(
    address: str, workers: list[Here]
) -> None:
    workers[0].metrics.batches.add({("predicted",): 3})
    workers[1].metrics.batches.add({("predicted",): 4})
    workers[1].metrics.batches.observe_batch(7)
    workers[1].restarts = 5
    page = get(address, "/metrics")[1].decode()
    lines = page.splitlines()
    assert 'millstream_predicted_total{worker="0"} 3.0' in lines
    assert 'millstream_predicted_total{worker="1"} 4.0' in lines
    assert 'millstream_batch_records_bucket{le="16.0",worker="1"} 1.0' in lines
    assert 'millstream_worker_restarts_total{app="fraud",worker="1"} 5.0' in lines
    assert lines.count("# TYPE millstream_predicted_total counter") == 1


def test_a_worker_that_does_not_answer_is_down_and_the_others_metrics_are_there(
    address: str, workers: list[Here]
) -> None:
    workers[0].silence()
    lines = get(address, "/metrics")[1].decode().splitlines()
    assert 'millstream_worker_up{app="fraud",worker="0"} 0.0' in lines
    assert 'millstream_worker_up{app="fraud",worker="1"} 1.0' in lines
    assert 'millstream_predicted_total{worker="1"} 0.0' in lines


def test_the_page_on_monitoring_names_what_the_supervisor_adds(workers: list[Here]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    added = AllMetrics(workers, "fraud").collect()
    own = [family for family in added if family.name.startswith("millstream_worker_")]
    assert len(own) == 2
    for family in own:
        assert f"`{family.samples[0].name}`" in page
