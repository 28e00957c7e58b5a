"""The worker inside Faust, on a real Kafka: an app of its own, with its event loop, in each thread.

Whatever is done from outside is done as with the main runner. Nothing here is imported from Faust
before a worker starts, as it is an extra.
"""

import asyncio
import importlib
import importlib.util
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import make_settings
from millstream.errors import MillstreamError
from tests.conformance.adapter import Ended
from tests.conformance.adapters import confluent
from tests.conformance.logbook import Logbook

SECONDS = confluent.SECONDS
# Faust's consumer leaves its group without a word, so each restart waits for as long.
_SESSION = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000}


class Adapter(confluent.Adapter):
    """See `tests.conformance.adapter`."""

    guarantees: ClassVar[tuple[str, ...]] = ("at_least_once",)
    at_once: ClassVar[int] = 10

    @staticmethod
    def why_not() -> str | None:
        if importlib.util.find_spec("millstream.faust") is None:
            return "there is no runner for Faust"
        # Once it is imported it hides what it was found by.
        if "faust" not in sys.modules and importlib.util.find_spec("faust") is None:
            return "Faust is not installed: pip install 'millstream[faust]'"
        return None

    def start(self, settings: Mapping[str, Any]) -> None:
        super().start({**settings, "runner": "faust"})

    def kafka_settings(self) -> dict[str, Any]:
        return {**super().kafka_settings(), **_SESSION}

    def new_thread(self, name: str, settings: Mapping[str, Any]) -> "AppThread":
        return AppThread(name, settings, self._log, self._stage.folder)


class AppThread:
    """A Faust app that holds nothing but the worker; see `confluent.WorkerThread`."""

    def __init__(self, name: str, settings: Mapping[str, Any], log: Logbook, folder: Path) -> None:
        self._name = name
        self._folder = folder / name.replace("/", "-")
        self._settings = make_settings(settings)
        self._worker: Any = None
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        log.follow(name)
        self._thread = threading.Thread(target=self._run, name=f"{name}/loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work())
        except BaseException as error:  # noqa: BLE001 - raised by who waits for the worker
            self._failure = error
        finally:
            self._loop.close()

    async def _work(self) -> None:
        faust = importlib.import_module("faust")
        attach = importlib.import_module("millstream.runners.faust.attach").attach_worker
        options = importlib.import_module("millstream.runners.faust.security").app_options
        settings = self._settings
        app = faust.App(
            settings.app, datadir=str(self._folder), loop=self._loop, **options(settings)
        )
        build = learner_factory(settings)
        self._worker = worker = attach(app, settings, build, pages=False)
        self._name_thread(worker)
        await app.start()
        while not self._stopping.is_set() and worker.failure is None:
            try:
                await asyncio.wait_for(self._stopping.wait(), 0.1)
            except TimeoutError:
                continue
        await app.stop()

    def _name_thread(self, worker: Any) -> None:
        """Let the logbook find what the worker's loop logs: it runs in a thread of its own."""
        work, name = worker._work, self._name

        def work_by_name(*given: Any) -> None:
            threading.current_thread().name = name
            work(*given)

        worker._work = work_by_name

    @property
    def ready(self) -> bool:
        """Whether it has partitions, and all of them can be worked on."""
        return self._worker is not None and bool(self._worker.health.ready())

    def raise_if_ended(self) -> None:
        """Raise what ended it, if something did: `Ended` where it was a sentence for the user."""
        failure = self._failure or (self._worker and self._worker.failure)
        if failure is None:
            assert self._thread.is_alive(), "the app has ended without being asked to"
        elif isinstance(failure, MillstreamError):
            raise Ended(str(failure)) from failure
        else:
            raise failure

    def stop(self) -> None:
        """End it in good order; what ended it before is not raised again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the app does not stop"
        # An app that fails as it stops leaves its services: a worker without it would try for ever.
        if self._worker is not None and self._worker._thread is not None:
            self._worker._worker.stop()
            self._worker._thread.join(SECONDS)

    def counts(self) -> Counter[str]:
        """What its metrics have counted."""
        return confluent.counts_in(self._worker.metrics.registry)
