"""Turns a model's exception into a dead-letter reason."""

from typing import Final

from millstream.core.models.interface.learner import Features
from millstream.errors import DeadLetter

_NAMED: Final = 10
"""Features at most in a sentence."""


def raised(reason: str, error: Exception, features: Features) -> DeadLetter:
    """The dead letter of an event or example that made the model raise `error`.

    Names the features that hold text, since what raises most often is a model that computes, and
    never a value.
    """
    texts = [name for name, value in features.items() if type(value) is str]
    if not texts:
        return DeadLetter(reason, type(error).__name__)
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    sentence = (
        f"there is text in {', '.join(texts[:_NAMED])}{more}: does the model take text there?"
    )
    return DeadLetter(reason, f"{type(error).__name__}; {sentence}")
