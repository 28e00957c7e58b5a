"""Millstream inside a Faust app (package `faust-streaming`; `pip install 'millstream[faust]'`).

    import faust
    import millstream.faust

    app = faust.App("fraud", broker="kafka://localhost:9092")
    millstream.faust.attach(app, "millstream.yaml")

The worker then lives in the app: an agent for each of its topics, the app's brokers and security,
its start and stop, its web server. See docs/faust.md.
"""

from pathlib import Path
from typing import Any

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import Settings, load_settings
from millstream.errors import SettingsError

try:
    from millstream.runners.faust.attach import attach_worker, refuse_unfit
    from millstream.runners.faust.program import Faust
    from millstream.runners.faust.security import kafka_of
    from millstream.runners.faust.service import FaustWorker
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in {"faust", "mode", "aiokafka"}:
        raise
    raise SettingsError(
        "Faust is not installed: pip install 'millstream[faust]' (the package faust-streaming)"
    ) from error

__all__ = ["Faust", "FaustWorker", "attach"]


def attach(app: Any, settings: Settings | Path | str) -> FaustWorker:
    """Run a worker inside a Faust app, from the app's start to its stop.

    `app`: a `faust.App` that has not started yet. `settings`: a settings file, or what
    `millstream.load_settings` returned. `app` in it has to be the Faust app's id; brokers
    and security are the Faust app's, whatever `kafka` says. Returns the worker, whose `health` and
    `metrics` the app may look at.

    Raises SettingsError (one sentence) where settings, model and app do not fit together.
    """
    refuse_unfit(app)
    kafka = kafka_of(app)
    if isinstance(settings, Settings):
        settings = settings.model_copy(update={"kafka": {**settings.kafka, **kafka}})
    else:
        settings = load_settings(settings, kafka)
    return attach_worker(app, settings, learner_factory(settings))
