"""The protocol and the base class of models that users write themselves."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

from millstream.core.models.interface.learner import Answer, Features, Label
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.interface.traits import Kind


@runtime_checkable
class UserLearner(Protocol):
    """A model of the user's own: its traits are attributes, and it holds its own state.

    See `LearnerTraits` for the attributes and the internal `Learner` for the methods;
    `CheckedLearner` makes such a `Learner` of it. The public name is `millstream.Learner`.
    """

    kind: Kind
    supervised: bool
    learns: bool
    batched: bool
    finite: bool
    binary: bool
    predict_changes_state: bool
    feature_names: tuple[str, ...] | None
    feature_count: int | None
    made: str | None
    """Not used any more."""
    numeric_only: bool

    @property
    def model(self) -> Any:
        """The object that holds the state."""

    @property
    def untaught(self) -> bool:
        """Whether nothing was learned yet, where that makes a difference to how it predicts."""

    def replace_model(self, model: Any, *, untaught: bool) -> None:
        """Replace the state by that of `model`, which is of the same class as one's own.

        `untaught`: the value of that property in the learner which `model` was of.
        """

    def predict(self, features: Features) -> Answer:
        """As in `Learner`."""

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """As in `Learner`."""

    def learn(self, features: Features, label: Label | None) -> None:
        """As in `Learner`."""

    def transform(self, features: Features) -> dict[str, Any]:
        """As in `Learner`."""

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        """As in `Learner`."""

    def digest(self) -> str:
        """As in `Learner`."""


Learner = UserLearner
"""Its name in the public API."""


class BaseLearner(ABC):
    """A model of your own, for a `factory` to return: define how it predicts and how it learns.

    Its state is in its attributes, which have to be picklable; `snapshots.trust` has to name the
    module of its class. The same examples in the same order have to make the same attributes: seed
    every random number generator, and read no clock.

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

    # -- state for snapshots ------------------------------------------------------------------

    @property
    def model(self) -> Self:
        """The object that holds the state: the learner itself."""
        return self

    @property
    def untaught(self) -> bool:
        """False: it predicts the same way before and after its first example."""
        return False

    def replace_model(self, model: Any, *, untaught: bool) -> None:  # noqa: ARG002 - see above
        """Take over the state of another learner of the same class."""
        state = object.__getstate__(model)  # attributes, or those and what is in __slots__
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        for name, value in {**(attributes or {}), **(slots or {})}.items():
            setattr(self, name, value)
