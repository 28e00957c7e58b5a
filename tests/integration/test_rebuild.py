"""A model that is made anew from its log, while no worker runs."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from river import linear_model, optim, preprocessing

from millstream.core.models.interface.state_digest import digest
from tests.integration.test_snapshots import restored, work
from tests.support.kafka.app import PHISHING, App, event_of, label_of, released_digests
from tests.support.kafka.cluster import Kafka

pytestmark = pytest.mark.kafka
LATE = {"from": "topic", "wait": "1h"}
OTHER = "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.02))"


def other_digest(numbers: list[int]) -> str:
    """Digest of the other model after learning these websites."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(
        optimizer=optim.SGD(0.02)
    )
    for number in numbers:
        features, label = PHISHING[number]
        model.learn_one(dict(features), label)
    return digest(model)


def rebuild(app: App, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "millstream", "rebuild", str(app.file), "--yes", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_changed_model_is_refused_and_learns_from_the_log_when_told_to(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(kafka, tmp_path)
    app.send(app.events, (event_of(i) for i in range(300)))
    work(app, handled=300)
    app.write_settings(model={"river": OTHER})
    with app.worker() as worker:
        assert worker.wait() == 1
    assert "millstream rebuild" in worker.log_text()
    done = rebuild(app, "--json")
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["digest"] == other_digest([*range(300)])
    app.send(app.events, (event_of(i) for i in range(300, 350)))
    after = work(app, handled=350)
    assert restored(after)["snapshot"] == 300
    assert released_digests(after) == {0: other_digest([*range(350)])}
    assert len(app.predictions()) == 350, "what was predicted stays as it is"


def test_a_stretch_with_wrong_labels_is_left_out_even_where_there_can_be_no_snapshot(
    kafka: Kafka, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    app = App(kafka, tmp_path, model=OTHER, snapshots={"store": str(tmp_path / "file" / "no")})
    app.send(app.events, (event_of(i) for i in range(300)))
    work(app, handled=300)
    done = rebuild(app, "--skip", "100..200")
    assert done.returncode == 0, done.stderr
    assert "written down without a snapshot" in done.stderr
    app.send(app.events, (event_of(i) for i in range(300, 350)))
    after = work(app, handled=350)
    assert restored(after)["snapshot"] is None
    left_in = [*range(100), *range(200, 350)]
    assert released_digests(after) == {0: other_digest(left_in)}


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_with_late_labels_the_examples_are_what_a_new_model_learns_from(
    kafka: Kafka, tmp_path: Path, guarantee: str
) -> None:
    app = App(kafka, tmp_path, labels=LATE, processing_guarantee=guarantee)
    app.send(app.events, (event_of(i, label=False) for i in range(200)))
    work(app, handled=200)
    app.send(app.labels, map(label_of, range(150)))
    work(app, handled=200, resolved=150)
    app.write_settings(model={"river": OTHER})
    assert rebuild(app).returncode == 0
    app.send(app.labels, map(label_of, range(150, 200)))
    after = work(app, handled=200, resolved=200)
    assert restored(after)["waiting"] == 50
    order = [example["id"] for example in app.examples("learned")]
    assert released_digests(after) == {0: other_digest(order)}
    # And once more, from nothing.
    assert rebuild(app, "--from", "end").returncode == 0
    app.send(app.events, [event_of(200, label=False)])
    app.send(app.labels, [label_of(200)])
    afresh = work(app, handled=201, resolved=201)
    assert released_digests(afresh) == {0: other_digest([200])}


def test_nothing_is_made_anew_while_a_worker_runs(kafka: Kafka, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    with app.worker() as worker:
        worker.wait_for_log("restored")
        refused = rebuild(app)
    assert refused.returncode == 1
    assert "stop them first" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--skip", "100"], "write FROM..TO"),
        (["--from", "yesterday"], "write start, end, an offset, or a time"),
        (["--partition", "7"], "there are 1"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    kafka: Kafka, tmp_path: Path, arguments: list[str], says: str
) -> None:
    refused = rebuild(App(kafka, tmp_path), *arguments)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr
