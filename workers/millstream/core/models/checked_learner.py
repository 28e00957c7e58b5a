"""A user's own learner as a `Learner`, with every answer checked.

The answers of libraries have a known form. A user's own model may answer anything, and one bad
answer must cost one event, not the worker. The check stands here so that the models of River and
scikit-learn pay nothing for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self

from millstream.core.models.base_learner import UserLearner
from millstream.core.models.interface.answers import is_finite_number, plain
from millstream.core.models.interface.learner import Answer, Features, Label
from millstream.core.models.interface.traits import Kind, LearnerTraits
from millstream.errors import DeadLetter

_KEYS: Final[Mapping[Kind, frozenset[str]]] = {
    "classifier": frozenset({"prediction", "probabilities"}),
    "regressor": frozenset({"prediction"}),
    "anomaly": frozenset({"prediction", "score"}),
    "clusterer": frozenset({"prediction"}),
}
_NUMBERS: Final = (bool, int, float)


class CheckedLearner:
    """Calls the learner inside, and checks its answers.

    That learner stays as its author made it: what the settings decide is in `traits` here, so its
    state is its author's alone. It is given copies of the features, because these are published and
    learned as they came, whatever it does with them.
    """

    def __init__(self, learner: UserLearner) -> None:
        """`learner`: nothing else uses it."""
        self._own = learner
        self.traits = replace(LearnerTraits.of_user_learner(learner), finite=True)
        self._kind = self.traits.kind

    @property
    def state(self) -> Self:
        """The state of the learner inside, through this one."""
        return self

    @property
    def model(self) -> Any:
        """The object that holds the state."""
        return self._own.model

    @property
    def untrained(self) -> bool:
        """As the learner inside says."""
        return self._own.untaught

    def replace_model(self, model: Any, *, untrained: bool) -> None:
        """Take over the state of another learner of the same class."""
        self._own.replace_model(model, untaught=untrained)

    def predict(self, features: Features) -> Answer:
        """Answer one event; raises `DeadLetter` for an answer of another form."""
        return self._checked(self._own.predict(dict(features)))

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row; the processor compares the number of answers with that of the rows."""
        return [self._checked(each) for each in self._own.predict_many([dict(row) for row in rows])]

    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example."""
        self._own.learn(dict(features), label)

    def transform(self, features: Features) -> dict[str, Any]:
        """The features as the last step sees them."""
        return self._own.transform(dict(features))

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        """Learn with the last step from `transformed`."""
        self._own.learn_transformed(dict(features), dict(transformed), label)

    def digest(self) -> str:
        """Canonical digest of what it has learned."""
        return self._own.digest()

    # -- the form of an answer ----------------------------------------------------------------

    def _checked(self, given: Any) -> Answer:
        """The answer as plain values in a new dict; raises `DeadLetter`."""
        if not isinstance(given, Mapping):
            raise _odd(f"the answer is a {type(given).__name__}, not a dict")
        if "prediction" not in given:
            raise _odd("the answer has no key prediction")
        if unknown := [key for key in given if key not in _KEYS[self._kind]]:
            raise _odd(f"the answer of a {self._kind} has no key {str(unknown[0])[:50]}")
        answer: Answer = {"prediction": self._prediction(plain(given["prediction"]))}
        if "probabilities" in given:
            answer["probabilities"] = _probabilities(given["probabilities"])
        if "score" in given:
            answer["score"] = _number(plain(given["score"]), "the score")
        elif self._kind == "anomaly":
            raise _odd("the answer has no key score")
        return answer

    def _prediction(self, value: Any) -> Any:
        if value is None or (self._kind == "classifier" and isinstance(value, str)):
            return value
        return _number(value, "the prediction")


def _probabilities(given: Any) -> dict[Any, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise _odd(f"probabilities is a {type(given).__name__}, not a dict")
    numbers = {plain(label): _number(plain(each), "a probability") for label, each in given.items()}
    if any(each < 0 for each in numbers.values()):
        raise _odd("a probability is below 0")
    return numbers


def _number(value: Any, what: str) -> Any:
    if isinstance(value, complex) or (isinstance(value, float) and not is_finite_number(value)):
        raise DeadLetter("not_finite")
    if not isinstance(value, _NUMBERS):
        raise _odd(f"{what} is a {type(value).__name__}")
    return value


def _odd(sentence: str) -> DeadLetter:
    return DeadLetter("predict_error", sentence)
