"""`millstream run`: starts a worker, or several of them."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer
from prometheus_client import disable_created_metrics

from millstream.cli.console import SettingsFile
from millstream.cli.signals import stop_on_signals
from millstream.config.settings import Settings, load_settings
from millstream.delivery.producer_warmup import ProducerWarmup
from millstream.delivery.transactional_id import TransactionalIdLease
from millstream.errors import SettingsError
from millstream.observability import logs
from millstream.observability.http_server import HealthServer
from millstream.supervisor.aggregation import AllHealth, AllMetrics
from millstream.supervisor.control_channel import ControlChannel, numbered
from millstream.supervisor.processes import Supervisor, worker_command

MOST_WORKERS: Final = 256

Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N|auto",
        help="How many worker processes; auto: one for each processor.",
    ),
]
Number = Annotated[int | None, typer.Option("--worker", hidden=True)]
Descriptor = Annotated[int | None, typer.Option("--line", hidden=True)]


def run(
    settings_file: SettingsFile,
    workers: Workers = "1",
    worker: Number = None,
    line: Descriptor = None,
) -> None:
    """Predict and learn until SIGTERM or SIGINT (Ctrl-C), which end it cleanly.

    A second signal ends it at once: the open batch is undone, and done again at the next start.
    """
    count = _count(workers)
    settings = load_settings(settings_file)
    logs.configure(settings.log, settings.kafka)
    disable_created_metrics()
    if (worker is None) != (line is None):
        raise SettingsError("--worker and --line are for `run --workers` alone: leave them out")
    if worker is not None and line is not None:
        logs.name_worker(worker)
        _work(numbered(settings, worker), settings_file, ControlChannel(line))
    elif count > 1:
        _supervise(count, settings, settings_file)
    else:
        _work(settings, settings_file, None)


def _count(workers: str) -> int:
    if workers == "auto":
        return _processors()
    if workers.isascii() and workers.isdigit() and 1 <= int(workers) <= MOST_WORKERS:
        return int(workers)
    raise SettingsError(
        f"--workers {workers}: give a number from 1 to {MOST_WORKERS}, or auto for one for each "
        "processor"
    )


def _processors() -> int:
    """CPUs that this process may use if the system tells, else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _supervise(count: int, settings: Settings, settings_file: Path) -> None:
    from millstream.artifacts.loader import learner_factory  # noqa: PLC0415 - see `_work`

    learner_factory(settings)()  # so that what is wrong with the model is said once
    supervisor = Supervisor(count, worker_command([str(settings_file)]))
    stop_on_signals(supervisor.stop, at_once=supervisor.terminate)
    health = AllHealth(supervisor.children)
    metrics = AllMetrics(supervisor.children, settings.app)
    server = HealthServer(settings.http, health, metrics.registry())
    if settings.http.enabled:
        server.start()
    try:
        supervisor.run()
    finally:
        server.stop()


def _work(settings: Settings, settings_file: Path, line: ControlChannel | None) -> None:
    slot = None
    if settings.runner == "confluent":  # inside Faust it has no process of its own
        slot = TransactionalIdLease(settings.app, settings.instance)
        if settings.processing_guarantee == "exactly_once":
            slot.warmup = ProducerWarmup(settings, slot.name)
    # Only now: this imports River, or scikit-learn, which takes seconds.
    from millstream.cli.worker_process import work  # noqa: PLC0415 - see above

    work(settings, settings_file, line, slot)
