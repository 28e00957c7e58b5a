"""`check` finds now what would fail later."""

import hashlib
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from river import linear_model

from millstream.core.models.factory import definition_digest
from millstream.core.records.outputs import settings_note
from millstream.core.spec import deciding
from millstream.kafka.topic_layout import MODELS_CONFIG
from tests.cli.conftest import UNREACHABLE, build, delayed, inline
from tests.cli.test_main import Write
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka


class Check:
    """Runs `check --json` and finds its findings."""

    def __init__(self, millstream: Millstream, path: Path) -> None:
        result = millstream("check", path, "--json")
        self.exit_code = result.exit_code
        self.found = json.loads(result.out)

    def texts(self, level: str, about: str = "") -> str:
        return "\n".join(
            f"{one['about']}: {one['text']}"
            for one in self.found
            if one["level"] == level and about in one["about"]
        )


def make_topics(
    kafka: Kafka, app: str, configs: dict[str, dict[str, str]] | None = None, partitions: int = 1
) -> None:
    """Create an app's topics the way they should be, but for these."""
    good: dict[str, dict[str, str]] = {
        "sites": {"retention.ms": "-1"},
        "verdicts": {},
        "predictions": {"retention.ms": "-1"},
        "examples": {"retention.ms": "-1"},
        "models": MODELS_CONFIG,
        "dead-letters": {},
    }
    for name, config in good.items():
        given = (configs or {}).get(name, config)
        kafka.create_topics(f"{app}.{name}", partitions=partitions, config=given)


def test_a_healthy_app_has_no_errors_and_no_warnings(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    for settings in (delayed(app, kafka.bootstrap), inline(app, kafka.bootstrap)):
        check = Check(millstream, write(settings))
        assert check.exit_code == 0
        assert check.texts("error") + check.texts("warning") == ""


def test_the_table_says_the_same_for_people(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    result = millstream("check", write(inline(app, kafka.bootstrap)))
    assert result.exit_code == 1
    assert "does not exist" in " ".join(result.out.split())
    assert "4 errors, 0 warnings, 0 notes" in result.out


def test_an_unreachable_broker_is_an_error_and_the_model_is_checked_all_the_same(
    millstream: Millstream, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 1.0)
    settings = inline("a", UNREACHABLE)
    settings["model"] = {"river": "forest.ARFClassifier()"}
    check = Check(millstream, write(settings))
    assert check.exit_code == 1
    assert "no Kafka broker answers" in check.texts("error", "brokers")
    assert "no seed for ARFClassifier" in check.texts("warning", "model")


@pytest.mark.parametrize(
    ("topic", "config", "level", "words"),
    [
        ("examples", {"cleanup.policy": "compact"}, "error", "is compacted"),
        ("predictions", {"cleanup.policy": "compact,delete"}, "error", "is compacted"),
        ("dead-letters", {"cleanup.policy": "compact"}, "error", "without a key is refused"),
        ("predictions", {"retention.ms": "86400000"}, "error", "less than labels.wait (7 days)"),
        ("predictions", {"retention.ms": "864000000"}, "warning", "can use no snapshot"),
        # A week is the wait alone, and a snapshot is up to five minutes old.
        ("examples", {"retention.ms": "604800000"}, "error", "twice snapshots.every (5 minutes)"),
        ("examples", {"retention.ms": "864000000"}, "warning", "can use no snapshot"),
        ("examples", {"retention.ms": "-1", "retention.bytes": "1000000"}, "warning", "bytes="),
        ("models", {}, "warning", "is not compacted"),
        ("models", {"cleanup.policy": "compact"}, "warning", "keeps old snapshots for long"),
        ("sites", {"message.timestamp.type": "LogAppendTime"}, "warning", "stamps messages"),
        ("verdicts", {"message.timestamp.type": "LogAppendTime"}, "warning", "stamps messages"),
    ],
)
def test_a_topic_that_would_lose_something_later_is_found(
    millstream: Millstream,
    write: Write,
    kafka: Kafka,
    topic: str,
    config: dict[str, str],
    level: str,
    words: str,
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {topic: config})
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert words in check.texts(level, f"topic {app}.{topic}")
    assert check.exit_code == (1 if level == "error" else 0)


@pytest.mark.parametrize(
    ("config", "level", "words"),
    [
        ({"retention.ms": "604800000"}, "warning", "can use no snapshot"),
        ({"retention.ms": "599999"}, "error", "less than twice snapshots.every (5 minutes)"),
        ({"cleanup.policy": "compact"}, "error", "a restore has to replay vanish"),
    ],
)
def test_events_that_are_the_training_log_have_to_stay(
    millstream: Millstream,
    write: Write,
    kafka: Kafka,
    config: dict[str, str],
    level: str,
    words: str,
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {"sites": config})
    check = Check(millstream, write(inline(app, kafka.bootstrap)))
    assert words in check.texts(level, "sites")


def test_predictions_that_nothing_replays_must_not_be_compacted_either(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {"predictions": {"cleanup.policy": "compact"}})
    check = Check(millstream, write(inline(app, kafka.bootstrap)))
    assert "the last prediction under a key" in check.texts("error", f"{app}.predictions")
    assert check.exit_code == 1


def test_events_that_nothing_replays_may_be_compacted(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {"sites": {"cleanup.policy": "compact"}})
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert (check.exit_code, check.texts("error")) == (0, "")


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"no.such.property": "1"}, "No such configuration property"),
        ({"max.poll.interval.ms": "5000"}, "`max.poll.interval.ms`"),
        ({"group.protocol": "consumer", "heartbeat.interval.ms": "3"}, "heartbeat.interval.ms"),
        ({"message.timeout.ms": "20000"}, "`message.timeout.ms`"),
        ({"queue.buffering.max.ms": "nonsense"}, "queue.buffering.max.ms"),
    ],
)
def test_properties_that_one_of_the_workers_clients_refuses_are_told_at_once(
    millstream: Millstream, write: Write, properties: dict[str, str], words: str
) -> None:
    settings = inline("a", UNREACHABLE)
    settings["kafka"] |= properties
    result = millstream("check", write(settings))
    assert result.exit_code == 2
    assert result.err.startswith("millstream: kafka: ")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_an_anomaly_detector_is_called_one(millstream: Millstream, write: Write) -> None:
    settings = inline("a", UNREACHABLE)
    settings["kafka"]["socket.timeout.ms"] = "1000"
    settings["model"] = {"river": "anomaly.HalfSpaceTrees(seed=1)"}
    settings["labels"] = {"from": "none"}
    del settings["events"]["label"]
    check = Check(millstream, write(settings))
    assert "builds: an anomaly detector; it learns" in check.texts("ok", "model")


