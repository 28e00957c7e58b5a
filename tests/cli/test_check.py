"""`check` finds now what would fail later."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
from confluent_kafka import Producer
from river import linear_model

from tests.cli.conftest import UNREACHABLE, Millstream, delayed, inline
from tests.cli.test_main import Write
from tests.kafka.cluster import Kafka


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
        "models": {"cleanup.policy": "compact"},
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
    monkeypatch.setattr("millstream.runners.topics.ADMIN_TIMEOUT_SECONDS", 1.0)
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
        ("predictions", {"retention.ms": "86400000"}, "error", "less than labels.wait (7 days)"),
        ("predictions", {"retention.ms": "864000000"}, "warning", "replay will need it"),
        ("examples", {"retention.ms": "604800000"}, "warning", "replay will need it"),
        ("examples", {"retention.ms": "-1", "retention.bytes": "1000000"}, "warning", "bytes="),
        ("models", {}, "warning", "is not compacted"),
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
        ({"retention.ms": "604800000"}, "warning", "replay will need it"),
        ({"cleanup.policy": "compact"}, "error", "is compacted"),
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


def test_events_that_nothing_is_learned_from_may_expire(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("check")
    make_topics(kafka, app, {"sites": {"retention.ms": "604800000"}})
    weights = tmp_path / "model.pickle"
    weights.write_bytes(pickle.dumps(linear_model.LogisticRegression()))
    settings = inline(app, kafka.bootstrap)
    settings["model"] = {
        "river": "linear_model.LogisticRegression()",
        "weights": {
            "path": str(weights),
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        "learn": False,
    }
    check = Check(millstream, write(settings))
    assert check.texts("warning") + check.texts("error") == ""
    assert "it does not learn" in check.texts("ok", "model")
