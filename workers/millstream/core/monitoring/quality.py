"""Quality of predictions, for the metrics; nothing else depends on it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from millstream.core.models.interface.learner import Label
from millstream.core.models.interface.traits import Kind

ScoreOutcome = Literal[
    "true_positive", "true_negative", "false_positive", "false_negative",
    "correct", "wrong", "number",
]  # fmt: skip
OUTCOMES: Final[tuple[ScoreOutcome, ...]] = (
    "true_positive", "true_negative", "false_positive", "false_negative",
    "correct", "wrong", "number",
)  # fmt: skip
Scored = tuple[Any, Label | None]
"""What was predicted (None: nothing yet), and what turned out to be true (None: not known)."""

_OF_TWO: Final[dict[tuple[bool, bool], ScoreOutcome]] = {
    (True, True): "true_positive",
    (False, False): "true_negative",
    (True, False): "false_positive",
    (False, True): "false_negative",
}


@dataclass(slots=True)
class Quality:
    """How the predictions of a batch compare with their labels."""

    outcomes: dict[ScoreOutcome, int] = field(default_factory=dict)
    absolute_error: float = 0.0
    """Sum over those counted as `number`, in the unit of the label."""


def quality(scored: Sequence[Scored], kind: Kind) -> Quality:
    """Compare predictions with their labels, where there are both."""
    known = [(said, true) for said, true in scored if said is not None and true is not None]
    if kind == "regressor":
        return _of_numbers(known)
    result = Quality()
    if kind == "classifier":
        for said, true in known:
            outcome = _of_classes(said, true)
            result.outcomes[outcome] = result.outcomes.get(outcome, 0) + 1
    return result


def _of_numbers(known: Iterable[tuple[Any, Label]]) -> Quality:
    errors = [abs(said - float(true)) for said, true in known]
    return Quality({"number": len(errors)} if errors else {}, sum(errors))


def _of_classes(said: Any, true: Label) -> ScoreOutcome:
    # True == 1 in Python, but they are two classes.
    if type(said) is bool and type(true) is bool:
        return _OF_TWO[said, true]
    return "correct" if type(said) is type(true) and said == true else "wrong"
