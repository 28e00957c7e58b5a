"""TLS, SCRAM, the least rights that do, and secrets that are seen nowhere."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from millstream.config.sections import HttpSettings
from tests.support.kafka.app import App, event_of, label_of
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.fixture import LocalKafka, local_kafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
PASSWORD = "canary-5e1f-password"
SNAPSHOT_KEY = "canary-7ab0-key-of-snapshots"
ALLOWED = re.compile(
    r"Principal = User:worker is (Allowed|Denied) operation = (\w+) .*?on resource = "
    r"(\w+):(\w+):(\S+) for request = (\w+).*?(?:based on rule (.*))?$"
)


def documented_rights(app: App) -> list[AclBinding]:
    """The rights that the commands of the page give, to the user and for the topics of an app."""
    commands = re.findall(r"^kafka-acls\.sh ((?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 6
    return [right for command in commands for right in rights_of(command, app)]


def rights_of(command: str, app: App) -> list[AclBinding]:
    words = shlex.split(command.replace("\\\n", " "))
    options: dict[str, list[str]] = {}
    for name, value in pairwise(words):
        if name.startswith("--") and not value.startswith("--"):
            options.setdefault(name, []).append(value)
    types = {
        "--topic": ResourceType.TOPIC,
        "--group": ResourceType.GROUP,
        "--transactional-id": ResourceType.TRANSACTIONAL_ID,
    }
    (kind,) = types.keys() & options.keys()
    topic = {"payments": app.events, "verdicts": app.labels}.get(options[kind][0])
    prefixed = options.get("--resource-pattern-type") == ["prefixed"]
    assert options["--allow-principal"] == ["User:fraud-worker"]
    return [
        AclBinding(
            types[kind],
            topic or options[kind][0].replace("fraud", app.name),
            ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL,
            "User:worker",
            "*",
            AclOperation[re.sub(r"(?<!^)([A-Z])", r"_\1", operation).upper()],
            AclPermissionType.ALLOW,
        )
        for operation in options["--operation"]
    ]


def forbid_what_is_not_allowed(kafka: Kafka) -> None:
    """A resource that no rule names is open to all on this broker: name them all."""
    kinds = (
        ResourceType.TOPIC,
        ResourceType.GROUP,
        ResourceType.TRANSACTIONAL_ID,
        ResourceType.BROKER,
    )
    give(
        kafka,
        [
            AclBinding(
                kind,
                "kafka-cluster" if kind == ResourceType.BROKER else "*",
                ResourcePatternType.LITERAL,
                "User:nobody",
                "*",
                AclOperation.DESCRIBE,
                AclPermissionType.ALLOW,
            )
            for kind in kinds
        ],
    )


def give(kafka: Kafka, rights: list[AclBinding]) -> None:
    for done in kafka.admin.create_acls(rights).values():
        done.result()


@dataclass
class Story:
    """What a worker with the least rights did, and all that could be seen of it."""

    app: App
    rights: list[AclBinding]
    predictions: int = 0
    learned: int = 0
    exit_code: int | None = None
    seen: dict[str, str] = field(default_factory=dict)
    """Where something was written, to all that was written there."""
    asked_by_worker: list[re.Match[str]] = field(default_factory=list)
    """What the authorizer was asked, until the worker had ended."""
    asked_by_all: list[re.Match[str]] = field(default_factory=list)
    """By the commands after it as well: a first worker has no logs of its own to read."""


def questions(cluster: LocalKafka) -> list[re.Match[str]]:
    log = (cluster.folder / "broker-1" / "log").read_text()
    return [found for line in log.splitlines() if (found := ALLOWED.search(line))]


@pytest.fixture(scope="module")
def cluster(kafka: Kafka) -> Iterator[LocalKafka]:
    """A broker with TLS, SCRAM and an authorizer that logs what it was asked."""
    del kafka  # only for its skip or failure
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_LOCAL_PASSWORD", PASSWORD)
        patch.setenv(
            "JAVA_TOOL_OPTIONS", "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug"
        )
        with local_kafka("--sasl", "--tls") as cluster:
            yield cluster


def scram(cluster: LocalKafka) -> dict[str, Any]:
    return {
        "bootstrap.servers": cluster.env["KAFKA_SASL_TLS_BOOTSTRAP_SERVERS"],
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": cluster.env["KAFKA_TLS_CA_FILE"],
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "worker",
    }


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millstream", *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def story(cluster: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One worker, over TLS, with a password from a file; it tells as much as it can."""
    folder = tmp_path_factory.mktemp("security")
    kafka = Kafka(cluster.env["KAFKA_BOOTSTRAP_SERVERS"])
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "key").write_text(SNAPSHOT_KEY + "\n")
    labels = {"from": "topic", "wait": "1h"}
    app = App(
        kafka,
        folder,
        # Their names do not begin with the app's, so that they need rights of their own.
        inputs_of=App(kafka, folder, name="inputs", labels=labels),
        labels=labels,
        snapshots={"examples": 10, "key": {"file": "key"}},
        log={"level": "debug"},
    )
    app.write_settings(
        kafka={
            **scram(cluster),
            "sasl.password": {"file": "password"},
            "debug": "conf,security,broker",
        }
    )
    story = Story(app, documented_rights(app))
    forbid_what_is_not_allowed(kafka)
    give(kafka, story.rights)
    app.send(app.events, [(0, b"junk"), *(event_of(n, label=False) for n in range(40))])
    app.send(app.labels, map(label_of, range(40)))
    with app.worker() as worker:
        worker.wait_until(lambda: app.resolved() == 40, timeout=240)
        worker.wait_until(app.snapshots, timeout=120)
        address = re.findall(r"serving .*address=([^)\s]+)", worker.log_text())[-1]
        for page in ("metrics", "livez", "readyz"):
            with urlopen(f"http://{address}/{page}", timeout=10) as answer:
                story.seen[page] = answer.read().decode()
        story.exit_code = worker.stop()
        story.seen["log"] = worker.log_text()
    story.predictions, story.learned = len(app.predictions()), len(app.examples("learned"))
    story.asked_by_worker = questions(cluster)
    for words in ("check", "state", "snapshots list"):
        done = command(*words.split(), app.file)
        assert done.returncode == 0, done.stdout + done.stderr
        story.seen[words] = done.stdout + done.stderr
    story.asked_by_all = questions(cluster)
    return story


