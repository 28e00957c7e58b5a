"""Millstream: predictions on Kafka events by models that keep learning, exactly once.

What stands in `__all__` is the public Python API: see docs/api.md. Nothing is imported before it is
asked for, as the libraries behind it take a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream._versions import __version__
    from millstream.config.settings import Settings, load_settings, make_settings
    from millstream.core.formats.codec import Codec
    from millstream.core.models.base_learner import BaseLearner, Learner
    from millstream.core.models.interface.learner import Answer, Features, Label
    from millstream.core.models.interface.traits import Kind
    from millstream.core.records.record import REASONS
    from millstream.errors import DeadLetter, MillstreamError, SettingsError, Stop
    from millstream.evaluation import Report, evaluate
    from millstream.memory import Memory, Prediction, RejectedRecord
    from millstream.sources.readers import Source
    from millstream.worker import Worker


__all__ = [
    "REASONS",
    "Answer",
    "BaseLearner",
    "Codec",
    "DeadLetter",
    "Features",
    "Kind",
    "Label",
    "Learner",
    "Memory",
    "MillstreamError",
    "Prediction",
    "RejectedRecord",
    "Report",
    "Settings",
    "SettingsError",
    "Source",
    "Stop",
    "Worker",
    "__version__",
    "evaluate",
    "load_settings",
    "make_settings",
]

_HOMES = {
    "Answer": "core.models.interface.learner",
    "BaseLearner": "core.models.base_learner",
    "RejectedRecord": "memory",
    "Codec": "core.formats.codec",
    "DeadLetter": "errors",
    "Features": "core.models.interface.learner",
    "Kind": "core.models.interface.traits",
    "Label": "core.models.interface.learner",
    "Learner": "core.models.base_learner",
    "Memory": "memory",
    "MillstreamError": "errors",
    "Prediction": "memory",
    "Report": "evaluation",
    "REASONS": "core.records.record",
    "Settings": "config.settings",
    "SettingsError": "errors",
    "Source": "sources.readers",
    "Stop": "errors",
    "Worker": "worker",
    "evaluate": "evaluation",
    "load_settings": "config.settings",
    "__version__": "_versions",
    "make_settings": "config.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
