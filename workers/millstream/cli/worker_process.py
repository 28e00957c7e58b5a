"""One worker process; imports are late, as they take most of its start."""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from millstream import _failpoints as failpoints
from millstream.artifacts.loader import learner_factory, why_not_reproducible
from millstream.cli.signals import stop_on_signals
from millstream.config.environment import failpoint
from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.delivery.transactional_id import TransactionalIdLease
from millstream.kafka.topic_layout import TopicsNotReady
from millstream.observability.health import Health
from millstream.observability.http_server import HealthServer
from millstream.observability.metrics import Metrics, metrics_of
from millstream.runners.confluent.worker import Worker
from millstream.supervisor.control_channel import ControlChannel

_log = logging.getLogger(__name__)

GC_THRESHOLDS: Final = (100_000, 50, 100)
"""See `_collect_garbage_less_often`."""


def work(
    settings: Settings,
    settings_file: Path,
    line: ControlChannel | None,
    slot: TransactionalIdLease | None,
) -> None:
    """Run a worker until it is stopped. Raises `Stop` if it cannot continue."""
    failpoints.arm(failpoint())
    _collect_garbage_less_often()
    build_learner = learner_factory(settings)
    if build_learner().traits.learns:
        for sentence in why_not_reproducible(settings):
            _log.warning(sentence)
    work, stop, metrics, health = _runner(settings, build_learner, slot)
    server = HealthServer(settings.http, health, metrics.registry)
    address = server.start() if settings.http.enabled else ""
    if line is not None:
        line.tell(address)
        line.when_broken(stop)
    try:
        work()
    except TopicsNotReady as error:
        raise TopicsNotReady(error.found, str(settings_file)) from error
    finally:
        server.stop()


def _runner(
    settings: Settings, build_learner: Callable[[], Learner], slot: TransactionalIdLease | None
) -> tuple[Callable[[], None], Callable[[], None], Metrics, Health]:
    """The worker, which a signal stops, and its metrics and health."""
    if settings.runner == "faust":
        # Only here: Faust is an extra, and takes a second to import.
        from millstream.faust import Faust  # noqa: PLC0415 - see above

        program = Faust(settings, build_learner)
        return program.run, program.stop, program.worker.metrics, program.worker.health
    health = Health()
    metrics = metrics_of(settings, health)
    worker = Worker(settings, build_learner, metrics, health, slot=slot)
    stop_on_signals(worker.stop)
    return worker.run, worker.stop, metrics, health


def _collect_garbage_less_often() -> None:
    """Exempt the records of a batch from the garbage collector.

    It looks at every 700 objects made, and a batch makes ten thousands that are gone when it is
    committed; looking at them over and over took a tenth of the time for a River model, and a
    third for a static one (benchmarks/core_path.py). What was imported stays for good anyway.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
