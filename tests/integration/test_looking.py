"""`state` and `snapshots`: an app looked at from outside, on a real Kafka."""

import hashlib
from pathlib import Path
from typing import Any

import joblib
import orjson
import pytest

from millstream.core.models.interface.state_digest import digest
from millstream.core.snapshots.snapshot import seal, unseal
from millstream.operations.snapshot_catalog import CatalogEntry, SnapshotCatalog
from tests.conftest import Millstream, Result
from tests.integration.test_snapshots import restored, work
from tests.support.kafka.app import PHISHING, App, bare_digest, event_of, label_of, released_digests
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.kafka
LATE = {"from": "topic", "wait": "1h"}
RARELY = {"examples": 10**6, "every": "1h"}


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result
    return [orjson.loads(line) for line in result.out.splitlines()]


def several_snapshots(app: App, count: int = 3) -> None:
    """One snapshot for each run of a worker."""
    for number in range(count):
        app.send(app.events, (event_of(i) for i in range(100 * number, 100 * number + 100)))
        work(app, handled=100 * number + 100)


def names(app: App) -> list[str]:
    """Oldest first."""
    return [each["name"] for each in app.snapshots()]


def test_state_shows_offsets_and_the_newest_snapshot_and_by_a_replay_what_was_learned(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, snapshots=RARELY)
    (nothing,) = lines(millstream("state", app.file, "--json"))
    assert nothing["events"] == {"committed": None, "end": 0, "lag": None}
    assert nothing["snapshot"] is None
    app.send(app.events, (event_of(i) for i in range(100)))
    work(app, handled=100)
    app.send(app.events, (event_of(i) for i in range(100, 120)))
    with app.worker(1) as worker:
        # A transaction's markers are written one after the other: those of offsets may be the last.
        worker.wait_until(lambda: app.handled() == 120)
        worker.wait_until(lambda: kafka.committed(app.name, app.events) == 120)
        worker.sigkill()  # so that there is no snapshot of the last ones
    app.send(app.events, (event_of(i) for i in range(120, 130)))
    (cheap,) = lines(millstream("state", app.file, "--json"))
    assert cheap["events"] == {"committed": 120, "end": 130, "lag": 10}
    assert cheap["learned"] is cheap["digest"] is cheap["waiting"] is None
    assert cheap["snapshot"]["learned"] == 100
    assert cheap["snapshot"]["digest"] == bare_digest(PHISHING[:100])
    assert cheap["snapshot"]["age"] >= 0
    assert cheap["snapshot"]["bytes"] > 0
    (whole,) = lines(millstream("state", app.file, "--replay", "--json"))
    assert (whole["learned"], whole["digest"]) == (120, bare_digest(PHISHING[:120]))
    assert (whole["waiting"], whole["held"], whole["moved"]) == (0, 0, False)
    shown = millstream("state", app.file, "--replay")
    assert shown.exit_code == 0
    assert bare_digest(PHISHING[:120])[:12] in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_state_counts_what_waits_and_is_held_and_writes_nothing(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    guarantee: str,
) -> None:
    (tmp_path / "waiting").mkdir()
    waiting = {"store": "disk", "directory": str(tmp_path / "waiting")}
    app = App(kafka, tmp_path, labels=LATE, waiting=waiting, processing_guarantee=guarantee)
    app.send(app.events, (event_of(i, label=False) for i in range(100)))
    app.send(app.labels, [*(label_of(i) for i in range(70)), label_of(500)])
    with app.worker() as worker:
        worker.wait_until(lambda: app.resolved() == 70 and len(app.examples("held")) == 1)
        ends = {role: kafka.end_offsets(app.topic(role)) for role in ("examples", "models")}
        # Beside the worker, too.
        (state,) = lines(millstream("state", app.file, "--replay", "--json"))
        assert (state["learned"], state["waiting"], state["held"]) == (70, 30, 1)
        assert state["labels"] == {"committed": 71, "end": 71, "lag": 0}
        for role, end in ends.items():
            assert kafka.end_offsets(app.topic(role)) == end
        assert worker.stop() == 0
    assert "partitions revoked" not in worker.log_text().split("stopping")[0], "nobody joined"
    assert state["digest"] == released_digests(worker)[0]


