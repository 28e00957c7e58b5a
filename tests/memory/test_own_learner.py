"""A model of a kind of its own, which a factory returns."""

from typing import Any

import pytest

from millstream import BaseLearner, Learner, Memory, SettingsError
from tests.memory.apps import inline, late
from tests.memory.models import Frequency

EVENTS = {"topic": "sites", "id": "id", "features": ["colour"]}
MODEL = {"factory": "tests.memory.models:frequency"}
TRUST = {"trust": ["tests.memory.models"]}
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
    model = {"factory": "tests.memory.models:longer_than_three"}
    app = Memory(inline(events=EVENTS, labels={"from": "none"}, model=model))
    assert sent(app) == [False, False, True, False]
    with pytest.raises(SettingsError, match="Longer does not learn"):
        Memory(inline(events={**EVENTS, "label": "label"}, model=model))
