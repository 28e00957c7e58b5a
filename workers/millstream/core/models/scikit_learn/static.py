"""Learners of scikit-learn estimators; `incremental` has those that keep learning.

Rows go in as one NumPy matrix whose columns are picked by name, in the order in which the model
was fitted, so no data frame is built. scikit-learn warns when a model that was fitted with a data
frame is given a matrix, since it cannot see whether the columns are right; they are, so that one
warning is silenced around the calls.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClusterMixin, is_classifier, is_outlier_detector, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from millstream.core.models.interface.learner import Answer, Features, Label
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.interface.traits import Kind, LearnerTraits
from millstream.errors import SettingsError

_LABEL_IS_MOST_PROBABLE = (
    BaggingClassifier,
    CalibratedClassifierCV,
    ExtraTreesClassifier,
    RandomForestClassifier,
)
"""Classifiers whose `predict` is the argmax of their `predict_proba`, by their source: one call
does for both. Others decide by something else (a margin, a threshold, votes): both are called."""


def sklearn_kind(estimator: Any) -> Kind:
    """Tell the kind of an estimator. Raises SettingsError for one that makes no predictions."""
    name = type(estimator).__name__
    if not hasattr(estimator, "predict"):
        raise SettingsError(f"model: {name} has no predict, so it cannot answer events")
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if is_classifier(estimator):
        return "classifier"
    if is_regressor(estimator):
        return "regressor"
    if is_outlier_detector(estimator):
        return "anomaly"
    if isinstance(final, ClusterMixin):
        return "clusterer"
    raise SettingsError(
        f"model: {name} is neither classifier, regressor, outlier detector nor clusterer"
    )


class SklearnLearner:
    """The part of a `Learner` that is the same for static and incremental estimators."""

    learns: ClassVar[bool]

    def __init__(self, estimator: Any, feature_names: Sequence[str] | None) -> None:
        self.model = estimator
        self._kind = sklearn_kind(estimator)
        fitted_on = getattr(estimator, "feature_names_in_", None)
        self.traits = LearnerTraits(
            kind=self._kind,
            supervised=self.learns,
            learns=self.learns,
            batched=not self.learns,
            feature_names=None if fitted_on is None else tuple(map(str, fitted_on)),
            feature_count=getattr(estimator, "n_features_in_", None),
            numeric_only=True,
        )
        if feature_names is not None:
            self.check_features(feature_names)
        names = self.traits.feature_names or feature_names
        if names is None:
            raise SettingsError(
                f"events.features: list the features in their order; {type(estimator).__name__} "
                "was not fitted on named ones, so it cannot know which is which"
            )
        names = tuple(names)
        self._pick = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        self._width = len(names)
        self._has_probabilities = self._kind == "classifier" and hasattr(estimator, "predict_proba")

    @property
    def state(self) -> Self:
        """Everything that it has learned: itself."""
        return self

    @property
    def untrained(self) -> bool:
        """Never: it has no warm-up model."""
        return False

    def replace_model(self, model: Any, *, untrained: bool) -> None:
        """Replace the estimator."""
        self.model = model

    def check_features(self, names: Sequence[str]) -> None:
        """Compare names with those that the model was fitted on, and their order.

        Raises SettingsError that names the difference.
        """
        expected = self.traits.feature_names
        if expected is None:
            if self.traits.feature_count not in {None, len(names)}:
                raise SettingsError(
                    f"events.features: {len(names)} are listed, but the model was fitted on "
                    f"{self.traits.feature_count}"
                )
            return
        missing = [name for name in expected if name not in names]
        unknown = [name for name in names if name not in expected]
        if missing or unknown:
            parts = [
                f"the model needs {', '.join(missing)}" if missing else "",
                f"the model does not know {', '.join(unknown)}" if unknown else "",
            ]
            raise SettingsError(f"events.features: {'; '.join(part for part in parts if part)}")
        if tuple(names) != expected:
            raise SettingsError(
                "events.features: the model was fitted on them in another order: "
                f"{', '.join(expected)}"
            )

    def predict(self, features: Features) -> Answer:
        """Answer one event."""
        return self.predict_many((features,))[0]

    def predict_many(self, rows: Sequence[Features]) -> list[Answer]:
        """Answer all rows by one vectorised call (two where label and probabilities differ)."""
        with unnamed_columns():
            return self._answers(self._matrix(rows))

    def transform(self, features: Features) -> dict[str, Any]:
        """Return the features as they are: the steps of a Pipeline are not taken apart."""
        return dict(features)

    def digest(self) -> str:
        """Digest of the estimator's state."""
        return digest(self.model)

    def _matrix(self, rows: Sequence[Features]) -> Any:
        values = chain.from_iterable(map(self._pick, rows))
        return np.fromiter(values, np.float64, len(rows) * self._width).reshape(-1, self._width)

    def _answers(self, matrix: Any) -> list[Answer]:
        if self._kind == "classifier":
            return self._classified(matrix)
        if self._kind == "anomaly":
            return self._scored(matrix)
        return [{"prediction": value} for value in self.model.predict(matrix).tolist()]

    def _classified(self, matrix: Any) -> list[Answer]:
        if not self._has_probabilities:
            return [{"prediction": label} for label in self.model.predict(matrix).tolist()]
        probabilities = self.model.predict_proba(matrix)
        if type(self.model) in _LABEL_IS_MOST_PROBABLE:
            labels = self.model.classes_.take(probabilities.argmax(axis=1))
        else:
            labels = self.model.predict(matrix)
        classes = self.model.classes_.tolist()
        answered = zip(labels.tolist(), probabilities.tolist(), strict=True)
        if len(classes) == 2:  # the usual number, in half the time
            one, two = classes
            return [
                {"prediction": label, "probabilities": {one: first, two: second}}
                for label, (first, second) in answered
            ]
        return [
            {"prediction": label, "probabilities": dict(zip(classes, row))}  # noqa: B905 - slower
            for label, row in answered
        ]

    def _scored(self, matrix: Any) -> list[Answer]:
        """Score outliers; scikit-learn's scores are low for them, ours are high."""
        score = getattr(self.model, "score_samples", None) or self.model.decision_function
        verdicts = (self.model.predict(matrix) == -1).tolist()
        scores = (-score(matrix)).tolist()
        return [
            {"prediction": verdict, "score": value}
            for verdict, value in zip(verdicts, scores, strict=True)
        ]


