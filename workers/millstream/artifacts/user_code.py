"""Functions of the user's: model factories and codecs, named as `package.module:function`."""

import importlib
from collections.abc import Callable
from typing import Any

from millstream.core.formats.codec import Codec
from millstream.core.models.base_learner import BaseLearner, UserLearner
from millstream.core.models.interface.traits import KINDS
from millstream.errors import SettingsError


def load_codec(reference: str, setting: str = "events.codec") -> Codec:
    """The codec `package.module:function`. Raises SettingsError where it is not there."""
    codec: Codec = _function(setting, reference)
    return codec


def _function(setting: str, reference: str) -> Callable[..., Any]:
    """The user's `package.module:function`."""
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name.isidentifier():
        raise SettingsError(f"{setting}: {reference!r} is not of the form package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # A package that is there may need another one that is not.
        remedy = (
            "install it, or put its folder into PYTHONPATH"
            if f"{module_name}.".startswith(f"{missing}.")
            else f"it needs {missing}, which has to be installed"
        )
        raise SettingsError(
            f"{setting}: {module_name} cannot be imported ({first_line(error)}): {remedy}"
        ) from error
    except Exception as error:
        raise SettingsError(
            f"{setting}: {module_name} cannot be imported ({first_line(error)})"
        ) from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        raise SettingsError(f"{setting}: {module_name} has no function {function_name}")
    return function


def call_factory(reference: str) -> Any:
    """Call the user's `package.module:function`."""
    function = _function("model.factory", reference)
    try:
        model = function()
    except Exception as error:
        raise SettingsError(f"model.factory: {reference} failed ({first_line(error)})") from error
    if isinstance(model, type) or not (hasattr(model, "learn_one") or hasattr(model, "predict")):
        raise SettingsError(
            f"model.factory: {reference} returned {_article(model)}, not a model: let it return a "
            "River model, a scikit-learn estimator or a millstream.BaseLearner"
        )
    if isinstance(model, BaseLearner | UserLearner) and getattr(model, "kind", None) not in KINDS:
        raise SettingsError(
            f"model.factory: {type(model).__name__}.kind is "
            f"{getattr(model, 'kind', 'missing')}: it has to be one of {', '.join(KINDS)}"
        )
    return model


def first_line(error: Exception) -> str:
    """The class of an error, and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _article(value: object) -> str:
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