def test_snapshots_are_listed_verified_and_deleted(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, snapshots=RARELY)
    assert "no snapshots yet" in millstream("snapshots", "list", app.file).out
    several_snapshots(app)
    listed = lines(millstream("snapshots", "list", app.file, "--json"))
    assert [each["learned"] for each in listed] == [300, 200, 100]
    assert [each["positions"] for each in listed] == [{"events": n} for n in (300, 200, 100)]
    assert all(each["current"] and each["store"] == "topic" for each in listed)
    assert [each["name"] for each in listed] == names(app)[::-1]
    assert millstream("snapshots", "verify", app.file).out.endswith("3 snapshots, 0 bad\n")
    oldest, middle, newest = names(app)
    done = millstream("snapshots", "delete", app.file, oldest, "--yes")
    assert done.exit_code == 0, done
    assert names(app) == [middle, newest]
    keys = {message.key for message in kafka.read(app.topic("models")) if message.value is None}
    assert keys == {f"0/snapshot/{oldest}".encode(), f"0/snapshot/{oldest}/0".encode()}
    assert lines(
        millstream("snapshots", "delete", app.file, "--older-than", "1h", "--yes", "--json")
    ) == []  # fmt: skip
    done = millstream("snapshots", "delete", app.file, "--all-but", 1, "--yes")
    assert (done.exit_code, names(app)) == (0, [newest])
    done = millstream("snapshots", "delete", app.file, "--older-than", "0s", "--yes")
    assert (done.exit_code, names(app)) == (0, [])
    assert "partitions without a snapshot then: 0" in done.out
    with app.worker(1) as worker:
        worker.wait_for_log("restored (")
        assert worker.stop() == 0
    assert (restored(worker)["learned"], restored(worker)["snapshot"]) == (300, None)


