"""The protocol that a model of any library meets."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from millstream.core.models.interface.traits import LearnerTraits

Features = Mapping[str, Any]
"""Feature name to value, in the order of the settings. The order is part of the arithmetic (sums of
floats), so no step may sort it."""
Label = bool | int | float | str
Answer = dict[str, Any]
"""The model's part of a prediction record:

- classifier: `{"prediction": label or None, "probabilities": {label: probability}}`
  (no `probabilities` key where the model has none; None and {} before the first example)
- regressor: `{"prediction": number or None}`
- anomaly: `{"prediction": bool or None, "score": number}` (None unless the model is a filter, which
  decides by itself what an anomaly is)
- clusterer: `{"prediction": cluster number or None}`
"""


class LearnerState(Protocol):
    """Everything that a learner has learned, for snapshots to read and to replace."""

    @property
    def model(self) -> Any:
        """The library's own model."""

    @property
    def untrained(self) -> bool:
        """Whether it still predicts by a warm-up model, as nothing was learned yet."""

    def replace_model(self, model: Any, *, untrained: bool) -> None:
        """Replace the model by one that holds the state of another learner of this definition.

        `untrained`: whether that learner was.
        """


class Learner(Protocol):
    """A model behind one set of methods, whatever library it comes from.

    A learner is deterministic: the same calls in the same order give the same answers and the
    same `digest`. `predict` never changes what is learned, unless
    `traits.predict_changes_state` is true.
    """

    traits: LearnerTraits

    @property
    def state(self) -> LearnerState:
        """Everything that it has learned."""

    def predict(self, features: Features) -> Answer:
        """Answer one event. Raises what the model raises."""

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row, as `predict` would."""

    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example; `label` is None for unsupervised models.

        Not atomic: a model that raises may have changed in part, so it has to be restored.
        """

    def transform(self, features: Features) -> dict[str, Any]:
        """The features as the last step of a pipeline sees them now (no change of state)."""

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        """Learn with the last step from `transformed`, and with the steps before from `features`.

        `transformed` is the result of `transform` at the time of the prediction.
        """

    def digest(self) -> str:
        """Canonical digest of everything learned, as hex: equal if and only if the state is."""
