"""`millstream run`: the worker, or several of them."""

import gc
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from prometheus_client import disable_created_metrics

from millstream import logs
from millstream.cli.common import SettingsFile
from millstream.core.models.learner import Learner
from millstream.errors import SettingsError
from millstream.health import Health, HealthServer
from millstream.loading import learner_factory, why_not_reproducible
from millstream.metrics import Metrics, metrics_of
from millstream.runners import failpoints
from millstream.runners.confluent import Worker
from millstream.runners.topics import TopicsNotReady
from millstream.settings import Settings, failpoint, load_settings
from millstream.supervisor.answers import AllHealth, AllMetrics
from millstream.supervisor.child import Line, numbered
from millstream.supervisor.processes import Supervisor, worker_command

_log = logging.getLogger(__name__)

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
        _work(numbered(settings, worker), settings_file, Line(line))
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
    """How many this process may use, where the system tells; else how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _supervise(count: int, settings: Settings, settings_file: Path) -> None:
    learner_factory(settings)()  # so that what is wrong with the model is said once
    supervisor = Supervisor(count, worker_command([str(settings_file)]))
    _stop_on_signals(supervisor.stop, at_once=supervisor.terminate)
    health = AllHealth(supervisor.children)
    metrics = AllMetrics(supervisor.children, settings.app)
    server = HealthServer(settings.http, health, metrics.registry())
    if settings.http.enabled:
        server.start()
    try:
        supervisor.run()
    finally:
        server.stop()


def _work(settings: Settings, settings_file: Path, line: Line | None) -> None:
    failpoints.arm(failpoint())
    _collect_garbage_less_often()
    build_learner = learner_factory(settings)
    if build_learner().learns:
        for sentence in why_not_reproducible(settings):
            _log.warning(sentence)
    work, stop, metrics, health = _runner(settings, build_learner)
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
    settings: Settings, build_learner: Callable[[], Learner]
) -> tuple[Callable[[], None], Callable[[], None], Metrics, Health]:
    """What works until it is stopped (or by a signal), and what it tells of itself."""
    if settings.runner == "faust":
        # Only here: Faust is an extra, and takes a second to import.
        from millstream.faust import Faust  # noqa: PLC0415 - see above

        program = Faust(settings, build_learner)
        return program.run, program.stop, program.worker.metrics, program.worker.health
    health = Health()
    metrics = metrics_of(settings, health)
    worker = Worker(settings, build_learner, metrics, health)
    _stop_on_signals(worker.stop)
    return worker.run, worker.stop, metrics, health


def _collect_garbage_less_often() -> None:
    """Tell the collector of cycles that a batch's records are none.

    It looks at every 700 objects made, and a batch makes ten thousands that are gone when it is
    committed; looking at them over and over took a tenth of the time for a River model, and a
    third for a static one (benchmarks/core_path.py). What was imported stays for good anyway.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _stop_on_signals(stop: Callable[[], None], at_once: Callable[[], None] | None = None) -> None:
    """The first signal asks to stop; the second ends the process, and what `at_once` ends."""

    def first(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL if at_once is None else second)
        _log.info("stopping", extra={"signal": signal.Signals(number).name})
        stop()

    def second(number: int, _frame: FrameType | None) -> None:
        if at_once is not None:
            at_once()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, first)
    signal.signal(signal.SIGINT, first)
