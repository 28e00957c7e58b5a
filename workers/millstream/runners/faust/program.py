"""A Faust app with nothing but the worker, for `millstream run` with `runner: faust`."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import faust

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.delivery.transactional_id import host_folder
from millstream.errors import Stop
from millstream.runners.faust.attach import attach_worker
from millstream.runners.faust.security import app_options
from millstream.runners.faust.service import FaustWorker


class Faust:
    """A worker and its app."""

    def __init__(self, settings: Settings, build_learner: Callable[[], Learner]) -> None:
        """Raises SettingsError for connection properties that Faust cannot be given."""
        self._settings = settings
        self.app = faust.App(settings.app, datadir=_no_tables(), **app_options(settings))
        self.worker: FaustWorker = attach_worker(self.app, settings, build_learner, pages=False)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; raises the error that ended the worker, if any."""
        # Logs are ours, and go where `millstream.observability.logs` sends them.
        program = faust.Worker(
            self.app, override_logging=False, redirect_stdouts=False, quiet=True,
            loglevel=self._settings.log.level,
        )  # fmt: skip
        try:
            program.execute_from_commandline()
        except SystemExit as ended:
            if self.worker.failure is None and ended.code:
                raise Stop(f"Faust has ended by itself ({ended.code}): see its log") from ended
        failure = self.worker.failure
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Ask Faust to stop after its open batch; from any thread."""
        os.kill(os.getpid(), signal.SIGTERM)  # what Faust listens to


def _no_tables() -> Path:
    """The folder for tables, of which this app has none.

    One place for all workers: a folder for each would be left behind by those that are killed, or
    that a signal ends before Faust listens to signals.
    """
    folder = host_folder() / "faust"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(
            f"Faust's folder {folder} cannot be made ({error.strerror}): make the folder above it "
            "writable, or set TMPDIR"
        ) from error
    return folder