def test_snapshots_in_a_folder_are_found_bad_and_deleted_there(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    store = tmp_path / "store"
    app = App(kafka, tmp_path, snapshots={**RARELY, "store": str(store), "keep": 4})
    several_snapshots(app, 4)
    gone, broken, forged, good = names(app)
    (file,) = store.rglob(f"{broken}.snapshot")
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    next(store.rglob(f"{gone}.snapshot")).unlink()
    # Whole, and sealed anew, but with the weights of another one.
    (file,), (other,) = store.rglob(f"{forged}.snapshot"), store.rglob(f"{good}.snapshot")
    says, holds = unseal(file.read_bytes()), unseal(other.read_bytes())
    file.write_bytes(seal(says.about, says.proof, holds.payload))
    result = millstream("snapshots", "verify", app.file, "--json")
    assert result.exit_code == 1
    verdicts = {
        each["name"]: each["verdict"] for each in map(orjson.loads, result.out.splitlines())
    }
    assert verdicts[good] == "good"
    assert verdicts[broken] == "bad: it is damaged: its payload is not what was written"
    assert "cannot be read" in verdicts[gone]
    assert verdicts[forged] == "bad: the weights that it gives are not those that were written"
    assert millstream("snapshots", "verify", app.file, good).exit_code == 0
    refused = millstream("snapshots", "export", app.file, broken, tmp_path / "x")
    assert refused.exit_code == 1
    assert refused.err.startswith(
        f"millstream: snapshot {broken} cannot be exported: it is damaged"
    )
    done = millstream("snapshots", "delete", app.file, good, gone, forged, "--yes")
    assert done.exit_code == 0, done
    assert [path.stem for path in store.rglob("*.snapshot")] == names(app) == [broken]


def test_a_model_is_exported_for_a_notebook_and_another_app_begins_with_it(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, snapshots=RARELY)
    several_snapshots(app, 1)
    (name,) = names(app)
    file = tmp_path / "model.joblib"
    (told,) = lines(millstream("snapshots", "export", app.file, name, file, "--json"))
    model = joblib.load(file)
    assert digest(model) == bare_digest(PHISHING[:100])
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert model.predict_one(PHISHING[100][0]) in {True, False}
    again = millstream("snapshots", "export", app.file, name, file)
    assert (again.exit_code, "--force" in again.err) == (2, True)
    sealed = ("snapshots", "export", app.file, name, file, "--format", "snapshot", "--force")
    assert millstream(*sealed).exit_code == 0
    assert unseal(file.read_bytes()).about.learned == 100
    assert millstream("snapshots", "export", app.file, name, file, "--force").exit_code == 0
    weights = {"path": str(file), "sha256": told["sha256"]}
    heir = App(kafka, tmp_path, model={**app.settings["model"], "weights": weights})
    heir.send(heir.events, (event_of(i) for i in range(100, 150)))
    assert released_digests(work(heir, handled=50)) == {0: bare_digest(PHISHING[:150])}


def test_a_snapshot_of_another_model_is_told_from_a_bad_one(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
) -> None:
    app = App(kafka, tmp_path, snapshots=RARELY)
    several_snapshots(app, 1)
    app.write_settings(model={"river": "linear_model.LogisticRegression()"})
    (listed,) = lines(millstream("snapshots", "list", app.file, "--json"))
    assert not listed["current"]
    result = millstream("snapshots", "verify", app.file)
    assert result.exit_code == 0
    assert "intact, of another model" in result.out
    refused = millstream("snapshots", "export", app.file, listed["name"], tmp_path / "x")
    assert "but the settings define" in refused.err
    (state,) = lines(millstream("state", app.file, "--json"))
    assert state["snapshot"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["state", "--partition", "7"], 1, "has no partition 7: its partitions are 0 to 0"),
        (["snapshots", "verify", "nobody"], 1, "there is no snapshot nobody of app"),
        (["snapshots", "export", "nobody", "file"], 1, "there is no snapshot nobody of app"),
        (["snapshots", "delete"], 2, "say which: NAME..., --older-than DURATION, or --all-but N"),
        (["snapshots", "delete", "x", "--all-but", "1"], 2, "say which"),
        (["snapshots", "delete", "x"], 2, "there is nobody to ask: add --yes"),
        (["snapshots", "delete", "--older-than", "old", "--yes"], 2, "is no duration"),
    ],
)
def test_a_mistake_is_one_sentence(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    app = App(kafka, tmp_path)
    command = 1 if arguments[0] == "state" else 2
    result = millstream(*arguments[:command], app.file, *arguments[command:])
    assert result.exit_code == code
    assert sentence in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["state", "snapshots list", "audit 1"])
def test_missing_topics_are_named_with_the_command_that_creates_them(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    command: str,
) -> None:
    app = App(kafka, tmp_path)
    app.write_settings(topics={"models": "nowhere"})
    name, *rest = command.split()
    words = [name, *rest[:1], app.file] if name == "snapshots" else [name, app.file, *rest]
    result = millstream(*words)
    assert result.exit_code == 1
    assert "topic nowhere (models) does not exist" in result.err
    assert f"millstream topics create {app.file}" in result.err


def test_a_snapshot_that_a_worker_lets_go_of_meanwhile_is_not_bad(
    kafka: Kafka,
    tmp_path: Path,
    millstream: Millstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = App(kafka, tmp_path, snapshots=RARELY)
    several_snapshots(app, 1)
    (name,) = names(app)
    stored = SnapshotCatalog.stored

    def delete_once_it_is_listed(shelf: SnapshotCatalog) -> list[CatalogEntry]:
        listed = stored(shelf)
        shelf.delete(listed)
        shelf._open = None
        return listed

    monkeypatch.setattr(SnapshotCatalog, "stored", delete_once_it_is_listed)
    (line,) = lines(millstream("snapshots", "verify", app.file, "--json"))
    assert (line["name"], line["good"], line["verdict"]) == (name, True, "gone meanwhile")
