"""A model's state as bytes: what comes back is what was there, to the last bit, for good."""

import collections
import copy
import gc
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import compose, linear_model, optim, stats, utils
from river.proba import Gaussian
from sklearn.linear_model import SGDClassifier

from millstream.core.models.interface.learner import Learner
from millstream.core.models.interface.state_digest import digest
from millstream.core.models.river.expression import build
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.scikit_learn.incremental import IncrementalSklearn
from millstream.core.models.state_codec import (
    BadStateError,
    CannotCaptureError,
    capture,
    plain_from_json,
    plain_to_json,
    restore_into,
)
from millstream.core.models.state_codec.capture import NotPlainError, StateCapture
from millstream.core.models.state_codec.class_table import BY_NAME
from millstream.errors import DeadLetter
from tests.support.plain_models import ALL, LOGISTIC, learner, rows

TREE = "tree.HoeffdingTreeClassifier(grace_period=50)"
KEY = LOGISTIC + "()"


def teach(taught: Learner, examples: Any) -> list[Any]:
    """Predict and learn; the answers as text, which tells 1 from 1.0 and keeps NaN."""
    answers = []
    for features, label in examples:
        try:
            answers.append(repr(_sorted(taught.predict(dict(features)))))
        except (TypeError, KeyError, DeadLetter) as error:
            # Some of River's scalers, before they have learned; and what answers with NaN.
            answers.append(repr(error))
        taught.learn(dict(features), label)  # a copy: River's Renamer changes what it is given
    return answers


def _sorted(answer: Any) -> Any:
    """Probabilities in one order: some of River's models keep classes in sets, which have none."""
    if not isinstance(answer, dict):
        return answer
    return sorted(((key, _sorted(value)) for key, value in answer.items()), key=repr)


def steps(model: Any) -> list[Any]:
    return list(model.steps.values()) if isinstance(model, compose.Pipeline) else [model]


def restored(captured: Any, fresh: Learner) -> Learner:
    restore_into(fresh, captured.codec, captured.to_bytes())
    return fresh


@pytest.mark.parametrize("expression", ALL)
def test_a_model_goes_on_to_the_last_bit_after_a_thousand_more_updates(expression: str) -> None:
    examples = list(rows(expression, 1500))
    live = learner(expression)
    teach(live, examples[:500])
    captured = capture(live)
    assert captured.codec == "json"
    again = restored(captured, learner(expression))
    # The live model moves on before the bytes are made: nothing captured may move with it.
    then = captured.to_bytes()
    answers = teach(live, examples[500:])
    assert captured.to_bytes() == then
    assert teach(again, examples[500:]) == answers
    assert again.digest() == live.digest()


@pytest.mark.parametrize("expression", ALL)
def test_the_digest_is_the_same_right_after_the_restore(expression: str) -> None:
    live = learner(expression)
    teach(live, rows(expression, 100))
    assert restored(capture(live), learner(expression)).digest() == live.digest()


def test_every_class_in_the_table_is_met_in_these_tests() -> None:
    met = set()
    for expression in ALL:
        live = learner(expression)
        teach(live, rows(expression, 30))
        taker = StateCapture()
        taker.take(live.model)
        met |= {name for name, _ in taker.classes}
    assert BY_NAME.keys() - met == set()


@pytest.mark.parametrize("expression", [KEY, "naive_bayes.GaussianNB()", TREE])
def test_a_model_that_has_learned_nothing_comes_back_as_that(expression: str) -> None:
    again = restored(capture(learner(expression)), learner(expression))
    assert again.digest() == learner(expression).digest()


@pytest.mark.parametrize("expression", [KEY, "naive_bayes.GaussianNB()", ALL[17]])
def test_capturing_leaves_the_attributes_of_a_live_model_where_they_were(expression: str) -> None:
    live, never = learner(expression), learner(expression)
    teach(live, rows(expression, 50))
    teach(never, rows(expression, 50))
    capture(live)
    parts = zip(steps(live.model), steps(never.model), strict=True)
    for captured, untouched in parts:
        assert len(gc.get_referents(captured)) == len(gc.get_referents(untouched))


def test_a_tree_and_an_estimator_of_scikit_learn_are_pickled_and_go_on_the_same() -> None:
    def sgd() -> Learner:
        return IncrementalSklearn(SGDClassifier(random_state=1), [False, True], ["a", "b", "c"])

    for make in (lambda: learner(TREE), sgd):
        examples = list(rows(TREE, 600))
        live = make()
        teach(live, examples[:300])
        captured = capture(live)
        assert (captured.codec, captured.portable) == ("pickle", False)
        again = restored(captured, make())
        assert teach(again, examples[300:]) == teach(live, examples[300:])
        assert again.digest() == live.digest()


def test_an_estimator_that_was_not_fitted_yet_comes_back_as_that() -> None:
    def sgd() -> Learner:
        return IncrementalSklearn(SGDClassifier(random_state=1), [False, True], ["a", "b", "c"])

    again = restored(capture(sgd()), sgd())
    teach(again, rows(TREE, 5))
    fitted = restored(capture(again), sgd())
    assert fitted.predict({"a": 1.0, "b": 1.0, "c": 1.0})["prediction"] is not None


