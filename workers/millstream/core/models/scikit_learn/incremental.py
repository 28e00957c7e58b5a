"""Learners of scikit-learn estimators with `partial_fit`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from millstream.core.models.interface.answers import answer_is_finite
from millstream.core.models.interface.learner import Answer, Features, Label
from millstream.core.models.scikit_learn.static import SklearnLearner, is_fitted, unnamed_columns
from millstream.errors import SettingsError


class IncrementalSklearn(SklearnLearner):
    """An estimator that learns example by example through `partial_fit`.

    Raises SettingsError where it has no `partial_fit`, or its classes are not known.
    """

    learns = True

    def __init__(
        self,
        estimator: Any,
        classes: Sequence[Label] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(estimator, feature_names)
        name = type(estimator).__name__
        if not hasattr(estimator, "partial_fit"):
            inside = "a Pipeline" if isinstance(estimator, Pipeline) else name
            raise SettingsError(
                f"model: {inside} cannot learn (it has no partial_fit); "
                "set labels.from: none to predict only"
            )
        if self._kind not in {"classifier", "regressor"}:
            raise SettingsError(f"model: {name} does not learn from labels; set labels.from: none")
        self._fitted = is_fitted(estimator)
        known = estimator.classes_.tolist() if self._fitted and self._kind == "classifier" else None
        self._classes: list[Label] = known or list(classes or ())
        self._unseen = set() if known else set(self._classes)
        if self._kind == "classifier":
            _check_classes(name, known, classes)
        if isinstance(estimator, GaussianNB):
            _check_variances(estimator, fitted=self._fitted)

    def _answers(self, matrix: Any) -> list[Answer]:
        nothing: Answer = {"prediction": None}
        if self._has_probabilities:
            nothing["probabilities"] = {}
        if not self._fitted:
            return [dict(nothing) for _ in matrix]
        answers = super()._answers(matrix)
        if not self._unseen:
            return answers
        # A class that it knows nothing of yet may make an estimator answer with NaN. Once it has
        # seen them all, NaN means that it is broken, which the processor reports.
        return [answer if answer_is_finite(answer) else dict(nothing) for answer in answers]

    def replace_model(self, model: Any, *, untrained: bool) -> None:
        """Replace the estimator, and find out what it has seen."""
        super().replace_model(model, untrained=untrained)
        self._fitted = is_fitted(model)
        # Naive Bayes counts what it has seen; other estimators never answer NaN for want of that.
        counts = getattr(model, "class_count_", None)
        if self._fitted:
            seen = self._classes if counts is None else np.array(model.classes_)[counts > 0]
            self._unseen.difference_update(np.asarray(seen).tolist())

    def learn(self, features: Features, label: Label | None) -> None:
        """Learn one example. Raises ValueError for a label that is none of the classes.

        (scikit-learn itself would take such a label for one of the others.)
        """
        first: dict[str, Any] = {}
        if self._kind == "classifier":
            if label not in self._classes:
                raise ValueError("the label is none of the classes")
            first = {} if self._fitted else {"classes": np.array(self._classes)}
        with unnamed_columns():
            self.model.partial_fit(self._matrix((features,)), np.array([label]), **first)
        self._fitted = True
        self._unseen.discard(label)

    def learn_transformed(
        self,
        features: Features,
        transformed: Features,
        label: Label | None,
    ) -> None:
        """Learn from `transformed`, which are the features themselves."""
        self.learn(transformed, label)


def _check_classes(
    name: str, known: Sequence[Label] | None, classes: Sequence[Label] | None
) -> None:
    """Compare the classes that the settings name with those that an estimator was fitted on."""
    if not (known or classes):
        raise SettingsError(f"model.classes is missing: {name} has to know them from the start")
    # True == 1 in Python, but they are two classes.
    typed = [{(type(each), each) for each in some or ()} for some in (known, classes)]
    if known and classes and typed[0] != typed[1]:
        raise SettingsError(f"model.classes: {name} was fitted on the classes {known}")
    if classes and len(classes) < 2:
        raise SettingsError(f"model.classes: {name} needs two classes at least: name them all")
    if classes and len({type(each) for each in classes}) > 1:
        raise SettingsError(
            f"model.classes: {name} takes classes of one type, and these are of several: "
            "write them all as numbers, as text or as true and false"
        )


def _check_variances(estimator: Any, *, fitted: bool) -> None:
    """Refuse a GaussianNB that would answer NaN until every feature has varied in every class.

    It adds a share of the variance of each batch, so that none is 0; of a single example that
    share is 0. One that was fitted on many at once has it in its variances already.
    """
    if not (fitted and estimator.class_count_.all() and estimator.var_.all()):
        raise SettingsError(
            "model: scikit-learn's GaussianNB cannot begin event by event (it has no variances "
            "then): use River's naive_bayes.GaussianNB(), or one that was fitted on all classes"
        )