@pytest.mark.parametrize("partition", [0, 2])
def test_another_model_than_the_one_that_learned_is_found_as_run_would_find_it(
    millstream: Millstream, write: Write, kafka: Kafka, partition: int
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, partitions=3)
    settings = inline(app, kafka.bootstrap)
    before = build(settings)
    note = settings_note(
        partition,
        0,
        definition_digest(before.model, before.labels),
        deciding(before.events, before.labels, before.model),
    )
    kafka.produce(f"{app}.models", [(note.key, note.value, None, None, partition)])
    check = Check(millstream, write(settings))
    assert check.exit_code == 0
    assert "the same that 1 partition has learned with" in check.texts("ok", "model")
    settings["model"] = {"river": "naive_bayes.GaussianNB()"}
    check = Check(millstream, write(settings))
    assert check.exit_code == 1
    expected = f"the model of app {app} is another one than what partition {partition} was learned"
    assert expected in check.texts("error", "model")


def test_notes_that_no_version_wrote_are_found(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    kafka.produce(f"{app}.models", [("0/x", "?", None, None, 0)])
    check = Check(millstream, write(inline(app, kafka.bootstrap)))
    assert "that this version cannot read" in check.texts("error", "model")


def send_values(kafka: Kafka, topic: str, values: Iterable[object], partition: int = 0) -> None:
    raw = [each if isinstance(each, bytes | None) else orjson.dumps(each) for each in values]
    kafka.produce(topic, [(f"{partition}", each, None, None, partition) for each in raw])


def test_events_and_labels_as_the_settings_say_are_ok(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, partitions=2)
    site = {"page": {"https": 1, "popup_window": None}, "long_url": 0.5}
    for partition in (0, 1):
        names = [f"{partition}-{number}" for number in range(130)]
        # What is older than the newest hundred does not count.
        events = [*([b"broken"] * 20), *({"site": {"id": name}, **site} for name in names), None]
        labels = [{"site": name, "verdict": {"phishing": True}} for name in names]
        send_values(kafka, f"{app}.sites", events, partition)
        send_values(kafka, f"{app}.verdicts", labels, partition)
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert "the newest 198 are what the settings say" in check.texts("ok", "events")
    assert "the newest 200 are what the settings say" in check.texts("ok", "labels")
    assert check.texts("warning") + check.texts("note", "labels") == ""


def test_what_would_be_dead_letters_is_counted_by_reason(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    good = {"id": 1, "phishing": True, "x": 1}
    bad = [b"{", {"x": 1, "phishing": True}, {"id": 2, "phishing": "perhaps", "x": 1}]
    send_values(kafka, f"{app}.sites", [*([good] * 7), *bad])
    check = Check(millstream, write(inline(app, kafka.bootstrap)))
    said = check.texts("warning", "events")
    assert "3 of the newest 10 would be dead letters: 1 not_json (at character 1)" in said
    assert "1 id (id is missing)" in said
    assert "1 label_type (text is no boolean, 0 or 1)" in said
    assert "perhaps" not in said
    assert check.exit_code == 0


def test_so_many_that_the_worker_would_stop_are_an_error(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    send_values(kafka, f"{app}.sites", [{"name": 1, "x": 1, "phishing": True}] * 3)
    settings = inline(app, kafka.bootstrap)
    check = Check(millstream, write(settings))
    assert "3 id (id is missing); so many stop the worker" in check.texts("error", "events")
    assert "none of the newest 3 has id (events.id)" in check.texts("warning", "events")
    assert check.exit_code == 1


def test_a_feature_that_no_event_has_is_found(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    events = [{"id": 1, "phishing": True, "a": 1}, {"id": 2, "phishing": True, "b": None}]
    send_values(kafka, f"{app}.sites", events)
    settings = inline(app, kafka.bootstrap)
    settings["events"]["features"] = ["a", "b", "amuont", "c.d"]
    check = Check(millstream, write(settings))
    assert "none of the newest 2 has amuont, c.d (events.features)" in check.texts("warning")
    settings["events"]["features"] = {"all_but": ["a", "secert"]}
    check = Check(millstream, write(settings))
    assert "none of the newest 2 has secert (events.features.all_but)" in check.texts("warning")


def test_a_label_path_that_no_message_has_is_found(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    send_values(kafka, f"{app}.sites", [{"site": {"id": 1}, "long_url": 1}])
    send_values(kafka, f"{app}.verdicts", [{"id": 1, "verdict": {"phishing": True}}] * 2)
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert "none of the newest 2 has site (labels.id)" in check.texts("warning", "labels")
    assert "2 id (site is missing)" in check.texts("error", "labels")


def test_labels_of_other_events_are_noted(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    send_values(kafka, f"{app}.sites", [{"site": {"id": "a-1"}, "long_url": 1}])
    send_values(kafka, f"{app}.verdicts", [{"site": 1, "verdict": {"phishing": True}}])
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert "has the id of one of the newest 1 events" in check.texts("note", "labels")


def test_a_transaction_left_open_is_said_instead_of_waited_for(
    millstream: Millstream, write: Write, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app)
    producer = Producer({**kafka.config, "transactional.id": app})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(f"{app}.sites", b"{}")
    producer.flush()
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 1.0)
    check = Check(millstream, write(inline(app, kafka.bootstrap)))
    producer.abort_transaction()
    assert "a transaction that a producer left open" in check.texts("error", "records")


def produce_keys(kafka: Kafka, topic: str, partitioner: str, keys: range) -> None:
    producer = Producer({**kafka.config, "partitioner": partitioner})
    for number in keys:
        producer.produce(topic, key=str(number), value=b"{}")
    assert producer.flush(30) == 0


@pytest.mark.parametrize(
    ("events", "labels", "keys_of_labels", "level", "words"),
    [
        ("murmur2_random", "murmur2_random", range(200), "ok", "lie on the same partition"),
        ("murmur2_random", "consistent_random", range(200), "error", "on other partitions"),
        ("consistent_random", "consistent_random", range(200), "ok", "lie on the same"),
        ("consistent_random", "murmur2_random", range(900, 999), "error", "never meet"),
        ("random", "random", range(200), "warning", "neither by murmur2 nor by CRC32"),
    ],
)
def test_events_and_labels_placed_differently_are_found(
    millstream: Millstream,
    write: Write,
    kafka: Kafka,
    events: str,
    labels: str,
    keys_of_labels: range,
    level: str,
    words: str,
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, partitions=4)
    produce_keys(kafka, f"{app}.sites", events, range(200))
    produce_keys(kafka, f"{app}.verdicts", labels, keys_of_labels)
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert words in check.texts(level, "keys")
    name = {"murmur2_random": "murmur2 (Java", "consistent_random": "CRC32 (librdkafka"}
    if events in name:
        assert name[events] in check.texts("ok", f"keys of {app}.sites")


def test_records_without_keys_cannot_meet_their_labels(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, partitions=2)
    kafka.produce(f"{app}.sites", [(None, "{}", None, None, 0), ("a", "{}", None, None, 1)])
    check = Check(millstream, write(delayed(app, kafka.bootstrap)))
    assert "1 of the last 2 records have no key" in check.texts("error", "keys")


def static_model(folder: Path) -> dict[str, Any]:
    """A model that has weights and does not learn."""
    weights = folder / "model.pickle"
    weights.write_bytes(pickle.dumps(linear_model.LogisticRegression()))
    return {
        "river": "linear_model.LogisticRegression()",
        "weights": {
            "path": str(weights),
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        "learn": False,
    }


def test_a_model_that_does_not_learn_needs_no_topics_of_labels_and_examples(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("check")
    kafka.create_topics(f"{app}.sites", f"{app}.predictions", f"{app}.dead-letters")
    kafka.create_topics(f"{app}.models", config=MODELS_CONFIG)
    settings = delayed(app, kafka.bootstrap) | {"model": static_model(tmp_path)}
    check = Check(millstream, write(settings))
    assert check.texts("warning") + check.texts("error") == ""


def test_events_that_nothing_is_learned_from_may_expire(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {"sites": {"retention.ms": "604800000"}})
    settings = inline(app, kafka.bootstrap) | {"model": static_model(tmp_path)}
    check = Check(millstream, write(settings))
    assert check.texts("warning") + check.texts("error") == ""
    assert "it does not learn" in check.texts("ok", "model")


@pytest.mark.parametrize("where", ["store", "nowhere"])
def test_old_snapshots_matter_only_where_the_models_topic_holds_them(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path, where: str
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {"models": {"cleanup.policy": "compact"}})
    snapshots = {"store": str(tmp_path / "snaps")} if where == "store" else {"enabled": False}
    check = Check(millstream, write(inline(app, kafka.bootstrap) | {"snapshots": snapshots}))
    assert check.texts("warning") + check.texts("error") == ""
    assert bool(check.texts("ok", "snapshots")) == (where == "store")


def test_a_store_of_snapshots_that_cannot_be_written_is_found(
    millstream: Millstream, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 1.0)
    (tmp_path / "snaps").write_text("a file")
    settings = inline("a", UNREACHABLE) | {"snapshots": {"store": str(tmp_path / "snaps")}}
    check = Check(millstream, write(settings))
    assert "cannot be written (Not a directory)" in check.texts("error", "snapshots")
    settings["snapshots"] = {"store": "nosuch://bucket"}
    result = millstream("check", write(settings))
    assert result.exit_code == 2
    assert "snapshots.store: nosuch://bucket" in result.err
    assert "Traceback" not in result.err


def test_secrets_in_the_settings_file_are_warned_of_and_not_printed(
    millstream: Millstream, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.kafka.admin.ADMIN_TIMEOUT_SECONDS", 0.1)
    (tmp_path / "secret").write_text("canary-file-5e1f\n" * 2)
    monkeypatch.setenv("MILLSTREAM_KAFKA__SSL_KEYSTORE_PASSWORD", "canary-env-5e1f")
    settings = inline("a")
    settings["snapshots"] = {"key": "canary-key-5e1f" * 3}
    settings["kafka"] |= {
        "sasl.password": "canary-5e1f",
        "ssl.key.password": {"file": "secret"},
    }
    path = write(settings)
    warned = Check(millstream, path).texts("warning", "settings")
    assert [line.split()[1] for line in warned.splitlines()] == [
        "kafka.sasl.password",
        "snapshots.key",
    ]
    assert "MILLSTREAM_KAFKA__SASL_PASSWORD_FILE" in warned
    assert "MILLSTREAM_SNAPSHOTS__KEY_FILE" in warned
    assert "canary" not in "".join(millstream("check", path)[1:])
