"""From bad events to predictions: dead letters, other settings, a replay, on a real Kafka."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import Millstream
from tests.support.kafka.app import (
    FEATURES,
    PHISHING,
    App,
    bare_digest,
    event_of,
    label_of,
    released_digests,
)
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.kafka

OWN = [("trace", b"\x00\xff")]


def publish(app: App, numbers: range, *, partition: int) -> None:
    """Events under a key that no partitioner would put there, with a header of their own."""
    app.kafka.produce(
        app.events,
        [(b"key", orjson.dumps(event_of(n, label=not app.late)[1]), OWN, None, partition)
         for n in numbers],
    )  # fmt: skip


def settings_of(app: App, features: list[str]) -> dict[str, Any]:
    events = {"topic": app.events, "id": "id", "features": features, "missing": "dead_letter"}
    return events if app.late else {**events, "label": "label"}


def counted(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.err
    counts: dict[str, Any] = orjson.loads(result.out)
    return counts


def test_bad_events_become_predictions_once_the_settings_are_mended_and_they_are_replayed(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, partitions=2, dead_letters={"stop_ratio": None})
    app.write_settings(events=settings_of(app, [*FEATURES, "no_such_feature"]))
    publish(app, range(6), partition=1)
    kafka.produce(app.events, [(b"key", b"not JSON", OWN, None, 0)])
    with app.worker() as worker:
        worker.wait_until(lambda: len(app.dead_letters()) == 7, message="all are dead letters")
        assert worker.stop() == 0
    app.write_settings(events=settings_of(app, FEATURES))
    run = ("dead-letters", "replay", app.file, "--reason", "missing_feature")
    assert counted(millstream(*run, "--dry-run", "--json"))["messages"] == 6
    assert counted(millstream(*run, "--yes", "--json"))["messages"] == 6
    assert counted(millstream(*run, "--yes", "--json"))["left_out"] == {"replayed": 6}
    with app.worker(1) as worker:
        worker.wait_until(lambda: len(app.predictions()) == 6, message="all are predicted")
        assert worker.stop() == 0
        digests = released_digests(worker)
    assert digests[1] == bare_digest(PHISHING[:6])
    for number, message in enumerate(app.read("predictions")):
        assert (message.partition, message.key, message.json["id"]) == (1, b"key", number)
        assert message.json["source"]["offset"] >= 6
        # It says where it comes from, and nothing of what had failed.
        assert message.headers == [
            *OWN,
            ("millstream-replayed-from", f"{app.events}/1/{number}".encode()),
            ("millstream-replayed-letter", f"{app.topic('dead-letters')}/1/{number}".encode()),
            ("millstream-replays", b"1"),
        ]


def test_a_replay_that_fails_again_is_known_by_its_origin_and_given_up_on_in_the_end(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, dead_letters={"stop_ratio": None})
    kafka.produce(app.events, [(b"key", b"not JSON", OWN, None, 0)])
    run = ("dead-letters", "replay", app.file, "--yes", "--json", "--max-replays", 2)
    with app.worker() as worker:
        for tries in (1, 2, 3):
            worker.wait_until(
                lambda: len(app.dead_letters()) == tries,
                message=f"{tries} failures",
            )
            said = counted(millstream(*run))
            assert said["messages"] == (tries < 3)
        assert worker.stop() == 0
    assert said["left_out"] == {"replayed": 2, "max_replays": 1}
    result = millstream("dead-letters", "list", app.file, "--json")
    listed = [orjson.loads(line) for line in result.out.splitlines()]
    assert [each["replays"] for each in listed] == [0, 1, 2]
    assert [each["replayed"] for each in listed] == [1, 1, 0]
    assert {each["origin"]["offset"] for each in listed} == {0}
    assert kafka.read(app.events)[-1].headers[: len(OWN)] == OWN


def test_a_worker_that_lost_its_offsets_takes_the_note_of_a_replay_for_nothing_else(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, dead_letters={"stop_ratio": None})
    odd = [("millstream-x", b"\xff"), ("millstream-offset", b"\xff")]
    kafka.produce(app.events, [(b"key", b"not JSON", odd, None, 0)])
    with app.worker() as worker:
        worker.wait_until(lambda: len(app.dead_letters()) == 1)
        assert millstream("dead-letters", "replay", app.file, "--yes").exit_code == 0
        worker.wait_until(lambda: len(app.dead_letters()) == 2)
        assert worker.stop() == 0
    kafka.delete_group_offsets(app.name, [app.events])
    publish(app, range(1, 2), partition=0)
    with app.worker(1) as worker:
        worker.wait_until(lambda: len(app.predictions()) == 1)
        assert worker.stop() == 0
    assert len(app.dead_letters()) == 2


def test_late_labels_and_their_events_are_learned_from_when_both_are_replayed(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    late = {"from": "topic", "wait": "1s", "label": "label"}
    app = App(kafka, tmp_path, labels=late, dead_letters={"stop_ratio": None})
    app.write_settings(events=settings_of(app, [*FEATURES, "no_such_feature"]))
    publish(app, range(4), partition=0)
    app.send(app.labels, [label_of(n) for n in range(4)])
    with app.worker() as worker:
        worker.wait_until(
            lambda: len(app.dead_letters()) == 8, message="events and labels are given up"
        )
        assert worker.stop() == 0
    assert sorted(each["millstream-reason"] for each in app.dead_letters()) == (
        ["missing_feature"] * 4 + ["unmatched"] * 4
    )
    app.write_settings(
        events=settings_of(app, FEATURES), labels={**late, "topic": app.labels, "wait": "1d"}
    )
    assert counted(millstream("dead-letters", "replay", app.file, "--yes", "--json")) == {
        "dry_run": False,
        "messages": 8,
        "by_reason": [
            {"topic": app.events, "reason": "missing_feature", "messages": 4},
            {"topic": app.labels, "reason": "unmatched", "messages": 4},
        ],
        "left_out": {},
    }
    with app.worker(1) as worker:
        worker.wait_until(lambda: len(app.examples("learned")) == 4, message="all are learned")
        assert worker.stop() == 0
    assert [record["id"] for record in app.examples("learned")] == [0, 1, 2, 3]
