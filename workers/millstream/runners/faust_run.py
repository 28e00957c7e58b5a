"""`millstream run` with `runner: faust`: a Faust app that holds nothing but the worker."""

import os
import signal
import tempfile
from collections.abc import Callable

import faust

from millstream.core.models.learner import Learner
from millstream.errors import Stop
from millstream.runners.faust_attach import attach_worker
from millstream.runners.faust_kafka import app_options
from millstream.runners.faust_service import FaustWorker
from millstream.settings import Settings


class Faust:
    """A worker and the app around it."""

    def __init__(self, settings: Settings, build_learner: Callable[[], Learner]) -> None:
        """Raises SettingsError for connection properties that Faust cannot be given."""
        self._settings = settings
        # Faust makes a folder for tables, which this app has none of.
        self._folder = tempfile.TemporaryDirectory(prefix="millstream-faust-")
        self.app = faust.App(settings.app, datadir=self._folder.name, **app_options(settings))
        self.worker: FaustWorker = attach_worker(self.app, settings, build_learner, pages=False)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; raises what ended the worker, if something did."""
        # Logs are ours, and go where `millstream.logs` sends them.
        program = faust.Worker(
            self.app, override_logging=False, redirect_stdouts=False, quiet=True,
            loglevel=self._settings.log.level,
        )  # fmt: skip
        try:
            program.execute_from_commandline()
        except SystemExit as ended:
            if self.worker.failure is None and ended.code:
                raise Stop(f"Faust has ended by itself ({ended.code}): see its log") from ended
        finally:
            self._folder.cleanup()
        failure = self.worker.failure
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Ask Faust to stop, in good order; from any thread."""
        os.kill(os.getpid(), signal.SIGTERM)  # what Faust listens to
