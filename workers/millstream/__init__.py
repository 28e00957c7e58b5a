"""Millstream: predictions on Kafka events by models that keep learning, exactly once.

What stands in `__all__` is the public Python API: see docs/api.md. Nothing is imported before it is
asked for, as the libraries behind it take a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.arrivals import Source
    from millstream.core.decoding import Codec
    from millstream.core.models.base_learner import BaseLearner
    from millstream.core.models.learner import Answer, Features, Kind, Label, Learner
    from millstream.core.records import REASONS
    from millstream.errors import DeadLetter, MillstreamError, SettingsError, Stop
    from millstream.evaluation import Report, evaluate
    from millstream.memory import Buried, Memory, Prediction
    from millstream.settings import Settings, load_settings, make_settings
    from millstream.worker import Worker

__version__ = "0.1.0"

__all__ = [
    "REASONS",
    "Answer",
    "BaseLearner",
    "Buried",
    "Codec",
    "DeadLetter",
    "Features",
    "Kind",
    "Label",
    "Learner",
    "Memory",
    "MillstreamError",
    "Prediction",
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
    "Answer": "core.models.learner",
    "BaseLearner": "core.models.base_learner",
    "Buried": "memory",
    "Codec": "core.decoding",
    "DeadLetter": "errors",
    "Features": "core.models.learner",
    "Kind": "core.models.learner",
    "Label": "core.models.learner",
    "Learner": "core.models.learner",
    "Memory": "memory",
    "MillstreamError": "errors",
    "Prediction": "memory",
    "Report": "evaluation",
    "REASONS": "core.records",
    "Settings": "settings",
    "SettingsError": "errors",
    "Source": "arrivals",
    "Stop": "errors",
    "Worker": "worker",
    "evaluate": "evaluation",
    "load_settings": "settings",
    "make_settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
