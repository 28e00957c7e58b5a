"""Health and metrics of all workers of a supervisor."""

import http.client
import json
import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from millstream.supervisor.processes import Child

ASK_SECONDS: Final = 0.8
"""A probe's own time-out is a second, as Kubernetes has it by default."""
START_SECONDS: Final = 60.0
"""How long a process may take to answer at first; imports are slow."""

_log = logging.getLogger(__name__)


def _ask(child: Child, path: str) -> bytes | None:
    """A worker's answer; None where it gives none."""
    address = child.address
    if address is None:
        return None
    connection = http.client.HTTPConnection(address, timeout=ASK_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        _log.debug("a worker did not answer", exc_info=True, extra={"worker": child.number})
        return None
    finally:
        connection.close()


def _ask_all(children: Sequence[Child], path: str) -> list[bytes | None]:
    with ThreadPoolExecutor(len(children)) as pool:
        return list(pool.map(lambda child: _ask(child, path), children))


class AllHealth:
    """Alive where every worker is, ready where every worker is."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children

    def report(self) -> dict[str, object]:
        """Answer of /livez and /readyz: for all, then each worker's own."""
        answers = _ask_all(self._children, "/livez")
        reports = [_report(*pair) for pair in zip(self._children, answers, strict=True)]
        late = [
            f"worker {report['worker']}: {report['reason']}"
            for report in reports
            if not report["ready"]
        ]
        return {
            "alive": all(report["alive"] for report in reports),
            "ready": not late,
            "reason": "; ".join(late) or None,
            "workers": reports,
        }


def _report(child: Child, answer: bytes | None) -> dict[str, Any]:
    if answer is not None:
        return {"worker": child.number, **json.loads(answer)}
    if not child.running:
        # The supervisor restarts it; restarting all because of it would only make it worse.
        return _silent(child, alive=True, reason="it was killed, and will be started again")
    if child.address is None:
        starting = time.monotonic() - child.started_at < START_SECONDS
        return _silent(child, alive=starting, reason="it is starting")
    return _silent(child, alive=False, reason="it does not answer")


def _silent(child: Child, *, alive: bool, reason: str) -> dict[str, Any]:
    return {"worker": child.number, "alive": alive, "ready": False, "reason": reason}


class AllMetrics(Collector):
    """Every worker's metrics, with the label `worker`, and the supervisor's own.

    These are `millstream_worker_up`, whether a worker answered this scrape, and
    `millstream_worker_restarts_total`, how often it was started again because it was killed.
    """

    def __init__(self, children: Sequence[Child], app: str) -> None:
        self._children = children
        self._app = app

    def registry(self) -> CollectorRegistry:
        """A registry with this alone in it."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def describe(self) -> Iterable[Metric]:
        """Nothing: the metrics are known at a scrape only."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Answer a scrape."""
        up = GaugeMetricFamily(
            "millstream_worker_up", "Whether the worker answered.", labels=["app", "worker"]
        )
        restarts = CounterMetricFamily(
            "millstream_worker_restarts",
            "How often the worker was started again because it was killed.",
            labels=["app", "worker"],
        )
        merged: dict[str, Metric] = {}
        answers = _ask_all(self._children, "/metrics")
        for child, answer in zip(self._children, answers, strict=True):
            up.add_metric([self._app, str(child.number)], float(answer is not None))
            restarts.add_metric([self._app, str(child.number)], child.restarts)
            if answer is not None:
                _merge(answer.decode(), child.number, merged)
        return [up, restarts, *merged.values()]


def _merge(text: str, number: int, merged: dict[str, Metric]) -> None:
    for family in text_string_to_metric_families(text):
        known = merged.setdefault(
            family.name, Metric(family.name, family.documentation, family.type)
        )
        for sample in family.samples:
            labels = {**sample.labels, "worker": str(number)}
            known.samples.append(sample._replace(labels=labels))
