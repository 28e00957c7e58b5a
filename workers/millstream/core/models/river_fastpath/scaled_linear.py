"""A scaler and the linear model behind it, computed feature by feature, not step by step.

For each feature there is one row with the state of both steps, so that an event needs one pass to
be answered and one to be learned, without dicts in between. Operations, their numbers and their
order are River's; so are answers and weights, to the last bit.

Meanwhile the two steps of the pipeline are out of date. `write_back` brings them up to date, and
the next event reads the rows from them anew, so anybody may change them in between. An event that
has other features, or a feature that is new to the model, goes through River's own methods (or
those of `steps`).

Source: as in `steps`. Both are compared bit by bit in
tests/unit/core/models/river_fastpath/test_scaled_linear.py.
"""

from collections.abc import Callable
from typing import Any, Final

from river import linear_model, optim
from river.optim.losses import BinaryLoss
from river.utils.math import sigmoid

from millstream.core.models.river_fastpath.steps import (
    Features,
    has_own_methods,
    is_plain_scaler,
    is_plain_sgd,
    learning_and_transforming,
    learning_of,
)

ANSWERS: Final[dict[Any, str]] = {
    linear_model.LogisticRegression: "predict_proba_one",
    linear_model.LinearRegression: "predict_one",
}
"""The method by which each answers."""
Row = list[Any]
"""Of a feature: how often it was seen (a float, by which Python divides faster), its mean, its
variance, and the square root of that."""


def scaled_linear(steps: list[Any] | None) -> "ScaledLinear | None":
    """One for these steps of a pipeline; None where they are anything else, or not River's own."""
    if steps is None or len(steps) != 2:
        return None
    scaler, linear = steps
    if not (is_plain_scaler(scaler) and is_plain_sgd(linear)):
        return None
    method = ANSWERS[type(linear)]
    usual = has_own_methods(linear, method, "_raw_dot_one") and has_own_methods(
        linear.loss, "mean_func"
    )
    return ScaledLinear(scaler, linear) if usual else None


class ScaledLinear:
    """`StandardScaler | LogisticRegression`, or `LinearRegression`."""

    def __init__(self, scaler: Any, linear: Any) -> None:
        self.method = ANSWERS[type(linear)]
        """The name of the method that `answering` returns."""
        self._scaler, self._linear = scaler, linear
        self._rows: list[Row] = []
        self._weights: list[Any] = []
        """Of each row, the weight of its feature."""
        self._names: tuple[str, ...] = ()
        """The features of the rows, in the order of the events."""
        self._last: tuple[str, ...] = ()
        """Those of the last event that the rows were not for."""
        self._learn_by_steps = _learning_by_steps(scaler, linear)

    def answering(self) -> Callable[[Features], Any]:
        """The pipeline's `method`."""
        transform, answer_by_step = self._scaler.transform_one, getattr(self._linear, self.method)
        raw_of, mean_of = self._raw, _mean_of(self._linear.loss)

        def probabilities(features: Features) -> Any:
            raw = raw_of(features)
            if raw is None:
                return answer_by_step(transform(features))
            of_true = mean_of(raw)
            return {False: 1.0 - of_true, True: of_true}

        def number(features: Features) -> Any:
            raw = raw_of(features)
            return answer_by_step(transform(features)) if raw is None else mean_of(raw)

        return probabilities if self.method == "predict_proba_one" else number

    def learn(self, features: Features, label: Any) -> None:
        """The pipeline's `learn_one`."""
        if tuple(features) != self._names and not self._load(features):
            self._learn_by_steps(features, label)
            return
        weights, linear = self._weights, self._linear
        raw, scaled_values = 0.0, []
        rows = zip(features.values(), self._rows, weights)  # noqa: B905 - as in `_raw`
        for value, row, weight in rows:
            count, mean, variance, _ = row
            count += 1.0
            off = value - mean
            mean += off / count
            rest = value - mean
            variance += (off * rest - variance) / count
            root = variance**0.5 if variance else 0.0
            row[0] = count
            row[1] = mean
            row[2] = variance
            row[3] = root
            scaled = rest / root if root else 0.0
            raw += weight * scaled
            scaled_values.append(scaled)
        gradient = linear.loss.gradient(y_true=label, y_pred=raw + linear.intercept)
        most, optimizer = linear.clip_gradient, linear.optimizer
        gradient = float(max(min(gradient, most), -most))
        step = optimizer.n_iterations
        linear.intercept -= linear.intercept_lr.get(step) * gradient
        rate = optimizer.lr.get(step)
        self._weights = [
            weight - rate * (scaled * gradient)
            for weight, scaled in zip(weights, scaled_values)  # noqa: B905 - as in `_raw`
        ]
        optimizer.n_iterations = step + 1

    def write_back(self) -> None:
        """Write what was learned into the steps; they are up to date until the next event."""
        counts, means, variances = self._scaler.counts, self._scaler.means, self._scaler.vars
        weights = self._linear._weights  # noqa: SLF001 - GLM's own
        rows = zip(self._names, self._rows, self._weights, strict=True)
        for name, (count, mean, variance, _), weight in rows:
            counts[name], means[name], variances[name] = int(count), mean, variance
            weights[name] = weight
        self._names, self._rows, self._weights = (), [], []

    def _raw(self, features: Features) -> Any | None:
        """The linear model's raw output for an event; None: go by the steps."""
        if tuple(features) != self._names and not self._load(features):
            return None
        raw = 0.0
        # Of one length, since names are the same: having that checked costs a tenth of the loop.
        rows = zip(features.values(), self._rows, self._weights)  # noqa: B905 - see above
        for value, (_, mean, _, root), weight in rows:
            raw += weight * ((value - mean) / root if root else 0.0)
        return raw + self._linear.intercept

    def _load(self, features: Features) -> bool:
        """Make rows for the features of an event; False where it has to go by the steps.

        So does the first event of other features, since it may be the only one.
        """
        self.write_back()
        names = tuple(features)
        if names != self._last:
            self._last = names
            return False
        scaler, weights = self._scaler, self._linear._weights  # noqa: SLF001 - GLM's own
        counts, means, variances = scaler.counts, scaler.means, scaler.vars
        if not all(name in each for each in (counts, means, variances, weights) for name in names):
            return False
        self._rows = [
            [float(counts[name]), means[name], variances[name], variances[name] ** 0.5]
            for name in names
        ]
        self._weights = [weights[name] for name in names]
        self._names = names
        return True


def _learning_by_steps(scaler: Any, linear: Any) -> Callable[[Features, Any], None]:
    through, learn = learning_and_transforming(scaler), learning_of(linear)
    return lambda features, label: learn(through(features), label)


def _mean_of(loss: optim.losses.Loss) -> Callable[[float], Any]:
    """A loss's `mean_func`, without its question whether there are many."""
    mean_of: Callable[[float], Any] = loss.mean_func
    return sigmoid if type(loss).mean_func is BinaryLoss.mean_func else mean_of
