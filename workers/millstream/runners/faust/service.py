"""The worker as a service of a Faust app, which starts, stops and fails together with the app.

    Faust's consumer --messages--> agent (take) --bridge--> the worker's loop, in its own thread
                     <--offsets-----------------------------

The loop is that of `confluent.Worker` with all of its parts: restore, snapshots, poison records,
the order of outputs. Only its consumer is another one: the `ConsumerBridge`. It has a thread of its
own so that Faust's event loop, and with it web server and timers, never waits for a model.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import TopicPartition
from mode import Service

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.errors import MillstreamError, SettingsError, Stop
from millstream.observability.health import Health
from millstream.observability.metrics import metrics_of
from millstream.runners.confluent.worker import Worker
from millstream.runners.faust.bridge import ConsumerBridge, refused
from millstream.runners.faust.consumer import ConsumerThread, consumer_class
from millstream.runners.faust.stall_detector import StallDetector

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 30.0
"""How long the app's stop waits for the open batch and the last snapshots."""


class FaustWorker(Service):
    """One worker in one Faust app."""

    def __init__(
        self, app: Any, settings: Settings, build_learner: Callable[[], Learner], **more: Any
    ) -> None:
        """Replaces the consumer class of `app`; connects when the app starts."""
        self.app = app
        self.settings = settings
        self.health = Health()
        self.metrics = metrics_of(settings, self.health)
        self.bridge = ConsumerBridge(settings, self)
        self.failure: BaseException | None = None
        """The error that ended the loop; None while there is none."""
        self._worker = Worker(
            settings, build_learner, self.metrics, self.health, lambda _: self.bridge.open()
        )
        self._stalls = StallDetector(settings, self.bridge, self.health)
        self._thread: threading.Thread | None = None
        app.transport.Consumer = consumer_class(self.bridge)
        super().__init__(**more)

    def commit(self, offsets: Sequence[TopicPartition], generation: int) -> None:
        """See `BridgedGroup.commit`."""
        thread = getattr(self.app.consumer, "_thread", None)
        if not isinstance(thread, ConsumerThread):
            raise refused("Faust's consumer is not there")
        thread.commit_from_outside(offsets, generation)

    async def agent(self, stream: Any) -> None:
        """Hand messages over to the bridge; the body of the agents of both topics."""
        faust = self.settings.faust
        within = faust.within / 1000
        async for events in stream.take_events(faust.take, within=within):
            self.bridge.put([event.message for event in events])

    # -- Faust's lifecycle ------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the loop; Faust has joined its group by now, and all its agents are known."""
        self._refuse_other_agents()
        self._thread = threading.Thread(
            target=self._work, args=(asyncio.get_running_loop(),), name="millstream", daemon=True
        )
        self._thread.start()

    def _refuse_other_agents(self) -> None:
        """Raises SettingsError where Faust would commit offsets of the worker's topics."""
        acked = {name for channel in self.app.topics if channel.acks for name in channel.topics}
        for name in sorted(acked & self.bridge.topics):
            self.failure = SettingsError(
                f"an agent of this Faust app takes from {name} as well, so Faust would commit its "
                "offsets whatever the worker has done: let it take from the worker's predictions, "
                "or put it into an app of its own"
            )
            log.error("%s", self.failure)
            raise self.failure

    async def on_stop(self) -> None:
        """Finish the batch, commit it and write the last snapshots while Faust's consumer lives."""
        self._stalls.stop()
        self._worker.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            await asyncio.get_running_loop().run_in_executor(None, thread.join, STOP_SECONDS)
            if thread.is_alive():
                log.warning(
                    "the worker did not end in time: its open batch does not count",
                    extra={"seconds": STOP_SECONDS},
                )

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._stalls.start()
            self._worker.run()
        except BaseException as error:
            self.failure = error
            if isinstance(error, MillstreamError):
                log.error("the worker ends, and Faust with it: %s", error)  # noqa: TRY400 - a sentence is enough
            else:
                log.exception("the worker ends, and Faust with it")
            asyncio.run_coroutine_threadsafe(self._fail(error), loop)
            if not isinstance(error, Exception):
                raise

    async def _fail(self, error: BaseException) -> None:
        """Crash the app: nobody would process the messages of its agents."""
        await self.app.crash(error if isinstance(error, Exception) else Stop(repr(error)))