def test_a_worker_predicts_and_learns_over_tls_with_scram_and_the_least_rights(
    story: Story,
) -> None:
    assert (story.predictions, story.learned, story.exit_code) == (40, 40, 0)


def test_no_secret_is_seen_anywhere(story: Story) -> None:
    assert set(story.seen) == {
        "metrics",
        "livez",
        "readyz",
        "log",
        "check",
        "state",
        "snapshots list",
    }
    for place, text in story.seen.items():
        assert text, place
        assert "canary" not in text, place
    # The client did tell what it is configured with.
    assert "sasl.username" in story.seen["log"]


def test_every_right_that_the_page_names_is_used_and_a_worker_is_refused_nothing(
    story: Story,
) -> None:
    assert story.asked_by_worker, "the authorizer logs"
    for verdict, operation, kind, _, name, request, _ in map(
        re.Match.groups, story.asked_by_worker
    ):
        # Who lists all topics is told of those that it may see; the cluster is nothing to a worker.
        if verdict == "Denied" and not (request == "METADATA" or kind == "Cluster"):
            pytest.fail(f"{operation} on {kind} {name} was refused for {request}")
    used = {found[7] or "" for found in story.asked_by_all}
    for right in story.rights:
        parts = {
            f"resourceType={ResourceType(right.restype).name}",
            f"patternType={ResourcePatternType(right.resource_pattern_type).name}",
            f"operation={AclOperation(right.operation).name}",
            f"resourceName={right.name},",
        }
        assert any(all(part in rule for part in parts) for rule in used), (right, used)


def changed(story: Story, folder: Path, **kafka: object) -> Path:
    """The settings of the story with other properties of Kafka, and without its talkativeness."""
    own = {key: value for key, value in story.app.settings["kafka"].items() if key != "debug"}
    files = {"snapshots": {"enabled": False}, "kafka": {**own, **kafka}}
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump({**story.app.settings, **files}))
    return path


def test_a_wrong_password_is_one_sentence_that_does_not_hold_it(
    story: Story, tmp_path: Path
) -> None:
    done = command("run", changed(story, tmp_path, **{"sasl.password": "canary-wrong"}))
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "uthentication failed" in said.splitlines()[-1]
    assert "canary" not in said
    assert "Traceback" not in said


def test_a_broker_whose_certificate_nobody_vouches_for_is_refused_in_one_sentence(
    story: Story, tmp_path: Path
) -> None:
    # What the operating system believes, which knows nothing of the tests' own authority.
    other = {"ssl.ca.location": "probe", "sasl.password": PASSWORD}
    done = command("run", changed(story, tmp_path, **other))
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "certificate" in said.splitlines()[-1]
    assert "canary" not in said
    assert "Traceback" not in said


def test_the_http_port_is_for_this_machine_alone_unless_told_otherwise() -> None:
    assert HttpSettings().host == "127.0.0.1"