@pytest.mark.parametrize("expression", ["forest.ARFClassifier(n_models=3, seed=42)", KEY])
def test_a_learner_with_a_spare_model_comes_back_predicting_by_the_right_one(
    expression: str,
) -> None:
    def make() -> Learner:
        return river_learner(build(expression), warmup_model=build(expression))

    examples = list(rows(expression, 300))
    live = make()
    for features, _ in examples[:20]:
        live.predict(features)
    untrained = restored(capture(live), make())
    assert untrained.state.untrained
    teach(live, examples[20:150])
    teach(untrained, examples[20:150])
    taught = restored(capture(live), make())
    assert not taught.state.untrained
    assert teach(taught, examples[150:]) == teach(live, examples[150:])
    assert untrained.digest() != taught.digest() == live.digest()


# -- what is not plain is never written as if it were ---------------------------------------------


def test_an_object_with_an_attribute_that_nobody_knows_is_pickled() -> None:
    for make in (lambda part: part, copy.deepcopy):
        for name in ("StandardScaler", "LogisticRegression"):
            live = learner(KEY)
            teach(live, rows(KEY, 5))
            live.replace_model(make(live.model), untrained=False)
            live.model[name].later_release = {}
            assert capture(live).codec == "pickle"
            del live.model[name].later_release
            assert capture(live).codec == "json"


@pytest.mark.parametrize("kind", [stats.Mean, stats.Max, stats.Sum, linear_model.ALMAClassifier])
@pytest.mark.parametrize("added", [{}, 1.0, None])
def test_an_attribute_more_is_seen_on_an_object_of_any_size(kind: Any, added: Any) -> None:
    StateCapture().take(kind())
    more = kind()
    more.added = added
    with pytest.raises(NotPlainError):
        StateCapture().take(more)
    copied = copy.deepcopy(kind())
    StateCapture().take(copied)
    copied.added = added
    with pytest.raises(NotPlainError):
        StateCapture().take(copied)


def test_an_attribute_less_is_seen() -> None:
    model = stats.Var()
    del model._S
    with pytest.raises(NotPlainError):
        StateCapture().take(model)


def test_a_class_that_only_inherits_from_a_known_one_is_pickled() -> None:
    class Mine(linear_model.LinearRegression):
        pass

    with pytest.raises(NotPlainError):
        StateCapture().take(Mine())


def test_a_distribution_with_a_seed_of_its_own_is_pickled() -> None:
    StateCapture().take(Gaussian())
    with pytest.raises(NotPlainError):
        StateCapture().take(Gaussian(seed=1))


def test_a_model_that_holds_a_lambda_cannot_be_captured_and_says_so() -> None:
    model = compose.FuncTransformer(lambda x: x) | linear_model.LinearRegression()
    with pytest.raises(CannotCaptureError, match="Pipeline cannot be pickled"):
        capture(river_learner(model))


def test_two_names_for_one_object_stay_one_object() -> None:
    scaled = "(compose.Select('a') | preprocessing.StandardScaler()) | "
    expression = scaled + "linear_model.SoftmaxRegression(optimizer=optim.Averager(optim.SGD(.1)))"
    live = learner(expression)
    teach(live, rows(ALL[len(ALL) // 2], 20))
    final = restored(capture(live), learner(expression)).model["SoftmaxRegression"]
    assert final.weights
    for label, weights in final.weights.items():
        assert weights is final.optimizers[label].avg_w


def test_a_state_with_two_objects_where_the_settings_have_one_is_refused() -> None:
    def sharing(*, one: bool) -> Learner:
        scheduler = optim.schedulers.InverseScaling(0.1)
        other = scheduler if one else optim.schedulers.InverseScaling(0.1)
        return river_learner(
            linear_model.LinearRegression(optimizer=optim.SGD(scheduler), intercept_lr=other)
        )

    assert restored(capture(sharing(one=True)), sharing(one=True)).state.untrained is False
    with pytest.raises(BadStateError):
        restored(capture(sharing(one=False)), sharing(one=True))


@pytest.mark.parametrize("enabled", [True, False])
def test_capturing_leaves_the_collection_of_garbage_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        capture(learner(KEY))
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


# -- what is read has to fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "into"),
    [
        (KEY, "naive_bayes.GaussianNB()"),
        (KEY, LOGISTIC + "(optimizer=optim.Adam())"),
        (KEY, "preprocessing.StandardScaler() | linear_model.LinearRegression()"),
        (KEY, "preprocessing.RobustScaler() | linear_model.LogisticRegression()"),
        ("dummy.StatisticRegressor(stats.IQR())", "dummy.StatisticRegressor(stats.Skew())"),
        ("linear_model.PAClassifier(mode=1)", "linear_model.PAClassifier(mode=2)"),
        (TREE, "tree.HoeffdingAdaptiveTreeClassifier(seed=1)"),
    ],
)
def test_a_state_of_another_model_is_refused(written: str, into: str) -> None:
    with pytest.raises(BadStateError):
        restored(capture(learner(written)), learner(into))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.update(format=2),
        lambda state: state.update(model=1),
        lambda state: state.update(model=["x", "os:system", ""]),
        lambda state: state.update(model=["c", "os:system"]),
        lambda state: state.update(model=["r", 0]),
        lambda state: state["classes"][0].__setitem__(0, "os:system"),
        lambda state: state["classes"][0][1].append("unknown"),
        lambda state: state["classes"][1][1].__setitem__(0, "__class__"),
        lambda state: state["model"][2].pop(),
        lambda state: state.pop("classes"),
    ],
)
def test_json_that_is_not_a_state_is_refused(spoil: Any) -> None:
    state = orjson.loads(capture(learner(KEY)).to_bytes())
    spoil(state)
    with pytest.raises(BadStateError):
        restore_into(learner(KEY), "json", orjson.dumps(state))


