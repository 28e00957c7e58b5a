"""A worker inside a user's program; `millstream run` runs the same one."""

from os import PathLike

from prometheus_client import CollectorRegistry

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import Settings, load_settings
from millstream.errors import SettingsError
from millstream.observability.health import Health
from millstream.observability.http_server import HealthServer
from millstream.observability.metrics import metrics_of
from millstream.runners.confluent.worker import Worker as ConfluentWorker


class Worker:
    """One worker of an app, on Kafka; start as many as there are partitions, each in its process.

        worker = Worker("millstream.yaml")
        threading.Thread(target=worker.run).start()
        ...
        worker.stop()

    It connects in `run`, not before:

    >>> worker = Worker("examples/phishing/millstream.yaml")
    >>> worker.ready
    False

    The program configures logging and signals. Metrics are in `registry`, and with the health of
    the worker on the port that the settings name (`http.enabled: false`: nowhere).
    """

    def __init__(self, settings: Settings | str | PathLike[str]) -> None:
        """Load settings and model; connects only in `run`. Raises `SettingsError`."""
        given = settings if isinstance(settings, Settings) else load_settings(settings)
        if given.runner != "confluent":
            raise SettingsError(
                f"runner is {given.runner}: millstream run starts that, and "
                "millstream.faust.attach puts a worker into a Faust app; for millstream.Worker, "
                "set runner: confluent"
            )
        self.settings = given
        self._health = Health()
        metrics = metrics_of(given, self._health)
        self._worker = ConfluentWorker(given, learner_factory(given), metrics, self._health)
        self.registry: CollectorRegistry = metrics.registry

    def run(self) -> None:
        """Work until `stop` is called; raises `Stop` where the worker cannot go on."""
        server = HealthServer(self.settings.http, self._health, self.registry)
        if self.settings.http.enabled:
            server.start()
        try:
            self._worker.run()
        finally:
            server.stop()

    def stop(self) -> None:
        """Finish the batch, commit and leave the group; callable from any thread or signal."""
        self._worker.stop()

    @property
    def ready(self) -> bool:
        """Whether it has partitions, and all of them are restored."""
        return self._health.ready()

    @property
    def why_not_ready(self) -> str | None:
        """A sentence on what is missing; None when the worker is ready."""
        return self._health.why_not_ready()
