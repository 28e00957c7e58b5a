"""The fixed properties of a learner."""

from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, get_args

Kind = Literal["classifier", "regressor", "anomaly", "clusterer"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerTraits:
    """The properties of a learner that no example changes."""

    kind: Kind
    supervised: bool = True
    """Learns from labels; an unsupervised one learns from each event as it comes."""
    learns: bool = True
    """False for a static model: `learn` is never called."""
    batched: bool = False
    """Answers many events in one vectorised call at a fraction of the cost of one by one."""
    finite: bool = False
    """`predict` itself raises `DeadLetter` for an answer that is not finite."""
    binary: bool = False
    """A classifier that knows the labels False and True only."""
    predict_changes_state: bool = False
    """What is learned depends on the predictions that were asked for in between."""
    feature_names: tuple[str, ...] | None = None
    """Names and order that the model was fitted on, where it knows them."""
    feature_count: int | None = None
    """The number of features that the model was fitted on, where it knows it."""
    numeric_only: bool = False
    """Takes numbers and booleans only, and all of its features on each event (scikit-learn)."""
    factory_fingerprint: str | None = None
    """Digest of the model that a factory made; None for other definitions."""

    @classmethod
    def of_user_learner(cls, learner: Any) -> Self:
        """The traits that a user's own learner has as attributes; see `UserLearner`."""
        given = {field.name for field in fields(cls)} - {"factory_fingerprint"}
        return cls(**{name: getattr(learner, name) for name in given})
