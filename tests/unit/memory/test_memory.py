"""What a user of `millstream.Memory` relies on."""

import hashlib
from pathlib import Path
from typing import Any

import joblib
import orjson
import pytest
import yaml
from river import datasets
from sklearn.tree import DecisionTreeClassifier

from millstream.errors import DeadLetter, SettingsError, Stop
from millstream.kafka.partitioners import murmur2_partition
from millstream.memory import Memory
from tests.support.apps import accuracy, inline, late, small, topics
from tests.support.kafka.app import FEATURES, PHISHING, SCALED_LOGISTIC, bare_digest
from tests.support.validators import validate


def test_river_s_own_figure_comes_out_of_a_data_set_with_its_labels() -> None:
    app = Memory(inline())
    assert accuracy(app.run(datasets.Phishing())) == 0.8872
    assert (app.learned, app.digest()) == (1250, bare_digest(PHISHING))
    assert app.dead_letters == []


@pytest.mark.parametrize(("after", "expected"), [(10, 0.8816), (500, 0.7656)])
def test_river_s_own_figures_come_out_with_labels_so_many_events_late(
    after: int, expected: float
) -> None:
    app = Memory(late({"label": "phishing"}))
    assert accuracy(app.run("river:Phishing", labels_after=after)) == expected
    assert (app.learned, app.waiting) == (1250, 0)
    assert app.digest() == bare_digest(PHISHING)


def test_records_keep_their_contract() -> None:
    app = Memory(late({"on_timeout": {"assume": False}}))
    app.run(datasets.Phishing(), labels_delay="30m")
    app.predict({"id": "alone", "https": 1})
    app.advance("2h")
    assert {example["kind"] for example in app.examples} == {"learned", "expired"}
    for prediction in app.predictions:
        validate("prediction", prediction)
    for example in app.examples:
        validate("example", example)
    for record in topics(app)["phishing.models"][0]:
        validate("model-note", orjson.loads(record.value))


def test_two_runs_that_are_sent_the_same_write_the_same_bytes() -> None:
    first, second = (Memory(late(), partitions=3) for _ in range(2))
    for app in (first, second):
        app.run(PHISHING[:300], labels_after=7)
    assert topics(first) == topics(second)
    assert sum(map(len, topics(first)["phishing.predictions"])) == 300


def test_keys_decide_the_partition_as_java_s_producers_place_them() -> None:
    app = Memory(inline(), partitions=4)
    app.run(PHISHING[:100])
    for prediction in app.predictions:
        key = str(prediction["id"]).encode()
        assert prediction["source"]["partition"] == murmur2_partition(key, 4)
    assert sum(app.worker.processor(number).learned for number in range(4)) == app.learned == 100


def test_one_event_gives_its_prediction_and_is_learned_from() -> None:
    app = Memory(inline(events={"topic": "sites", "id": "id", "label": "phishing"}))
    first = app.predict({"id": 7, "x": 1.0, "phishing": True})
    assert (first["id"], first["probabilities"]) == (7, {"false": 0.5, "true": 0.5})
    second = app.predict({"x": 1.0, "phishing": True})
    assert (second["id"], second["model"]["learned"]) == (2, 1)  # a running number


def test_a_bad_event_is_a_dead_letter_that_says_why() -> None:
    app = Memory(inline())
    with pytest.raises(DeadLetter, match="label_missing"):
        app.predict({"id": 1, "https": 1})
    with pytest.raises(DeadLetter, match="not_json"):
        app.predict(b"{", key="k")
    first, second = app.dead_letters
    assert (first.stage, first.reason, first.side, first.offset) == (
        "label", "label_missing", "events", 0,
    )  # fmt: skip
    assert (second.reason, second.key, second.value) == ("not_json", b"k", b"{")
    assert app.learned == 0


