"""What the README shows is run as it stands there."""

import contextlib
import hashlib
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import orjson
import pytest
import yaml
from river import linear_model
from sklearn.dummy import DummyClassifier

from millstream import Memory
from millstream.config.settings import load_settings
from millstream.core.records.record import REASONS
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka, Message, wait_until
from tests.support.validators import validate

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def lines(block: str) -> list[str]:
    """The commands of a block, without what is said of them."""
    return [line.split("#")[0].strip() for line in block.strip().splitlines()]


def lines_with(words: str) -> list[str]:
    """The commands of the one block of the shell that has these words."""
    (block,) = (each for each in blocks("sh") if words in each)
    return lines(block)


def shell(command: str, folder: Path) -> subprocess.Popen[str]:
    """A command line in a folder, with this environment's `millstream` in the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env={**os.environ, "PATH": path}, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run(command: str, folder: Path) -> str:
    """Run a command line to its end; it has to succeed."""
    process = shell(command, folder)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, f"{command}: {output}"
    return output


def test_the_first_commands_are_targets_of_the_makefile() -> None:
    commands = lines(blocks("sh")[0])
    assert commands == ["make demo", "make test"]
    for command in commands:
        subprocess.run([*command.split(), "-n"], cwd=ROOT, check=True, capture_output=True)


def test_the_settings_of_late_labels_fit_those_of_the_first_example(tmp_path: Path) -> None:
    first, late = (yaml.safe_load(block) for block in blocks("yaml")[:2])
    del first["events"]["label"]
    (tmp_path / "late.yaml").write_text(yaml.safe_dump({**first, **late}))
    settings = load_settings(tmp_path / "late.yaml")
    assert settings.labels.topic == "verdicts"
    on_timeout = {"on_timeout": {"assume": False}}
    (tmp_path / "late.yaml").write_text(
        yaml.safe_dump({**first, "labels": {**late["labels"], **on_timeout}})
    )
    load_settings(tmp_path / "late.yaml")


def models_of_the_readme() -> list[dict[str, Any]]:
    return [document["model"] for document in yaml.safe_load_all(blocks("yaml")[2])]


@pytest.mark.parametrize("model", models_of_the_readme(), ids=str)
def test_each_kind_of_model_predicts_as_it_stands_there(
    model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = DummyClassifier().fit([[1, 2, 3], [3, 2, 1]], [False, True])
    joblib.dump(fitted, tmp_path / "model.joblib")
    (tmp_path / "weights.pickle").write_bytes(pickle.dumps(linear_model.LogisticRegression()))
    source = "from river.linear_model import LogisticRegression as model"
    (tmp_path / "your_models.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    for file in (each for each in (model.get("sklearn"), model.get("weights")) if each):
        file["sha256"] = hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest()
    settings = yaml.safe_load(blocks("yaml")[0])
    if "anomaly" in str(model) or "sklearn" in model:
        del settings["events"]["label"]
        settings["labels"] = {"from": "none"}
    (tmp_path / "app.yaml").write_text(yaml.safe_dump({**settings, "model": model}))
    app = Memory(tmp_path / "app.yaml")
    label = 1.5 if "LinearRegression" in str(model) else True
    event = {"payment_id": 1, "amount": 1.0, "age": 30, "country": {"risk": 0.5}, "is_fraud": label}
    answer = app.predict(event)
    assert answer["features"] == {"amount": 1.0, "age": 30, "country.risk": 0.5}
    assert {"prediction", "score"} & answer.keys()
    assert app.learned == ("sklearn" not in model)


def test_the_models_of_the_table_are_all_shown() -> None:
    table = re.findall(r"^\| `(\w+):", README, re.MULTILINE)
    shown = {name for model in models_of_the_readme() for name in model}
    assert table
    assert shown == {*table, "weights"}


def test_the_page_on_settings_names_every_setting_with_its_default(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shown = yaml.safe_load(text)
    # What cannot stand beside the rest: `missing` is for labels inside events.
    del shown["labels"]["missing"]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(shown))
    settings = load_settings(tmp_path / "all.yaml")
    sections = {name: getattr(settings, name) for name in type(settings).model_fields}
    assert set(yaml.safe_load(text)) == set(sections)
    example_only = {
        "topic",
        "id",
        "features",
        "timestamp",
        "bounds",
        "source",
        "wait",
        "values",
        "river",
    }
    for name, section in sections.items():
        fields = getattr(type(section), "model_fields", None)
        if fields is None:
            continue
        keys = {field.alias or key: field for key, field in fields.items()}
        assert set(yaml.safe_load(text)[name]) == set(keys), name
        for key, field in fields.items():
            if key not in example_only:
                assert getattr(section, key) == field.default, f"{name}.{key}"


def test_an_app_in_memory_is_ten_lines_and_predicts(
    millstream: Millstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "millstream.yaml").write_text(blocks("yaml")[0])
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    assert len(example.strip().splitlines()) <= 10
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - it is our own
    rows = [record.value for record in names["app"].worker.logs.records("payments", 0)]
    (tmp_path / "payments.jsonl").write_bytes(b"\n".join(rows))
    (command,) = lines_with("millstream evaluate")
    result = millstream(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.err
    assert "predicted  102, learned 102" in result.out
    assert "dead letters" not in result.out


def test_reasons_in_the_readme_are_reasons() -> None:
    for reason in re.findall(r"a dead letter \(`(\w+)`\)", README):
        assert reason in REASONS


class ReadmeApp:
    """The README's first app in a folder of its own, on the tests' Kafka."""

    def __init__(self, kafka: Kafka, folder: Path, millstream: Millstream) -> None:
        self.name = kafka.unique("fraud")
        self.events = f"{self.name}-in"
        self.folder = folder
        self.create, self.check, self.work = lines(blocks("sh")[1])
        self._kafka = kafka
        self._millstream = millstream
        text = blocks("yaml")[0].replace("localhost:9092", kafka.bootstrap)
        text = text.replace("app: fraud", f"app: {self.name}")
        text = text.replace("topic: payments", f"topic: {self.events}")
        (folder / "millstream.yaml").write_text(text + "http: { port: 0 }\n")

    def run(self, command: str) -> str:
        """Run a line of the README in this process; it has to succeed."""
        program, *arguments = shlex.split(command)
        assert program == "millstream"
        with contextlib.chdir(self.folder):
            result = self._millstream(*arguments)
        assert result.exit_code == 0, f"{command}: {result.out}{result.err}"
        return result.out

    def topic(self, role: str) -> list[Message]:
        """All messages of one of its topics."""
        return self._kafka.read(f"{self.name}.{role}")

    @contextlib.contextmanager
    def working(self, command: str | None = None) -> Iterator[None]:
        """Run the worker, as the README does."""
        worker = shell(command or self.work, self.folder)
        try:
            yield
        finally:
            os.killpg(worker.pid, signal.SIGTERM)
            worker.communicate(timeout=30)


@pytest.fixture
def app(kafka: Kafka, tmp_path: Path, millstream: Millstream) -> ReadmeApp:
    return ReadmeApp(kafka, tmp_path, millstream)


@pytest.fixture
def app_of_two(kafka: Kafka, app: ReadmeApp) -> ReadmeApp:
    """An app that has learned two events, and whose worker is gone."""
    app.run(app.create)
    event = b'{"payment_id": 1, "amount": 12.5, "age": 31, "is_fraud": false}'
    kafka.produce(app.events, [("1", event, None, None, 0)] * 2)
    with app.working():
        wait_until(lambda: len(app.topic("predictions")) == 2, 60, "predictions come")
    return app


@pytest.mark.kafka
def test_your_own_model_on_your_own_topic(app: ReadmeApp) -> None:
    assert len(blocks("yaml")[0].strip().splitlines()) <= 10
    send, tail = blocks("sh")[2].rsplit("\nmillstream tail", 1)
    # In a shell, as a reader would: the other tests call the same commands within this process.
    assert f"{app.name}.predictions" in run(app.create, app.folder)
    run(app.check, app.folder)
    with app.working():
        run(send, app.folder)
        wait_until(lambda: len(app.topic("predictions")) == 1, 60, "a prediction comes")
        assert "1" in run(f"millstream tail{tail}", app.folder)
    (message,) = app.topic("predictions")
    shown = orjson.loads(blocks("json")[0])
    validate("prediction", shown)
    assert list(message.json) == list(shown)
    assert message.json["features"] == shown["features"]
    assert message.json["probabilities"] == shown["probabilities"]


@pytest.mark.kafka
def test_labels_are_sent_alone_and_after_their_events(kafka: Kafka, app: ReadmeApp) -> None:
    first = yaml.safe_load((app.folder / "millstream.yaml").read_text())
    del first["events"]["label"]
    late = yaml.safe_load(blocks("yaml")[1])
    late["labels"]["topic"] = verdicts = f"{app.name}-verdicts"
    (app.folder / "millstream.yaml").write_text(yaml.safe_dump({**first, **late}))
    shown = orjson.loads(re.findall(r"topic: verdicts +# (\{.*?\})", README)[0])
    rows = [{"payment_id": n, "amount": 1.5, "age": 31, "label": n > 30} for n in range(60)]
    (app.folder / "payments.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    send, alone = lines_with("--labels-after")
    (app.folder / "verdicts.csv").write_text("payment_id,label\n7,true\n")
    app.run(app.create)
    assert f"sent 1 labels to {verdicts}" in app.run(alone)
    assert f"sent 60 events to {app.events} and 60 labels to {verdicts}" in app.run(send)
    labels = [message.json for message in kafka.read(verdicts)]
    assert all(list(label) == list(shown) for label in labels)


@pytest.mark.kafka
def test_dead_letters_are_listed_shown_and_replayed(kafka: Kafka, app: ReadmeApp) -> None:
    names, show, dry_run, replay = lines_with("dead-letters")
    (several,) = lines_with("--workers")
    app.run(app.create)
    kafka.produce(app.events, [("1", b'{"payment_id": 1, "amount": 12.5}', None, None, 0)])
    with app.working(several):
        wait_until(lambda: len(app.topic("dead-letters")) == 1, 60, "a dead letter comes")
        assert REASONS["label_missing"][1] in app.run(names)
        assert '"amount": 12.5' in app.run(show)
        assert "1 message would be replayed" in app.run(dry_run)
        assert "replayed 1 message" in app.run(replay)
        assert len(kafka.read(app.events)) == 2


@pytest.mark.kafka
def test_a_model_is_made_anew_from_the_log(app_of_two: ReadmeApp) -> None:
    learned = []
    for line in lines_with("millstream rebuild"):
        said = app_of_two.run(line)
        learned += re.findall(r"partition 0: version \S+ learned (\d+) examples", said)
    assert learned == ["2", "0", "1"]


@pytest.mark.kafka
def test_an_app_is_looked_into(app_of_two: ReadmeApp) -> None:
    state, names, verify, one, offset_range = lines_with("millstream audit")
    assert "digest" in app_of_two.run(state)
    assert "topic" in app_of_two.run(names)
    assert app_of_two.run(verify).endswith("1 snapshot, 0 bad\n")
    assert app_of_two.run(one).endswith("1 prediction: 1 identical\n")
    assert app_of_two.run(offset_range).endswith("2 predictions: 2 identical\n")
