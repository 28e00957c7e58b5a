"""A scaler and a linear model gone through as one are River's pipeline, to the last bit."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import compose, linear_model, optim, preprocessing

from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.river_fastpath.pipeline import plain_steps
from millstream.core.models.river_fastpath.scaled_linear import scaled_linear
from millstream.errors import DeadLetter
from tests.unit.core.models.river_fastpath.test_steps import MODELS, MyRegression, MyScaler, MySGD

NUMBERS = st.floats(-1e100, 1e100, allow_nan=False) | st.integers(-(2**70), 2**70) | st.booleans()
SETS = st.sampled_from(["ab", "ab", "ab", "ab", "ba", "abc", "a", "ca"])
EVENTS = SETS.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, NUMBERS)))
CALLS = st.tuples(st.sampled_from(["answer", "learn", "both", "both", "model"]), EVENTS)
LABELS = st.booleans() | st.sampled_from([0, 1])


def pipeline(linear: Any) -> Any:
    return preprocessing.StandardScaler() | linear


def answer_of(pipeline: Any, features: dict[str, Any]) -> str:
    if isinstance(pipeline[-1], linear_model.LogisticRegression):
        probabilities = pipeline.predict_proba_one(features)
        if not sum(probabilities.values()) < float("inf"):
            raise DeadLetter("not_finite")
        prediction = max(probabilities, key=probabilities.get)
        return repr({"prediction": prediction, "probabilities": probabilities})
    return repr({"prediction": pipeline.predict_one(features)})


def result(call: Callable[..., object], *arguments: object) -> str:
    """What a call gives, or what it raises."""
    try:
        return str(call(*arguments))
    except (ArithmeticError, TypeError, DeadLetter) as error:
        return repr(error.args if isinstance(error, DeadLetter) else type(error))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@given(calls=st.lists(CALLS, max_size=20), label=LABELS)
def test_answers_and_weights_are_those_of_rivers_pipeline(
    make: Callable[[], Any], calls: list[tuple[str, dict[str, Any]]], label: Any
) -> None:
    """Whatever is asked in between, and whichever features an event has, in whichever order."""
    own, ours = pipeline(make()), river_learner(pipeline(make()))
    assert ours._fast_path is not None
    for number, (what, features) in enumerate(calls):
        truth = label if number % 3 else 1 - label
        if what in ("answer", "both"):
            expected = result(answer_of, own, features)
            assert result(ours.predict, features) == expected
        if what in ("learn", "both"):
            expected = result(own.learn_one, features, truth)
            assert result(ours.learn, features, truth) == expected
            if expected != "None":
                return  # a model that broke while it learned is restored
        if what == "model":
            assert digest(ours.model) == digest(own)
    assert digest(ours.model) == digest(own)


def test_it_is_used_from_the_second_event_of_the_same_features_on() -> None:
    fast_path = scaled_linear(plain_steps(pipeline(linear_model.LogisticRegression())))
    assert fast_path is not None
    answer, event = fast_path.answering(), {"a": 1.0, "b": 2.0}
    for _ in range(2):
        assert not fast_path._rows
        answer(event)
        fast_path.learn(event, True)
    assert len(fast_path._rows) == 2
    fast_path.write_back()
    assert not fast_path._rows
    answer(event)
    assert len(fast_path._rows) == 2


def test_a_model_that_is_changed_from_outside_goes_on_from_there() -> None:
    """As when a snapshot is filled in, or a user has it in a notebook."""
    ours = river_learner(pipeline(linear_model.LogisticRegression()))
    own = pipeline(linear_model.LogisticRegression())
    for number in range(10):
        event = {"a": float(number), "b": number % 3}
        for model in (ours.model, own) if number == 5 else ():
            model["LogisticRegression"].intercept = 3.0
            model["StandardScaler"].means["a"] = 7.0
        ours.learn(event, number % 2 == 0)
        own.learn_one(event, number % 2 == 0)
    assert digest(ours.model) == digest(own)


def test_features_as_they_were_transformed_are_learned_by_the_last_step_as_ever() -> None:
    ours, plain = (
        river_learner(pipeline(linear_model.LogisticRegression()), warmup_model=warmup)
        for warmup in (pipeline(linear_model.LogisticRegression()), None)
    )
    plain._leave_fast_path()
    for number in range(8):
        event = {"a": float(number), "b": number % 3}
        for learner in (ours, plain):
            learner.predict(event)
            if number < 4:
                learner.learn(event, True)
            else:
                learner.learn_transformed(event, learner.transform(event), False)
    assert ours.predict(event) == plain.predict(event)
    assert ours.digest() == plain.digest()


def with_an_answer_of_its_own() -> Any:
    model = linear_model.LogisticRegression()
    model.predict_proba_one = lambda _: {False: 0.25, True: 0.75}
    return model


def with_a_mean_of_its_own() -> Any:
    model = linear_model.LogisticRegression()
    model.loss.mean_func = lambda _: 0.75
    return model


SCALER = preprocessing.StandardScaler


@pytest.mark.parametrize(
    "model",
    [
        MyScaler() | linear_model.LogisticRegression(),
        SCALER(with_std=False) | linear_model.LogisticRegression(),
        SCALER(window_size=3) | linear_model.LogisticRegression(),
        SCALER() | SCALER() | linear_model.LogisticRegression(),
        SCALER() | MyRegression(),
        SCALER() | linear_model.LogisticRegression(optimizer=MySGD(0.1)),
        SCALER() | linear_model.LogisticRegression(optimizer=optim.Adam()),
        SCALER() | linear_model.LogisticRegression(l2=0.1),
        SCALER() | linear_model.Perceptron(),
        SCALER() | with_an_answer_of_its_own(),
        SCALER() | with_a_mean_of_its_own(),
        compose.Select("a") | linear_model.LogisticRegression(),
        linear_model.LogisticRegression(),
    ],
    ids=str,
)
def test_another_pipeline_goes_by_its_own_steps(model: Any) -> None:
    assert scaled_linear(plain_steps(model)) is None