def test_a_label_joins_its_prediction_and_a_late_one_does_not() -> None:
    app = Memory(small())
    app.predict({"id": 1, "x": 1.0})
    app.predict({"id": 2, "x": 2.0})
    assert app.waiting == 2
    app.label(1, label=True)
    assert (app.learned, app.waiting) == (1, 1)
    app.advance("70m")
    assert app.waiting == 0
    app.label(2, label=True)
    assert [(each.reason, each.side) for each in app.dead_letters] == [("late", "labels")]
    assert [example["kind"] for example in app.examples] == ["learned", "expired"]


def test_a_prediction_has_expired_when_a_later_event_comes() -> None:
    assumed = small({"wait": "1m", "on_timeout": {"assume": True}})
    app = Memory({**assumed, "events": {**assumed["events"], "timestamp": "at"}})
    begin = 1_700_000_000_000
    app.predict({"id": 1, "x": 1.0, "at": begin})
    later = app.predict({"id": 2, "x": 1.0, "at": begin + 61_000})
    assert later["model"]["learned"] == 1
    assert later["predicted_at"] == later["event_time"] == begin + 61_000


def test_labels_of_their_own_are_merged_by_their_times() -> None:
    settings = small({"timestamp": "at"})
    settings["events"]["timestamp"] = "at"
    app = Memory(settings)
    events = [{"id": n, "x": float(n), "at": n * 1_000} for n in range(1, 6)]
    labels = [{"id": 1, "label": True, "at": 3_000}, {"id": 5, "label": False, "at": 4_500}]
    predictions = app.run(events, labels)
    # At 3,000 the label comes first; the one at 4,500 is held for its event at 5,000.
    assert [each["model"]["learned"] for each in predictions] == [0, 0, 1, 1, 1]
    assert [each["kind"] for each in app.examples] == ["learned", "held", "learned"]


def test_labels_of_their_own_need_times() -> None:
    app = Memory(small())
    with pytest.raises(SettingsError, match=r"events\.timestamp is missing"):
        app.run([{"id": 1, "x": 1.0}], [{"id": 1, "label": True}])


def test_labels_that_come_later_need_a_topic() -> None:
    with pytest.raises(SettingsError, match=r"labels\.from is event"):
        Memory(inline()).run(datasets.Phishing(), labels_after=3)
    with pytest.raises(SettingsError, match=r"labels\.from is event"):
        Memory(inline()).label(1, label=True)


@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("make", [inline, late])
def test_a_restart_changes_nothing_of_what_comes_after(
    make: Any,
    guarantee: str,
    snapshot: bool,
) -> None:
    settings = make(processing_guarantee=guarantee)
    after = 20 if make is late else None
    undisturbed, restarted = Memory(settings), Memory(settings)
    undisturbed.run(PHISHING[:200], labels_after=after)
    restarted.run(PHISHING[:200], labels_after=after)
    if snapshot:
        assert restarted.worker.snapshot()
    restarted.restart()
    more = [
        app.run([({**x, "id": n + 1_000}, y) for n, (x, y) in enumerate(PHISHING[200:300])],
                labels_after=after)
        for app in (undisturbed, restarted)
    ]  # fmt: skip
    for prediction in more[1]:
        if "owner" in prediction:
            assert prediction.pop("owner") == 0 or guarantee == "at_least_once"
    for prediction in more[0]:
        prediction.pop("owner", None)
    assert more[0] == more[1]
    assert undisturbed.digest() == restarted.digest()
    assert restarted.learned == 300


def test_a_crash_before_the_commit_leaves_nothing_and_the_batch_is_worked_off_again() -> None:
    class Crash(Exception):
        pass

    def crash(point: str) -> None:
        if point == "before_commit":
            raise Crash

    app = Memory(inline())
    app.run(PHISHING[:50])
    app.worker.reach = crash
    with pytest.raises(Crash):
        app.run(PHISHING[50:51])
    assert len(app.predictions) == 50
    app.restart()
    app.run(PHISHING[51:100])
    assert len(app.predictions) == 100
    assert app.digest() == bare_digest(PHISHING[:100])


