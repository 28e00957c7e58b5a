"""Checks of answers: plain Python values, and finite numbers."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from millstream.core.models.interface.learner import Answer


def plain(value: Any) -> Any:
    """Turn a NumPy number, boolean or text into Python's own, which JSON can hold."""
    item = getattr(value, "item", None)
    return value if item is None else item()


def plain_probabilities(probabilities: dict[Any, Any]) -> dict[Any, Any]:
    """`plain` for the labels and the numbers of a classifier's answer."""
    return {plain(label): plain(value) for label, value in probabilities.items()}


def answer_is_finite(answer: Answer) -> bool:
    """Whether every number in an answer is finite and real (None and text are no numbers).

    River's rolling scaler takes roots of variances that rounding made negative, hence complex ones.
    """
    probabilities = answer.get("probabilities")
    if probabilities:
        # A sum is NaN or infinite if one of its parts is, and probabilities cannot overflow it.
        total = sum(probabilities.values())
        return is_finite_number(total)
    number = answer["score"] if "score" in answer else answer["prediction"]
    return isfinite(number) if isinstance(number, float) else not isinstance(number, complex)


def all_are_finite(answers: Sequence[Answer]) -> bool:
    """Whether one sum shows that all answers are finite; False: check each of them."""
    try:
        return isfinite(sum([sum(answer["probabilities"].values()) for answer in answers]))
    except (KeyError, TypeError, AttributeError):
        return False


def is_finite_number(value: Any) -> bool:
    """Whether a value is a real number, and finite."""
    return isinstance(value, int | float) and isfinite(value)
