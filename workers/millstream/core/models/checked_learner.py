"""A learner of the user's own, held to what `Learner` promises.

Libraries answer in one way that is known; what somebody wrote themselves may answer anything, and
one odd answer must cost one event, not the worker. So it is looked at here, where it comes from,
and what River and scikit-learn answer pays nothing for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from millstream.core.models.interface.answers import is_finite_number, plain
from millstream.core.models.interface.learner import Answer, Features, Kind, Label, Learner
from millstream.errors import DeadLetter

_KEYS: Final[Mapping[Kind, frozenset[str]]] = {
    "classifier": frozenset({"prediction", "probabilities"}),
    "regressor": frozenset({"prediction"}),
    "anomaly": frozenset({"prediction", "score"}),
    "clusterer": frozenset({"prediction"}),
}
_NUMBERS: Final = (bool, int, float)


class CheckedLearner:
    """Does what the learner inside does, and checks what it answers.

    That one is left as its author made it: what settings decide (`learns`, `made`) is kept here,
    so its state is its author's alone. It is given copies of the features, because these are
    published and learned as they came, whatever it does with them.
    """

    finite = True

    def __init__(self, learner: Learner) -> None:
        """`learner`: nothing else uses it."""
        self._own = learner
        self.kind = learner.kind
        self.supervised = learner.supervised
        self.learns = learner.learns
        self.batched = learner.batched
        self.binary = learner.binary
        self.predict_changes_state = learner.predict_changes_state
        self.feature_names = learner.feature_names
        self.feature_count = learner.feature_count
        self.made = learner.made
        self.numeric_only = learner.numeric_only

    @property
    def model(self) -> Any:
        """What holds the state."""
        return self._own.model

    @property
    def untaught(self) -> bool:
        """As it says itself."""
        return self._own.untaught

    def replace_model(self, model: Any, *, untaught: bool) -> None:
        """Go on with the state of another learner of the same class."""
        self._own.replace_model(model, untaught=untaught)

    def predict(self, features: Features) -> Answer:
        """Answer one event; raises `DeadLetter` where the answer is none."""
        return self._checked(self._own.predict(dict(features)))

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row; that there are as many answers as rows is for the shard to see."""
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

    # -- what an answer has to be -------------------------------------------------------------

    def _checked(self, given: Any) -> Answer:
        """An answer of plain values, in a dict of its own; raises `DeadLetter`."""
        if not isinstance(given, Mapping):
            raise _odd(f"the answer is a {type(given).__name__}, not a dict")
        if "prediction" not in given:
            raise _odd("the answer has no key prediction")
        if unknown := [key for key in given if key not in _KEYS[self.kind]]:
            raise _odd(f"the answer of a {self.kind} has no key {str(unknown[0])[:50]}")
        answer: Answer = {"prediction": self._prediction(plain(given["prediction"]))}
        if "probabilities" in given:
            answer["probabilities"] = _probabilities(given["probabilities"])
        if "score" in given:
            answer["score"] = _number(plain(given["score"]), "the score")
        elif self.kind == "anomaly":
            raise _odd("the answer has no key score")
        return answer

    def _prediction(self, value: Any) -> Any:
        if value is None or (self.kind == "classifier" and isinstance(value, str)):
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
