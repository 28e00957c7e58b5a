"""Attaches a worker to a Faust app."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from faust import App
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.registry import Collector

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.errors import SettingsError
from millstream.runners.faust.security import is_carried
from millstream.runners.faust.service import FaustWorker

WEB_PREFIX: Final = "/millstream"


def attach_worker(
    app: App, settings: Settings, build_learner: Callable[[], Learner], *, pages: bool = True
) -> FaustWorker:
    """See `millstream.faust.attach`. `pages`: serve health and metrics on Faust's web server."""
    for sentence in _misfits(app, settings):
        raise SettingsError(sentence)
    worker = FaustWorker(app, settings, build_learner)
    for name in sorted(worker.bridge.topics):
        # Bytes as they are, and none of Faust's own acks: offsets are committed with the outputs.
        topic = app.topic(
            name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
            acks=False,
        )  # fmt: skip
        app.agent(topic, name=f"millstream.{name}")(worker.agent)
    app.service(worker)
    if pages:
        _serve(app, worker)
    return worker


def refuse_unfit(app: object) -> None:
    """Raises `SettingsError` where no worker can be attached to `app`, whatever its settings."""
    if not isinstance(app, App):
        raise SettingsError(
            f"attach was given a {type(app).__name__} where the faust.App should be: write "
            'millstream.faust.attach(app, "millstream.yaml")'
        )
    if app.started:  # too late for agents, services and pages
        raise SettingsError(
            "this Faust app has started already: attach the worker where the app is made, before "
            "app.main() or the faust command starts it"
        )


def _misfits(app: App, settings: Settings) -> Iterator[str]:
    conf = app.conf
    if settings.processing_guarantee != "at_least_once":
        yield (
            "processing_guarantee: exactly_once cannot be had inside Faust, which does not let "
            "offsets join the transaction of another producer: set it to at_least_once (what is "
            "learned stays exactly once, outputs may repeat), or start millstream run beside Faust"
        )
    if (
        str(getattr(conf.processing_guarantee, "value", conf.processing_guarantee))
        != "at_least_once"
    ):
        yield (
            'this Faust app has processing_guarantee="exactly_once", under which its consumer may '
            "not commit offsets by itself: take it away (docs/faust.md says what it would not have "
            "kept anyway)"
        )
    if conf.id != settings.app:
        yield (
            f"app is {settings.app}, but the Faust app's id, and with it its consumer group, is "
            f"{conf.id}: make them equal, for the settings' app is the group that is looked at by "
            "every other command"
        )
    if getattr(app.transport, "driver_version", "").partition("=")[0] != "aiokafka":
        yield (
            "this Faust app's broker URL names another driver than aiokafka: begin it with kafka://"
        )
    if not _has_security(conf, settings):
        yield (
            "the credentials of this Faust app cannot be carried over to the worker's own clients "
            f"({type(conf.broker_credentials).__name__}): write the same into the settings, as "
            "librdkafka's properties (kafka.security.protocol and so on)"
        )
    if any(name.startswith("millstream.") for name in app.agents):
        yield "a worker is attached to this Faust app already: an app can have one"


def _has_security(conf: Any, settings: Settings) -> bool:
    return is_carried(conf.broker_credentials) or "security.protocol" in settings.kafka


def _serve(app: App, worker: FaustWorker) -> None:
    """Serve pages on Faust's web server, and our metrics among those of Faust's sensor."""

    async def livez(view: Any, _request: Any) -> Any:
        return _health(view, worker, good=worker.health.alive())

    async def readyz(view: Any, _request: Any) -> Any:
        return _health(view, worker, good=worker.health.ready())

    async def metrics(view: Any, _request: Any) -> Any:
        return view.text(generate_latest(worker.metrics.registry).decode())

    for page in (livez, readyz, metrics):
        app.page(f"{WEB_PREFIX}/{page.__name__}")(page)
    REGISTRY.register(_WorkerMetrics(worker))


def _health(view: Any, worker: FaustWorker, *, good: bool) -> Any:
    return view.json(worker.health.report(), status=200 if good else 503)


class _WorkerMetrics(Collector):
    """A worker's metrics for Prometheus' default registry, which Faust's sensor uses."""

    def __init__(self, worker: FaustWorker) -> None:
        self._worker = worker

    def describe(self) -> list[Any]:
        """Nothing: no other metrics have these names."""
        return []

    def collect(self) -> Iterator[Any]:
        """Answer a scrape."""
        yield from self._worker.metrics.registry.collect()
