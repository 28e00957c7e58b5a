"""Predictions are made again from snapshots and logs, bit for bit, on a real Kafka."""

import hashlib
import io
from pathlib import Path
from typing import Any

import joblib
import orjson
import pytest
from confluent_kafka import TopicPartition
from sklearn.linear_model import LogisticRegression

from tests.conftest import Millstream, Result
from tests.integration.test_snapshots import work
from tests.support.kafka.app import FEATURES, PHISHING, App, event_of, label_of
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.kafka
LATE = {"from": "topic", "wait": "1h"}
OFTEN = {"examples": 100, "every": "1h", "keep": 100}


def lines(result: Result) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in result.out.splitlines()]


def verdicts(result: Result) -> list[str]:
    return [each["verdict"] for each in lines(result)]


def worked_inline(kafka: Kafka, folder: Path, count: int = 450, **settings: Any) -> App:
    """An app that has taken a snapshot for each 150 events, and one at its end."""
    app = App(kafka, folder, **{"snapshots": OFTEN, **settings})
    with app.worker() as worker:
        for end in range(150, count + 1, 150):
            app.send(app.events, (event_of(i) for i in range(end - 150, end)))
            worker.wait_until(lambda: app.handled() == end)
            worker.wait_until(lambda: len(app.snapshots()) >= end // 150)
        assert worker.stop() == 0
    return app


def forge(app: App, record: dict[str, Any], **changes: Any) -> None:
    """Write a prediction that no worker made."""
    forged = {**record, "predicted_at": record["predicted_at"] + 1, **changes}
    app.kafka.produce(app.topic("predictions"), [(b"k", orjson.dumps(forged), None, None, 0)])


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_inline_predictions_are_made_again_from_the_snapshot_before_them(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    guarantee: str,
) -> None:
    app = worked_inline(kafka, tmp_path, processing_guarantee=guarantee)
    result = millstream("audit", app.file, "7", "320", "449", "--json")
    assert result.exit_code == 0, result
    first, middle, last = sorted(lines(result), key=lambda each: each["id"])
    assert {first["verdict"], middle["verdict"], last["verdict"]} == {"identical"}
    assert (first["id"], first["snapshot"]) == (7, None), "there is none before it"
    learned = {each["name"]: each["learned"] for each in app.snapshots()}
    assert len(learned) >= 3
    assert learned[middle["snapshot"]] == max(each for each in learned.values() if each <= 320)
    assert middle["model"]["learned"] == middle["again"]["learned"] == 320
    assert middle["recorded"].items() <= middle["again"].items()
    everything = millstream("audit", app.file, "--offsets", "0/0..100000000", "--json")
    assert everything.exit_code == 0, everything
    assert verdicts(everything) == ["identical"] * 450


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("learn_from", ["raw", "transformed"])
def test_with_late_labels_the_weights_are_those_of_the_examples_learned_then(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    guarantee: str,
    learn_from: str,
) -> None:
    app = App(
        kafka, tmp_path, labels={**LATE, "learn_from": learn_from}, snapshots=OFTEN,
        processing_guarantee=guarantee,
    )  # fmt: skip
    with app.worker() as worker:
        for start in range(0, 450, 150):
            app.send(app.events, (event_of(i, label=False) for i in range(start, start + 150)))
            worker.wait_until(lambda: app.handled() == start + 150)
            app.send(app.labels, (label_of(i) for i in range(start, start + 130)))
            resolved = start // 150 * 130 + 130
            worker.wait_until(lambda: app.resolved() == resolved)
            worker.wait_until(lambda: len(app.snapshots()) > start // 150)
        assert worker.stop() == 0
    result = millstream("audit", app.file, "--offsets", "0/0..100000000", "--json")
    assert result.exit_code == 0, result
    assert verdicts(result) == ["identical"] * 450
    used = {each["model"]["learned"]: each["snapshot"] for each in lines(result)}
    assert used[0] is None
    assert len(set(used.values())) > 1, "later ones begin from a snapshot"
    if learn_from == "transformed":
        assert "transformed" in lines(result)[-1]["again"]


def test_a_prediction_that_no_such_model_made_is_different_and_the_audit_says_in_what(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = worked_inline(kafka, tmp_path, 150)
    record = app.predictions()[100]
    nudged = {**record["probabilities"], "true": record["probabilities"]["true"] + 1e-16}
    assert nudged != record["probabilities"]
    forge(app, record, probabilities=nudged)
    result = millstream("audit", app.file, record["id"])
    assert result.exit_code == 1
    assert "DIFFERENT" in result.out
    assert f"{nudged['true']!r}" in result.out
    assert f"version {record['model']['version']}, learned 100" in result.out
    both = millstream("audit", app.file, record["id"], "--all", "--json")
    assert both.exit_code == 1
    assert verdicts(both) == ["identical", "different"]
    forge(app, record, id="x", model={**record["model"], "learned": 101})
    (other,) = lines(millstream("audit", app.file, "x", "--json"))
    assert (other["verdict"], other["why"]) == ("different", "learned 101 then, 100 now")


def test_what_cannot_be_made_again_is_said_in_a_sentence(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = worked_inline(kafka, tmp_path, 300)
    for done in kafka.admin.delete_records([TopicPartition(app.events, 0, 100)]).values():
        done.result()
    result = millstream("audit", app.file, "10", "299", "no-such-id", "--json")
    assert result.exit_code == 1
    gone, there, missing = lines(result)
    assert gone["verdict"] == "unknown"
    assert "begins at offset 100" in gone["why"]
    assert there["verdict"] == "identical", "a snapshot lies between"
    assert missing == {"verdict": "missing", "what": "id no-such-id"}
    other = {"model": {"river": "linear_model.LogisticRegression()"}}
    app.write_settings(**other)
    (before,) = lines(millstream("audit", app.file, "299", "--json"))
    assert before["verdict"] == "unknown"
    assert "put the definition of then back" in before["why"]


def test_a_bad_snapshot_is_passed_over_for_the_one_before_it(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    store = tmp_path / "store"
    app = worked_inline(kafka, tmp_path, 300, snapshots={**OFTEN, "store": str(store)})
    *_, newest = sorted(app.snapshots(), key=lambda each: each["learned"])
    (file,) = store.rglob(f"{newest['name']}.snapshot")
    app.send(app.events, [event_of(300)])
    with app.worker() as worker:
        worker.wait_until(lambda: app.handled() == 301)
        worker.sigkill()
    file.write_bytes(file.read_bytes()[:-20])
    result = millstream("audit", app.file, "--source", "0/300", "--json")
    (line,) = lines(result)
    assert result.exit_code == 0, result
    assert line["verdict"] == "identical"
    assert line["snapshot"] not in {None, newest["name"]}
    assert f"snapshot {newest['name']} was passed over: it is damaged" in result.err


def test_a_prediction_is_made_again_under_the_settings_of_its_time(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, snapshots={"examples": 10**6, "every": "1h"})
    app.send(app.events, (event_of(i) for i in range(100)))
    work(app, handled=100)
    app.write_settings(events={**app.settings["events"], "features": FEATURES[:4]})
    app.send(app.events, (event_of(i) for i in range(100, 200)))
    work(app, handled=200)
    # Changed once more, and no worker has seen it yet.
    app.write_settings(events={**app.settings["events"], "features": FEATURES[:2]})
    result = millstream("audit", app.file, "--offsets", "0/0..200", "--json")
    assert result.exit_code == 0, result
    assert verdicts(result) == ["identical"] * 200


@pytest.mark.parametrize("carried", [{"features": True}, {"features": False}])
def test_a_static_model_is_asked_once_more_and_may_round_otherwise(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    carried: dict[str, bool],
) -> None:
    rows = [[float(value) for value in x.values()] for x, _ in PHISHING]
    buffer = io.BytesIO()
    joblib.dump(LogisticRegression().fit(rows, [y for _, y in PHISHING]), buffer)
    (tmp_path / "model.joblib").write_bytes(buffer.getvalue())
    app = App(
        kafka, tmp_path, labels={"from": "none"}, predictions=carried,
        model={"sklearn": {"path": str(tmp_path / "model.joblib"),
                           "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}},
    )  # fmt: skip
    app.send(app.events, (event_of(i, label=False) for i in range(200)))
    work(app, handled=200)
    result = millstream("audit", app.file, "--offsets", "0/0..200", "--json")
    assert result.exit_code == 0, result
    assert set(verdicts(result)) <= {"identical", "rounded"}
    record = app.predictions()[0]
    forge(app, record, id="x", probabilities={"false": 0.5, "true": 0.5})
    assert verdicts(millstream("audit", app.file, "x", "--json")) == ["different"]


def test_after_a_rebuild_only_what_the_new_model_predicted_can_be_made_again(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = worked_inline(kafka, tmp_path, 150)
    assert millstream("rebuild", app.file, "--yes", "--skip", "50..100").exit_code == 0
    app.send(app.events, (event_of(i) for i in range(150, 200)))
    work(app, handled=200)
    result = millstream("audit", app.file, "--offsets", "0/0..200", "--json")
    assert result.exit_code == 1
    assert verdicts(result) == ["unknown"] * 150 + ["identical"] * 50
    assert "a rebuild has made version" in lines(result)[0]["why"]
    for each in app.snapshots():
        assert millstream("snapshots", "delete", app.file, each["name"], "--yes").exit_code == 0
    again = millstream("audit", app.file, "--offsets", "0/150..200", "--json")
    assert verdicts(again) == ["identical"] * 50, "from the log alone as well"


def test_ids_may_come_from_a_file(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, partitions=3)
    app.send(app.events, (event_of(i) for i in range(60)))
    work(app, handled=60)
    (tmp_path / "ids").write_text("".join(f"{i}\n" for i in range(60)) + "\n")
    result = millstream("audit", app.file, "--ids-file", tmp_path / "ids")
    assert result.exit_code == 0, result
    assert result.out == "60 predictions: 60 identical\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say which predictions"),
        (["--source", "7"], "--source 7 is no place: write PARTITION/OFFSET"),
        (["--offsets", "0/7..7"], "--offsets 0/7..7 is no stretch: write PARTITION/FROM..TO"),
        (["--ids-file", "nowhere"], "--ids-file nowhere: No such file or directory"),
        (["--source", "9/7"], "has no partition 9"),
    ],
)
def test_a_mistake_is_one_sentence(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    arguments: list[str],
    sentence: str,
) -> None:
    app = App(kafka, tmp_path)
    result = millstream("audit", app.file, *arguments)
    assert result.exit_code == 2
    assert sentence in result.err
    assert len(result.err.splitlines()) == 1
