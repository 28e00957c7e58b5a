"""What the rest of Millstream knows of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol, get_args, runtime_checkable

Kind = Literal["classifier", "regressor", "anomaly", "clusterer"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Features = Mapping[str, Any]
"""Feature name to value, in the order in which the user names them: the order is part of the
arithmetic (sums of floats), so nobody on the way may sort it."""
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


@runtime_checkable
class Learner(Protocol):
    """A model behind one set of methods, whatever library it comes from.

    A learner is deterministic: the same calls in the same order give the same answers and the
    same `digest`. `predict` never changes what is learned, unless `predict_changes_state` says so.
    """

    kind: Kind
    supervised: bool
    """Learns from labels; an unsupervised one learns from each event as it comes."""
    learns: bool
    """False for a static model: `learn` is never called."""
    batched: bool
    """Answers many events in one vectorised call at a fraction of the cost of one by one."""
    finite: bool
    """`predict` looks itself whether its answer is finite, and raises `DeadLetter` else."""
    binary: bool
    """A classifier that knows the labels False and True only."""
    predict_changes_state: bool
    feature_names: tuple[str, ...] | None
    """Names and order that the model was fitted on, where it knows them."""
    feature_count: int | None
    """How many features the model was fitted on, where it knows."""
    made: str | None
    """What a factory made, as `made.made_digest` tells it; None for other definitions."""
    numeric_only: bool
    """Takes numbers and booleans only, and all of its features on each event (scikit-learn)."""

    @property
    def model(self) -> Any:
        """The library's own model, for `codecs` alone."""

    @property
    def untaught(self) -> bool:
        """Whether nothing was learned yet, where that makes a difference to how it predicts."""

    def replace_model(self, model: Any, *, untaught: bool) -> None:
        """Go on with `model`, which holds the state of another learner of the same definition.

        `untaught` is what that learner said of itself.
        """

    def predict(self, features: Features) -> Answer:
        """Answer one event. Raises what the model raises."""

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer each row, as `predict` would."""

    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example; `label` is None for unsupervised models.

        Not atomic: a model that raises may have moved in part, so it has to be restored.
        """

    def transform(self, features: Features) -> dict[str, Any]:
        """The features as the last step of a pipeline sees them now (no change of state)."""

    def learn_transformed(
        self, features: Features, transformed: Features, label: Label | None
    ) -> None:
        """Learn with the last step from `transformed`, and with the steps before from `features`.

        `transformed` is what `transform` gave when the prediction was made.
        """

    def digest(self) -> str:
        """Canonical digest of everything learned, as hex: equal if and only if the state is."""
