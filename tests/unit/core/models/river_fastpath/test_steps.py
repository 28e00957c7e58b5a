"""One pass through a step gives what River's own methods give, to the last bit."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, optim, preprocessing

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river_fastpath.steps import learning_and_transforming, learning_of

NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70) | st.booleans()
)
EVENTS = st.lists(st.dictionaries(st.sampled_from("abcd"), NUMBERS), max_size=12)


@given(EVENTS)
def test_a_scaler_learns_and_scales_as_rivers_own(events: list[dict[str, Any]]) -> None:
    own, ours = preprocessing.StandardScaler(), preprocessing.StandardScaler()
    through = learning_and_transforming(ours)
    for features in events:
        own.learn_one(features)
        assert repr(through(features)) == repr(own.transform_one(features))  # NaN is NaN
        assert digest(ours) == digest(own)


MODELS: dict[str, Callable[[], Any]] = {
    "logistic": linear_model.LogisticRegression,
    "weighted": lambda: linear_model.LogisticRegression(loss=optim.losses.Log(weight_pos=3)),
    "hinge": lambda: linear_model.LogisticRegression(loss=optim.losses.Hinge()),
    "clipped": lambda: linear_model.LogisticRegression(clip_gradient=0.1),
    "ever slower": lambda: linear_model.LogisticRegression(
        optimizer=optim.SGD(optim.schedulers.InverseScaling(0.1)),
        intercept_lr=optim.schedulers.InverseScaling(0.3),
    ),
    "no intercept": lambda: linear_model.LogisticRegression(intercept_lr=0),
    "first weights": lambda: linear_model.LogisticRegression(
        initializer=optim.initializers.Normal(seed=1)
    ),
    "linear": linear_model.LinearRegression,
    "quantile": lambda: linear_model.LinearRegression(loss=optim.losses.Quantile(0.2)),
}
LABELS = st.booleans() | st.sampled_from([0, 1])


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@given(events=EVENTS, labels=st.lists(LABELS, min_size=12, max_size=12))
def test_a_linear_model_learns_as_rivers_own(
    make: Callable[[], Any], events: list[dict[str, Any]], labels: list[Any]
) -> None:
    own, ours = make(), make()
    learn = learning_of(ours)
    assert learn != ours.learn_one
    for features, label in zip(events, labels, strict=False):
        scaled = {name: float(value) for name, value in features.items()}
        expected = failure_of(own.learn_one, scaled, label)
        assert failure_of(learn, scaled, label) == expected
        if expected is not None:
            return  # a model that broke while it learned is restored
        assert digest(ours) == digest(own)


def failure_of(call: Callable[..., object], *arguments: object) -> str | None:
    try:
        call(*arguments)
    except ArithmeticError as error:
        return repr(error)
    return None


class MyScaler(preprocessing.StandardScaler):  # type: ignore[misc] # River has no types
    def transform_one(self, x: dict[str, float]) -> dict[str, float]:
        return {name: 2 * value for name, value in super().transform_one(x).items()}


class MyRegression(linear_model.LogisticRegression):  # type: ignore[misc] # River has no types
    def _fit(self, x: Any, y: Any, w: Any, get_grad: Any) -> None:
        super()._fit(x, y, 2 * w, get_grad)


class MySGD(optim.SGD):  # type: ignore[misc] # River has no types
    pass


def with_a_method_of_its_own() -> Any:
    model = linear_model.LogisticRegression()
    model.learn_one = print
    return model


@pytest.mark.parametrize(
    "model",
    [
        MyRegression(),
        linear_model.LogisticRegression(optimizer=MySGD(0.1)),
        linear_model.LogisticRegression(optimizer=optim.Adam()),
        linear_model.LogisticRegression(l2=0.1),
        linear_model.LogisticRegression(l1=0.1),
        linear_model.Perceptron(),
        linear_model.PARegressor(),
        with_a_method_of_its_own(),
    ],
)
def test_another_model_than_rivers_own_learns_by_its_own_method(model: Any) -> None:
    assert learning_of(model) == model.learn_one


def with_another_transform() -> Any:
    scaler = preprocessing.StandardScaler()
    scaler.transform_one = dict
    return scaler


@pytest.mark.parametrize(
    "make",
    [
        MyScaler,
        lambda: preprocessing.StandardScaler(with_std=False),
        lambda: preprocessing.StandardScaler(window_size=3),
        preprocessing.MinMaxScaler,
        with_another_transform,
    ],
)
def test_another_scaler_than_rivers_own_learns_and_transforms_by_its_own_methods(
    make: Callable[[], Any],
) -> None:
    own, ours = make(), make()
    through = learning_and_transforming(ours)
    for value in (1.0, 5.0, 2.0, 4.0, 9.0):
        own.learn_one({"a": value})
        assert through({"a": value}) == own.transform_one({"a": value})
