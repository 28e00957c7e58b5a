"""The main runner: one member of the app's consumer group, through confluent-kafka."""

import threading
from collections.abc import Callable

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.delivery.transactional_id import TransactionalIdLease
from millstream.kafka.admin import connect
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.topic_layout import require_topics
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.assembly import WorkerInputs, worker_parts
from millstream.runners.confluent.loop import Loop


class Worker:
    """One member of the app's consumer group."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        metrics: Metrics,
        health: Health,
        new_consumer: Callable[[Settings], GroupConsumer] | None = None,
        slot: TransactionalIdLease | None = None,
    ) -> None:
        """Connects only in `run`.

        `new_consumer`: builds another consumer than the worker's own; `slot`: the lease that this
        worker has already; else it takes one. `run` closes both.
        """
        self._stopping = threading.Event()
        self._given = WorkerInputs(
            settings, build_learner, metrics, health, self._stopping, new_consumer, slot
        )

    def stop(self) -> None:
        """Ask to finish the batch, commit and leave the group; from any thread or a signal."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`; raises `Stop` and `SettingsError`."""
        settings = self._given.settings
        admin = connect(settings)
        require_topics(settings, admin)
        with worker_parts(self._given, admin) as parts:
            Loop(parts, settings, self._stopping).run()
