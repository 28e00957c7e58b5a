"""Each example does what its README says."""

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from millstream import Memory, load_settings
from millstream.evaluation import evaluate
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka, wait_until
from tests.support.kafka.worker import WorkerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


def printed(*command: object) -> str:
    """What a program of an example prints."""
    return subprocess.run(
        [sys.executable, *map(str, command)], check=True, capture_output=True, text=True
    ).stdout


def test_every_example_is_in_the_list_and_says_how_to_try_it() -> None:
    listed = re.findall(r"^\| \[([\w-]+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [folder.name for folder in FOLDERS]
    assert len(FOLDERS) >= 4
    for folder in FOLDERS:
        assert re.search(r"^(```sh|    \$? ?\w+)", (folder / "README.md").read_text(), re.MULTILINE)
    for path in EXAMPLES.glob("*/millstream.yaml"):
        load_settings(path)


@pytest.mark.parametrize(
    ("name", "after", "accuracy"), [("phishing", None, 0.8872), ("phishing-late", 100, 0.8608)]
)
def test_the_classifiers_reach_river_s_own_figures(
    name: str, after: int | None, accuracy: float
) -> None:
    report = evaluate(EXAMPLES / name / "millstream.yaml", "river:Phishing", labels_after=after)
    assert report.metrics["Accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert (report.learned, report.dead_letters, report.stops) == (1250, {}, None)


def test_the_static_model_is_fitted_pinned_and_evaluated(
    millstream: Millstream, tmp_path: Path
) -> None:
    printed(EXAMPLES / "static" / "train.py", tmp_path)
    found = orjson.loads(
        millstream(
            "evaluate", tmp_path / "millstream.yaml", tmp_path / "events.jsonl",
            "--truth", "is_phishing", "--json",
        ).out
    )  # fmt: skip
    assert (found["events"], found["learned"]) == (625, 0)
    assert found["metrics"]["Accuracy"] > 0.9
    ignored = (EXAMPLES / "static" / ".gitignore").read_text().splitlines()
    assert {path.name for path in tmp_path.iterdir()} <= set(ignored)


def test_odd_payments_stand_above_the_threshold_and_usual_ones_below() -> None:
    lines = printed(EXAMPLES / "anomalies" / "payments.py").splitlines()
    rows = [orjson.loads(line) for line in lines]
    predictions = Memory(EXAMPLES / "anomalies" / "millstream.yaml").run(rows)
    alarms = {each["id"] for each in predictions if each["score"] > 0.95}
    assert alarms == {row["id"] for row in rows if row["odd"]}
    assert len(alarms) == 12


@pytest.mark.kafka
def test_alarms_are_raised_downstream_of_a_worker(
    kafka: Kafka, millstream: Millstream, tmp_path: Path
) -> None:
    app = kafka.unique("odd")
    text = (EXAMPLES / "anomalies" / "millstream.yaml").read_text()
    text = text.replace("localhost:9092", kafka.bootstrap).replace("odd-payments", app)
    text = text.replace("topic: payments", f"topic: {app}-in") + "http: { port: 0 }\n"
    (tmp_path / "app.yaml").write_text(text)
    (tmp_path / "payments.jsonl").write_text(printed(EXAMPLES / "anomalies" / "payments.py"))
    created = millstream("topics", "create", tmp_path / "app.yaml", "--partitions", 1)
    assert created.exit_code == 0, created.err
    assert millstream("send", tmp_path / "app.yaml", tmp_path / "payments.jsonl").exit_code == 0
    with WorkerProcess(tmp_path / "app.yaml", fresh=True):
        predictions = f"{app}.predictions"
        wait_until(lambda: len(kafka.read(predictions)) == 2_000, 90, "all are predicted")
    said = printed(
        EXAMPLES / "anomalies" / "alarms.py", "--bootstrap", kafka.bootstrap,
        "--topic", predictions, "--until-idle", 8,
    )  # fmt: skip
    assert said.count("payment ") == 12