def test_an_example_on_which_the_model_raises_is_left_out_and_the_rest_is_learned() -> None:
    settings = inline(
        events={"topic": "sites", "id": "id", "label": "y", "features": ["a"]},
        model={"river": "linear_model.LinearRegression()"},
    )
    app = Memory({**settings, "model": {"factory": "tests.support.models:breaks_at_13"}})
    predictions = app.run([{"id": n, "a": float(n), "y": float(n)} for n in (1, 2, 13, 3)])
    assert [each["id"] for each in predictions] == [1, 2, 3]
    assert app.learned == 3
    assert [(each.reason, each.offset) for each in app.dead_letters] == [("learn_error", 2)]
    app.restart()
    assert app.learned == 3


def test_a_worker_that_would_stop_says_so() -> None:
    app = Memory(inline(dead_letters={"window": 10}))
    with pytest.raises(Stop, match="10 of the last 10 records went to dead letters"):
        app.run([{"id": n} for n in range(20)])


def test_a_static_model_answers_in_batches_as_one_by_one(tmp_path: Path) -> None:
    model = DecisionTreeClassifier(max_depth=3, random_state=1)
    model.fit([list(x.values()) for x, _ in PHISHING], [y for _, y in PHISHING])
    joblib.dump(model, tmp_path / "model.joblib")
    pin = hashlib.sha256((tmp_path / "model.joblib").read_bytes()).hexdigest()
    settings = inline(
        events={"topic": "sites", "id": "id", "features": FEATURES},
        labels={"from": "none"},
        model={"sklearn": {"path": str(tmp_path / "model.joblib"), "sha256": pin}},
    )
    app = Memory(settings)
    together = [each["prediction"] for each in app.run(PHISHING[:100])]
    alone = Memory(settings)
    assert together == [alone.predict(dict(x))["prediction"] for x, _ in PHISHING[:100]]


def test_settings_are_a_file_or_what_it_would_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_APP", "from-the-environment")
    document = inline(kafka={"bootstrap.servers": "localhost:9092"})
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert Memory(tmp_path / "app.yaml").settings.app == "from-the-environment"
    app = Memory(document)
    assert app.settings.app == "phishing"
    assert Memory(app.settings).settings is app.settings
    with pytest.raises(SettingsError, match="did you mean"):
        Memory({**document, "modle": {"river": SCALED_LOGISTIC}})


def test_after_a_stop_nothing_is_passed_over_until_a_restart_has_worked_it_off() -> None:
    events = {"topic": "sites", "id": "id", "label": "y", "features": ["a"]}
    app = Memory(inline(events=events, model={"factory": "tests.support.models:breaks_at_13"}))
    for n in range(9):
        with pytest.raises(DeadLetter, match="learn_error"):
            app.predict({"id": n, "a": 1.0, "y": 13.0})
    for n, label in ((9, 13.0), (10, 1.0)):  # the second one waits behind the first
        with pytest.raises(Stop, match="learned none in between"):
            app.predict({"id": n, "a": 1.0, "y": label})
    app.restart()
    app.predict({"id": 11, "a": 1.0, "y": 1.0})
    assert [each["id"] for each in app.predictions] == [10, 11]
    assert [each.offset for each in app.dead_letters] == list(range(10))


def test_what_a_commit_left_undone_is_done_by_the_next_one() -> None:
    class Cut(Exception):
        pass

    def cut(point: str) -> None:
        raise Cut(point)

    app = Memory(inline())
    whole, app.worker.reach = app.worker.reach, cut
    with pytest.raises(Cut):
        app.run(PHISHING[:1])
    app.worker.reach = whole
    app.run(PHISHING[1:2])
    assert len(app.predictions) == 2
    assert app.digest() == bare_digest(PHISHING[:2])


def test_a_label_finds_its_event_by_an_id_beyond_64_bits() -> None:
    app = Memory(small())
    app.predict({"id": 10**30, "x": 1.0})
    app.label(10**30, True)
    assert (app.learned, app.waiting) == (1, 0)
