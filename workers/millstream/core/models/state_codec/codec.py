"""Captures a learner's state, and restores it into a fresh learner."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from millstream.core.models.interface.learner import Learner
from millstream.core.models.state_codec.capture import Node, NotPlainError, StateCapture
from millstream.core.models.state_codec.errors import BadStateError, CannotCaptureError
from millstream.core.models.state_codec.json_form import FORMAT, to_json
from millstream.core.models.state_codec.restore import MisfitError, StateRestorer
from millstream.core.models.state_codec.safe_pickle import unpickle

StateForm = Literal["json", "pickle"]
_PICKLE_PROTOCOL = 5


@dataclass(frozen=True)
class Captured:
    """The state of a learner at one moment, independent of the learner from then on."""

    codec: StateForm
    untrained: bool
    portable: bool
    """Readable with other releases of the libraries."""
    _content: Node
    _classes: list[tuple[str, tuple[str, ...]]]

    def to_bytes(self) -> bytes:
        """Serialise. Not for the loop: takes several times as long as `capture`."""
        if self.codec == "json":
            return to_json(self._content, self._classes, untrained=self.untrained)
        content: bytes = self._content
        return (b"\x01" if self.untrained else b"\x00") + content


def capture(learner: Learner) -> Captured:
    """Copy the state of a learner, fast and without changing it.

    A model that has to be pickled is slower for good afterwards: CPython stores the attributes of
    its objects differently then. Raises CannotCaptureError.
    """
    state, taker = learner.state, StateCapture()
    model, untrained = state.model, state.untrained
    try:
        node = taker.take_all(model)
    except NotPlainError:
        return Captured("pickle", untrained, portable=False, _content=_pickled(model), _classes=[])
    return Captured("json", untrained, not taker.opaque, _content=node, _classes=taker.classes)


def _pickled(model: Any) -> bytes:
    try:
        return pickle.dumps(model, _PICKLE_PROTOCOL)
    except Exception as error:
        raise CannotCaptureError(
            f"{type(model).__name__} cannot be pickled ({type(error).__name__}: {error})"
        ) from error


def restore_into(
    learner: Learner, codec: StateForm, data: bytes, trusted_modules: Sequence[str] = ()
) -> None:
    """Put a state into a fresh learner of the same definition.

    `trusted_modules`: see `safe_pickle.unpickle`. Raises BadStateError; the learner must
    not be used then. Check the origin of a pickle first, by its checksum at least.
    """
    state = learner.state
    if codec == "pickle":
        model = unpickle(data[1:], trusted_modules)
        if type(model) is not type(state.model):
            raise BadStateError(
                f"it holds a {type(model).__name__}, but the settings define a "
                f"{type(state.model).__name__}"
            )
        state.replace_model(model, untrained=data[:1] == b"\x01")
        return
    try:
        model, untrained = _filled(state.model, data)
    except MisfitError as error:
        raise BadStateError(f"it does not fit the model in the settings: {error}") from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # River's Rust parts raise one that is no Exception
        raise BadStateError(f"its JSON is not a state ({type(error).__name__}: {error})") from error
    state.replace_model(model, untrained=untrained)


def _filled(model: Any, data: bytes) -> tuple[Any, bool]:
    state = orjson.loads(data)
    if state["format"] != FORMAT:
        raise MisfitError(f"it is written in format {state['format']}, not {FORMAT}")
    if StateRestorer(state["classes"]).put(state["model"], model) is not model:
        raise MisfitError("it does not begin with a model")
    return model, bool(state["untaught"])
