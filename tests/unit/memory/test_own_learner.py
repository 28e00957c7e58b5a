"""A model of a kind of its own, which a factory returns."""

from typing import Any

import pytest

from millstream import BaseLearner, DeadLetter, Learner, Memory, SettingsError
from tests.support.apps import inline, late
from tests.support.models import Frequency

EVENTS = {"topic": "sites", "id": "id", "features": ["colour"]}
MODEL = {"factory": "tests.support.models:frequency"}
TRUST = {"trust": ["tests.support.models"]}
SEEN = [("red", True), ("red", True), ("blue", False), ("red", False)]


def sent(app: Memory, **run: Any) -> list[Any]:
    rows = [{"id": n, "colour": c, "label": y} for n, (c, y) in enumerate(SEEN)]
    return [each["prediction"] for each in app.run(rows, **run)]


def test_it_predicts_and_learns_inside_of_events_and_later() -> None:
    settings = inline(events={**EVENTS, "label": "label"}, model=MODEL)
    assert sent(Memory(settings)) == [None, True, None, True]
    settings = late({"label": "label"}, events=EVENTS, model=MODEL)
    assert sent(Memory(settings), labels_after=0) == [None, True, None, True]


def test_its_digest_is_that_of_what_it_learned() -> None:
    app = Memory(inline(events={**EVENTS, "label": "label"}, model=MODEL))
    sent(app)
    alone = Frequency()
    for colour, label in SEEN:
        alone.learn({"colour": colour}, label)
    assert app.digest() == alone.digest()
    alone.learn({"colour": "red"}, label=False)
    assert app.digest() != alone.digest()


@pytest.mark.parametrize("trust", [True, False])
def test_it_is_restored_from_a_snapshot_where_its_module_is_trusted(trust: bool) -> None:
    snapshots = TRUST if trust else {}
    app = Memory(inline(events={**EVENTS, "label": "label"}, model=MODEL, snapshots=snapshots))
    sent(app)
    digest = app.digest()
    assert app.worker.snapshot() is trust
    app.restart()
    assert (app.digest(), app.learned) == (digest, 4)
    assert app.worker.restored_from() == (4 if trust else 0)


def test_it_is_a_learner_by_its_methods_alone() -> None:
    assert isinstance(Frequency(), Learner)
    assert isinstance(Frequency(), BaseLearner)


def test_one_that_learns_wants_labels() -> None:
    with pytest.raises(SettingsError, match="Frequency learns from labels"):
        Memory(inline(events=EVENTS, labels={"from": "none"}, model=MODEL))


def test_one_that_does_not_learn_answers_and_wants_none() -> None:
    model = {"factory": "tests.support.models:longer_than_three"}
    app = Memory(inline(events=EVENTS, labels={"from": "none"}, model=model))
    assert sent(app) == [False, False, True, False]
    with pytest.raises(SettingsError, match="Longer does not learn"):
        Memory(inline(events={**EVENTS, "label": "label"}, model=model))


def app_of(model: str, kind: Any = inline, **settings: Any) -> Memory:
    """`kind`: `inline` or `late`; without labels where the settings say so."""
    events = {"topic": "sites", "id": "id", "features": ["odd"]}
    if kind is inline and "labels" not in settings:
        events["label"] = "label"
    model = f"tests.support.models:{model}"
    return Memory(kind(**{"events": events, "model": {"factory": model}, **settings}))


@pytest.mark.parametrize("kind", [inline, late])
@pytest.mark.parametrize(
    ("odd", "reason", "detail"),
    [
        ("nothing", "predict_error", "the answer is a NoneType, not a dict"),
        ("a number", "predict_error", "the answer is a float, not a dict"),
        ("no prediction", "predict_error", "the answer has no key prediction"),
        ("a key of the record", "predict_error", "the answer of a classifier has no key id"),
        ("probabilities of text", "predict_error", "a probability is a str"),
        ("probabilities of None", "predict_error", "a probability is a NoneType"),
        ("probabilities in a list", "predict_error", "probabilities is a list, not a dict"),
        ("a prediction of many", "predict_error", "ValueError"),
        ("not a number", "not_finite", ""),
        ("too large", "predict_error", "the answer cannot be written"),
        ("none of these", "predict_error", "KeyError"),
    ],
)
def test_an_odd_answer_costs_its_event_alone(kind: Any, odd: str, reason: str, detail: str) -> None:
    app = app_of("Answers", kind)
    with pytest.raises(DeadLetter) as bad:
        app.predict({"id": 1, "odd": odd, "label": True})
    assert bad.value.reason == reason
    assert bad.value.detail.startswith(detail)
    assert app.predict({"id": 2, "odd": "good", "label": True})["id"] == 2


def test_numbers_of_numpy_are_answers_like_others() -> None:
    good = app_of("Answers").predict({"id": 1, "odd": "good", "label": True})
    assert (good["prediction"], good["probabilities"]) == (True, {"true": 0.75})


def test_an_odd_answer_among_many_costs_its_event_alone() -> None:
    app = app_of("ManyAnswers", labels={"from": "none"})
    rows = [{"id": n, "odd": odd} for n, odd in enumerate(["good", "nothing", "good", "good"])]
    assert [each["id"] for each in app.run(rows)] == [0, 2, 3]
    assert [each.reason for each in app.dead_letters] == ["predict_error"]


def test_another_number_of_answers_than_of_events_is_no_answer_to_any() -> None:
    app = app_of("ManyAnswers", labels={"from": "none"})
    assert app.run([{"id": n, "odd": "good"} for n in range(3)]) == []
    details = [each.detail for each in app.dead_letters]
    assert details == ["predict_many gave 2 answers for 3 events"] * 3


def test_features_are_published_and_learned_as_they_came_whatever_it_does_with_them() -> None:
    app = app_of("Doubles", late)
    prediction = app.predict({"id": 1, "odd": 2})
    assert (prediction["features"], prediction["prediction"]) == ({"odd": 2}, 4)
    app.label(1, label=1.0)
    assert [each["features"] for each in app.examples] == [{"odd": 2}]
    assert app.model().seen == [2]


def test_one_that_says_of_itself_alone_that_it_does_not_learn_is_static() -> None:
    with pytest.raises(SettingsError, match="FixedByItself does not learn"):
        app_of("FixedByItself")
    app = app_of("FixedByItself", labels={"from": "none"})
    assert app.predict({"id": 1, "odd": 1})["prediction"] == 1.0
    assert app.learned == 0


def test_state_in_slots_is_restored_as_well() -> None:
    app = app_of("Slotted", snapshots=TRUST)
    for n in range(3):
        app.predict({"id": n, "odd": 1, "label": 2.0})
    digest = app.digest()
    assert app.worker.snapshot()
    app.restart()
    assert (app.digest(), app.worker.restored_from()) == (digest, 3)
    assert app.predict({"id": 4, "odd": 1, "label": 2.0})["prediction"] == 6.0


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("BatchedAndLearning", "BatchedAndLearning says batched = True, but what learns is asked"),
        ("NoKind", "NoKind.kind is missing: it has to be one of classifier, regressor"),
        ("OddKind", "OddKind.kind is regression: it has to be one of classifier, regressor"),
        ("HoldsALock", "HoldsALock cannot be copied .*lock.*let it hold nothing that cannot"),
    ],
)
def test_what_its_author_forgot_is_said_in_a_sentence(model: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        app_of(model)
