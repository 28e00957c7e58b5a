"""A learner's state as bytes, and back into a fresh learner."""

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
    """The state of a learner at one moment; nothing in it changes with the learner any more."""

    codec: StateForm
    untaught: bool
    portable: bool
    """Means the same in another release of the libraries."""
    _content: Node
    _classes: list[tuple[str, tuple[str, ...]]]

    def to_bytes(self) -> bytes:
        """Serialise. Not for the loop: takes a multiple of the time that `capture` does."""
        if self.codec == "json":
            return to_json(self._content, self._classes, untaught=self.untaught)
        content: bytes = self._content
        return (b"\x01" if self.untaught else b"\x00") + content


def capture(learner: Learner) -> Captured:
    """Copy what a learner has learned; fast, and leaves the learner as it is.

    (But for a model that has to be pickled: CPython makes its objects slower for good then.)
    Raises CannotCaptureError.
    """
    taker = StateCapture()
    try:
        node = taker.take_all(learner.model)
    except NotPlainError:
        pickled = _pickled(learner.model)
        return Captured("pickle", learner.untaught, portable=False, _content=pickled, _classes=[])
    return Captured(
        "json", learner.untaught, not taker.opaque, _content=node, _classes=taker.classes
    )


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

    `trusted_modules`: see `unpickling.unpickle`. Raises BadStateError; the learner is then good
    for nothing. The bytes of a pickle should be known to be one's own, by their checksum at least.
    """
    if codec == "pickle":
        model = unpickle(data[1:], trusted_modules)
        if type(model) is not type(learner.model):
            raise BadStateError(
                f"it holds a {type(model).__name__}, but the settings define a "
                f"{type(learner.model).__name__}"
            )
        learner.replace_model(model, untaught=data[:1] == b"\x01")
        return
    try:
        model, untaught = _filled(learner.model, data)
    except MisfitError as error:
        raise BadStateError(f"it does not fit the model in the settings: {error}") from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # River's Rust parts raise one that is no Exception
        raise BadStateError(f"its JSON is not a state ({type(error).__name__}: {error})") from error
    learner.replace_model(model, untaught=untaught)


def _filled(model: Any, data: bytes) -> tuple[Any, bool]:
    state = orjson.loads(data)
    if state["format"] != FORMAT:
        raise MisfitError(f"it is written in format {state['format']}, not {FORMAT}")
    if StateRestorer(state["classes"]).put(state["model"], model) is not model:
        raise MisfitError("it does not begin with a model")
    return model, bool(state["untaught"])
