"""What a model of another kind than River's and scikit-learn's is built on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from millstream.core.models.interface.learner import Answer, Features, Kind, Label
from millstream.core.models.interface.state_digest import digest


class BaseLearner(ABC):
    """A model of your own, for a `factory` to return: say how it predicts, and how it learns.

    All that it has learned is in its attributes, which have to be such that they can be pickled;
    `snapshots.trust` has to name the module of its class. The same examples in the same order have
    to make the same attributes: seed what draws random numbers, and ask no clock.

    >>> class Mean(BaseLearner):
    ...     kind = "regressor"
    ...     def __init__(self):
    ...         self.sum, self.count = 0.0, 0
    ...     def predict(self, features):
    ...         return {"prediction": self.sum / self.count if self.count else None}
    ...     def learn(self, features, label):
    ...         self.sum, self.count = self.sum + label, self.count + 1
    >>> mean = Mean()
    >>> mean.learn({"x": 1.0}, 3.0)
    >>> mean.predict({"x": 2.0})
    {'prediction': 3.0}
    """

    kind: Kind
    """What it answers: see `Answer`."""
    supervised: bool = True
    learns: bool = True
    batched: bool = False
    finite: bool = False
    binary: bool = False
    predict_changes_state: bool = False
    feature_names: tuple[str, ...] | None = None
    feature_count: int | None = None
    made: str | None = None
    numeric_only: bool = False

    @abstractmethod
    def predict(self, features: Features) -> Answer:
        """Answer one event. What it raises makes the event a dead letter."""

    @abstractmethod
    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example. Where it raises, the model is restored, and the example left out."""

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row, as `predict` would; asked for where `batched` is true.

        Where it raises, or an answer is none, each row is asked by itself.
        """
        return [self.predict(features) for features in rows]

    def transform(self, features: Features) -> dict[str, Any]:
        """The features themselves."""
        return dict(features)

    def learn_transformed(
        self,
        features: Features,  # noqa: ARG002 - there are no steps before the last
        transformed: Features,
        label: Label | None,
    ) -> None:
        """Learn from `transformed`."""
        self.learn(transformed, label)

    def digest(self) -> str:
        """Canonical digest of the attributes."""
        return digest(self)

    # -- how snapshots see it -----------------------------------------------------------------

    @property
    def model(self) -> Self:
        """What holds the state: the learner itself."""
        return self

    @property
    def untaught(self) -> bool:
        """It predicts in one way."""
        return False

    def replace_model(self, model: Any, *, untaught: bool) -> None:  # noqa: ARG002 - see above
        """Go on with the state of another learner of the same class."""
        state = object.__getstate__(model)  # attributes, or those and what is in __slots__
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        for name, value in {**(attributes or {}), **(slots or {})}.items():
            setattr(self, name, value)
