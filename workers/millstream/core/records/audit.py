"""A recorded prediction, and the verdict on it after it was made again."""

from dataclasses import dataclass
from math import isclose
from typing import Any, Final, Literal, NamedTuple

import orjson

from millstream.core.models.interface.learner import Features
from millstream.core.records.record import Record

Verdict = Literal["identical", "rounded", "different", "unknown"]
ANSWER: Final = ("prediction", "probabilities", "score", "transformed")
"""What of a prediction is the model's."""
RELATIVE_TOLERANCE: Final = 1e-9
ABSOLUTE_TOLERANCE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class RecordedPrediction:
    """A prediction in its topic."""

    partition: int
    offset: int
    """In the predictions topic."""
    id: str | int
    source: int
    """Offset of the event that it answers."""
    version: str
    learned: int
    """How many examples the model had learned."""
    owner: int
    predicted_at: int
    features: Features | None
    """None: the settings leave them out."""
    answer: dict[str, Any]

    @classmethod
    def read(cls, partition: int, record: Record) -> "RecordedPrediction | None":
        """The prediction in a record; None where it is none."""
        try:
            document = orjson.loads(record.value or b"")
            return cls(
                partition,
                record.offset,
                document["id"],
                document["source"]["offset"],
                document["model"]["version"],
                document["model"]["learned"],
                document.get("owner", 0),
                document["predicted_at"],
                document.get("features"),
                answer_in(document),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return None


class Audited(NamedTuple):
    """What an audit found of one prediction."""

    recorded: RecordedPrediction
    verdict: Verdict
    answer: dict[str, Any] | None = None
    """As it was made again; None where it could not be."""
    learned: int | None = None
    """How many examples the model had learned that made it again."""
    why: str = ""
    """Why it is `different` or `unknown`."""
    snapshot: str | None = None
    """Where the model came from; None: from the beginning of its log."""


def answer_in(document: dict[str, Any]) -> dict[str, Any]:
    """The model's part of a prediction record."""
    return {name: document[name] for name in ANSWER if name in document}


def compare(
    recorded: RecordedPrediction,
    answer: dict[str, Any],
    learned: int,
    *,
    exact: bool,
    snapshot: str | None = None,
) -> Audited:
    """Compare a prediction with the same one made again, both as read from JSON.

    `exact`: every bit counts; else a difference in the last digits is `rounded`, see the docs on
    static models.
    """
    differences = []
    if learned != recorded.learned:
        differences.append(f"learned {recorded.learned} then, {learned} now")
    same = recorded.answer.keys() == answer.keys()
    for name in dict.fromkeys([*recorded.answer, *answer]):
        then, now = recorded.answer.get(name), answer.get(name)
        # As bytes, since to Python 1, 1.0 and True are the same, and so are 0.0 and -0.0.
        if _bytes(then) == _bytes(now):
            continue
        same = False
        if exact or not _close(then, now):
            differences.append(f"{name} {_text(then)} then, {_text(now)} now")
    verdict: Verdict = "different" if differences else "identical" if same else "rounded"
    return Audited(recorded, verdict, answer, learned, "; ".join(differences), snapshot)


def _bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _text(value: Any) -> str:
    return _bytes(value).decode()


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[k], other[k]) for k in one)
    if type(one) is float and type(other) is float:
        return isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return _bytes(one) == _bytes(other)
