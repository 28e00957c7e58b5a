"""Steps of River's pipelines in one pass, where River makes several.

A scaler that learns an event and then scales it looks each feature's statistics up a dozen times;
a linear model that learns passes an event through one call after the other. For River's own scaler
and linear models, and nothing derived from them, the same operations on the same numbers are done
here in one pass, in the same order. The state stays where River keeps it: in the steps themselves.

Source: `river.preprocessing.StandardScaler` and `river.linear_model.base.GLM` of River 0.26, to
which pyproject.toml bounds it. tests/unit/core/models/river_fastpath/test_steps.py compares both
bit by bit.
"""

from collections.abc import Callable
from typing import Any

from river import linear_model, optim, preprocessing
from river.utils import VectorDict

Features = Any
"""Of one event. River's own methods declare dicts; a `Mapping` serves them as well."""


def learning_and_transforming(step: Any) -> Callable[[Features], Features]:
    """A transformer's work while its pipeline learns: `learn_one`, then `transform_one`."""
    if is_plain_scaler(step):
        return _scaling(step)
    learn, transform = step.learn_one, step.transform_one

    def through(features: Features) -> Features:
        learn(features)
        return transform(features)

    return through


def learning_of(model: Any) -> Callable[[Features, Any], None]:
    """The `learn_one` of a pipeline's supervised last step."""
    if is_plain_sgd(model):
        return _descending(model)
    learn: Callable[[Features, Any], None] = model.learn_one
    return learn


def is_plain_scaler(step: Any) -> bool:
    """Whether a step is River's scaler by mean and variance of all that it has seen."""
    return (
        type(step) is preprocessing.StandardScaler
        and step.with_std
        and step.window_size is None
        and has_own_methods(step, "learn_one", "transform_one")
    )


def is_plain_sgd(model: Any) -> bool:
    """Whether a step is River's linear model, taught by plain gradient descent."""
    return (
        type(model) in (linear_model.LogisticRegression, linear_model.LinearRegression)
        and type(model.optimizer) is optim.SGD
        and not (model.l1 or model.l2)
        and has_own_methods(model, "learn_one")
        and has_own_methods(model.optimizer, "step")
    )


def has_own_methods(step: Any, *methods: str) -> bool:
    """Whether the methods are those of the class, and nothing that was put into this one object."""
    return all(
        getattr(getattr(step, name), "__func__", None) is getattr(type(step), name)
        for name in methods
    )


def _scaling(scaler: preprocessing.StandardScaler) -> Callable[[Features], Features]:
    def through(features: Features) -> Features:
        counts, means, variances = scaler.counts, scaler.means, scaler.vars
        scaled = {}
        for name, value in features.items():
            count = counts[name] = counts[name] + 1
            before = means[name]
            off = value - before
            mean = means[name] = before + off / count
            rest = value - mean
            variance = variances[name]
            variance = variances[name] = variance + (off * rest - variance) / count
            scaled[name] = rest / variance**0.5 if variance else 0.0
        return scaled

    return through


def _descending(model: Any) -> Callable[[Features, Any], None]:
    optimizer, gradient_of = model.optimizer, model.loss.gradient
    rate, rate_of_intercept = optimizer.lr.get, model.intercept_lr.get
    most, initializer = model.clip_gradient, model.initializer
    from_scaled = VectorDict.from_scaled

    def learn(features: Features, label: Any) -> None:
        weights: Any = VectorDict(model._weights, initializer, features)  # noqa: SLF001 - GLM's own
        gradient = gradient_of(y_true=label, y_pred=weights.dot(features) + model.intercept)
        gradient = float(max(min(gradient, most), -most))
        step = optimizer.n_iterations
        model.intercept -= rate_of_intercept(step) * gradient
        weights.isub_scaled(from_scaled(features, gradient), rate(step))
        optimizer.n_iterations = step + 1

    return learn