@pytest.mark.parametrize("state", ["", "00", "ff" * 200])
def test_bytes_that_rust_cannot_read_are_refused(state: str) -> None:
    expression = "dummy.StatisticRegressor(stats.RollingQuantile(.3, 9))"
    written = orjson.loads(capture(learner(expression)).to_bytes())

    def spoil(node: Any) -> None:
        for part in node:
            if isinstance(part, list):
                spoil(part)
        if node[:1] == ["x"]:
            node[2] = state

    spoil(written["model"])
    with pytest.raises(BadStateError):
        restore_into(learner(expression), "json", orjson.dumps(written))


def test_what_a_later_river_has_added_keeps_its_fresh_value() -> None:
    live = learner(KEY)
    teach(live, rows(KEY, 50))
    fresh = learner(KEY)
    fresh.model["LogisticRegression"].later_release = "as made"
    again = restored(capture(live), fresh)
    assert again.model["LogisticRegression"].later_release == "as made"
    features, _ = next(rows(KEY, 1))
    assert again.predict(features) == live.predict(features)


def test_an_attribute_that_an_earlier_river_did_not_have_keeps_its_fresh_value() -> None:
    live = learner(KEY)
    teach(live, rows(KEY, 50))
    state = orjson.loads(capture(live).to_bytes())
    for i, (name, names) in enumerate(state["classes"]):
        if name.endswith("StandardScaler"):
            at = names.index("window_size")
            del names[at]
            _, _, values = next(node for node in state["model"][2][0][3] if node[1] == i)
            del values[at]
    again = learner(KEY)
    restore_into(again, "json", orjson.dumps(state))
    assert again.digest() == live.digest()


# -- values ---------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(alphabet=st.characters()),
    st.binary(),
    st.floats(width=32, allow_nan=False).map(np.float32),
    st.floats(allow_nan=False).map(np.float64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.booleans().map(np.bool_),
)
KEYS = st.one_of(SCALARS, st.tuples(SCALARS, SCALARS)).filter(lambda key: key == key)  # noqa: PLR0124 - no NaN
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner),
        st.sets(KEYS),
        st.dictionaries(KEYS, st.integers()).map(collections.Counter),
        st.lists(inner, max_size=5).map(lambda items: collections.deque(items, maxlen=5)),
        st.dictionaries(st.text(), st.floats()).map(
            lambda items: collections.defaultdict(float, items)
        ),
        st.dictionaries(st.text(), st.floats(allow_nan=False)).map(utils.VectorDict),
        st.lists(st.floats()).map(np.array),
    ),
    max_leaves=20,
)


@given(VALUES)
def test_any_plain_value_comes_back_with_its_types_its_order_and_every_bit(value: Any) -> None:
    written = orjson.loads(orjson.dumps(plain_to_json(value)))
    assert digest(plain_from_json(written)) == digest(value)


@pytest.mark.parametrize("bits", [0x7FF8000000000001, 0xFFF0000000000000, 0x8000000000000000, 1])
def test_even_a_nan_keeps_its_bits(bits: int) -> None:
    value = np.array([bits], np.uint64).view(np.float64).tolist()[0]
    again = plain_from_json(orjson.loads(orjson.dumps(plain_to_json(value))))
    assert np.array([again]).view(np.uint64)[0] == bits


def test_keys_that_python_takes_for_the_same_keep_their_type() -> None:
    for key in (1, 1.0, True, np.int64(1), "1", -0.0, math.inf, ("a", 1)):
        again = plain_from_json(orjson.loads(orjson.dumps(plain_to_json({key: 0}))))
        ((back, _),) = again.items()
        assert type(back) is type(key)
        assert repr(back) == repr(key)


@pytest.mark.parametrize("value", [object(), 1j, lambda: 0, np.array([object()]), [{1: {2: 3j}}]])
def test_a_value_without_a_plain_form_is_refused(value: Any) -> None:
    with pytest.raises(BadStateError):
        plain_to_json(value)
