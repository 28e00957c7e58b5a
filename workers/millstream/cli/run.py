"""`millstream run`: the worker."""

import gc
import logging
import signal
from types import FrameType

from prometheus_client import disable_created_metrics

from millstream import logs
from millstream.cli.common import SettingsFile
from millstream.health import Health, HealthServer
from millstream.loading import learner_factory, why_not_reproducible
from millstream.metrics import Metrics
from millstream.runners import failpoints
from millstream.runners.confluent import Worker
from millstream.runners.topics import TopicsNotReady
from millstream.settings import failpoint, load_settings

_log = logging.getLogger(__name__)


def run(settings_file: SettingsFile) -> None:
    """Predict and learn until SIGTERM or SIGINT (Ctrl-C), which end it cleanly.

    A second signal ends it at once: the open batch is undone, and done again at the next start.
    """
    settings = load_settings(settings_file)
    logs.configure(settings.log, settings.kafka)
    failpoints.arm(failpoint())
    disable_created_metrics()
    _collect_garbage_less_often()
    metrics, health = Metrics(), Health()
    build_learner = learner_factory(settings)
    if build_learner().learns:
        for sentence in why_not_reproducible(settings):
            _log.warning(sentence)
    worker = Worker(settings, build_learner, metrics, health)
    _stop_on_signals(worker)
    server = HealthServer(settings.http, health, metrics.registry)
    if settings.http.enabled:
        server.start()
    try:
        worker.run()
    except TopicsNotReady as error:
        raise TopicsNotReady(error.found, str(settings_file)) from error
    finally:
        server.stop()


def _collect_garbage_less_often() -> None:
    """Tell the collector of cycles that a batch's records are none.

    It looks at every 700 objects made, and a batch makes ten thousands that are gone when it is
    committed; looking at them over and over took a tenth of the time for a River model, and a
    third for a static one (benchmarks/core_path.py). What was imported stays for good anyway.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _stop_on_signals(worker: Worker) -> None:
    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        _log.info("stopping", extra={"signal": signal.Signals(number).name})
        worker.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
