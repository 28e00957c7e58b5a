"""`topics create`, and what the worker demands of its topics at its start."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource
from river import linear_model

from millstream.kafka.admin import TopicInfo, describe, list_topics
from millstream.kafka.topic_layout import MODELS_CONFIG, TopicsNotReady, require_topics
from tests.cli.conftest import build, delayed, inline
from tests.cli.test_main import Write
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka, wait_until


def config_of(kafka: Kafka, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    # Right after a topic was made, a broker may say that it does not know it.
    entries = wait_until(lambda: _answered(kafka, resource))
    return {name: entry.value for name, entry in entries.items()}


def _answered(kafka: Kafka, resource: ConfigResource) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = kafka.admin.describe_configs([resource])[resource].result()
    except KafkaException:
        return {}
    return answer


def test_missing_topics_are_created_as_they_have_to_be(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("cli")
    settings = delayed(app, kafka.bootstrap)
    path = write(settings)
    result = millstream("topics", "create", path, "--partitions", 3, "--json")
    assert result.exit_code == 0, result.err
    rows = json.loads(result.out)
    assert {(row["state"], row["partitions"]) for row in rows} == {("created", 3)}
    assert require_topics(build(settings), kafka.admin) == 3
    for name in ("predictions", "examples"):
        config = config_of(kafka, f"{app}.{name}")
        assert (config["cleanup.policy"], config["retention.ms"]) == ("delete", "-1")
    models = config_of(kafka, f"{app}.models")
    assert {name: models[name] for name in MODELS_CONFIG} == MODELS_CONFIG
    assert config_of(kafka, f"{app}.dead-letters")["retention.ms"] == str(30 * 86_400_000)

    again = millstream("topics", "create", path, "--json")
    assert again.exit_code == 0
    assert {row["state"] for row in json.loads(again.out)} == {"exists"}


def test_outputs_get_as_many_partitions_as_events_have(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("cli")
    kafka.create_topics(f"{app}.sites", partitions=2)
    path = write(inline(app, kafka.bootstrap))
    refused = millstream("topics", "create", path, "--partitions", 5)
    assert refused.exit_code == 1
    assert "has 2 partitions" in refused.err
    created = millstream("topics", "create", path)
    assert created.exit_code == 0
    assert created.out.endswith(f"Partitions are as many as {app}.sites (events) has: 2\n")
    names = [f"{app}.{name}" for name in ("sites", "predictions", "models", "dead-letters")]
    found = describe(kafka.admin, names)
    assert [found[name].partitions for name in names] == [2, 2, 2, 2]
    assert f"{app}.examples" not in describe(kafka.admin, [f"{app}.examples"])


def test_topics_are_created_when_the_brokers_show_them(
    millstream: Millstream, write: Write, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller has them first; a worker that starts a moment later would not find them."""
    app = kafka.unique("cli")
    looks = 0

    def late(admin: AdminClient) -> dict[str, TopicInfo]:
        nonlocal looks
        looks += 1
        return {} if looks < 4 else list_topics(admin)

    monkeypatch.setattr("millstream.cli.commands.topics.list_topics", late)
    assert millstream("topics", "create", write(inline(app, kafka.bootstrap))).exit_code == 0
    assert looks >= 4


def test_topics_that_the_brokers_never_show_are_named(
    millstream: Millstream, write: Write, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = kafka.unique("cli")
    monkeypatch.setattr("millstream.cli.commands.topics.list_topics", lambda _: {})
    monkeypatch.setattr("millstream.cli.commands.topics._SHOWN_SECONDS", 0.2)
    result = millstream("topics", "create", write(inline(app, kafka.bootstrap)))
    assert result.exit_code == 1
    assert f"{app}.sites: created, but after 0.2 s the brokers do not show them yet" in result.err


def test_an_inline_training_log_that_we_create_is_kept_for_ever(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("cli")
    assert millstream("topics", "create", write(inline(app, kafka.bootstrap))).exit_code == 0
    assert config_of(kafka, f"{app}.sites")["retention.ms"] == "-1"


def test_events_are_not_kept_for_a_model_that_learns_nothing(
    millstream: Millstream, write: Write, kafka: Kafka, tmp_path: Path
) -> None:
    app = kafka.unique("cli")
    content = pickle.dumps(linear_model.LogisticRegression())
    (tmp_path / "weights.pickle").write_bytes(content)
    settings = inline(app, kafka.bootstrap) | {
        "events": {"topic": f"{app}.sites", "id": "id"},
        "labels": {"from": "none"},
        "model": {
            "factory": "river.linear_model:LogisticRegression",
            "weights": {"path": "weights.pickle", "sha256": hashlib.sha256(content).hexdigest()},
        },
    }
    result = millstream("topics", "create", write(settings), "--dry-run", "--json")
    configs = {row["role"]: row["config"] for row in json.loads(result.out)}
    assert configs["events"] == {}
    assert configs["predictions"]["retention.ms"] == "-1"


def test_a_dry_run_creates_nothing(millstream: Millstream, write: Write, kafka: Kafka) -> None:
    app = kafka.unique("cli")
    path = write(inline(app, kafka.bootstrap))
    result = millstream("topics", "create", path, "--dry-run")
    assert result.exit_code == 0
    assert f"missing  {app}.sites (events), 4 partitions" in result.out
    default = "4, the default, since there is no --partitions; the other topics follow events\n"
    assert result.out.endswith(f"Partitions of events are {default}")
    asked = millstream("topics", "create", path, "--dry-run", "--partitions", 3)
    assert "Partitions of events are 3, as --partitions says" in asked.out
    assert describe(kafka.admin, [f"{app}.sites"]) == {}


def test_a_replication_that_the_cluster_cannot_give_is_one_line(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("cli")
    path = write(inline(app, kafka.bootstrap))
    result = millstream("topics", "create", path, "--replication-factor", 9)
    assert result.exit_code == 1
    assert result.err.startswith(f"millstream: cannot create {app}.sites (")
    assert result.err.count("\n") == 1


def test_a_worker_without_its_topics_gets_the_command_that_creates_them(kafka: Kafka) -> None:
    app = kafka.unique("cli")
    kafka.create_topics(f"{app}.sites")
    with pytest.raises(TopicsNotReady) as caught:
        require_topics(build(delayed(app, kafka.bootstrap)), kafka.admin)
    for missing in ("verdicts", "predictions", "examples", "models", "dead-letters"):
        assert f"topic {app}.{missing}" in str(caught.value)
    assert f"topic {app}.sites" not in str(caught.value)
    assert "millstream topics create" in str(caught.value)


def test_unequal_partition_counts_are_named(kafka: Kafka) -> None:
    app = kafka.unique("cli")
    rest = ("predictions", "examples", "models", "dead-letters", "sites")
    kafka.create_topics(*(f"{app}.{name}" for name in rest), partitions=2)
    kafka.create_topics(f"{app}.verdicts", partitions=3)
    expected = rf"{app}\.verdicts \(labels\) has 3 partitions, but {app}\.sites \(events\) has 2"
    with pytest.raises(TopicsNotReady, match=expected):
        require_topics(build(delayed(app, kafka.bootstrap)), kafka.admin)