class StaticSklearn(SklearnLearner):
    """A fitted estimator that only predicts, many events at a time.

    Raises SettingsError for one that is not fitted, or that cannot predict from a matrix.
    """

    learns = False

    def __init__(self, estimator: Any, feature_names: Sequence[str] | None = None) -> None:
        super().__init__(estimator, feature_names)
        if not is_fitted(estimator):
            raise SettingsError(f"model: {type(estimator).__name__} is not fitted")
        columns = self.traits.feature_count or len(self.traits.feature_names or feature_names or ())
        try:
            with unnamed_columns():
                answers = self._answers(np.ones((2, columns)))
        except Exception as error:
            raise SettingsError(
                f"model: {type(estimator).__name__} cannot predict from a matrix of numbers "
                f"({type(error).__name__}: {_first_line(error)})"
            ) from error
        if isinstance(answers[0]["prediction"], list):
            raise SettingsError(f"model: {type(estimator).__name__} has several targets per event")

    def learn(self, features: Features, label: Label | None) -> None:
        """Never called: a static model does not learn."""
        raise TypeError("a static model does not learn")

    def learn_transformed(
        self,
        features: Features,
        transformed: Features,
        label: Label | None,
    ) -> None:
        """Never called: a static model does not learn."""
        raise TypeError("a static model does not learn")


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator has learned anything."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


@contextmanager
def unnamed_columns() -> Iterator[None]:
    """Silence the warning about columns without names; see the top of this file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        yield
