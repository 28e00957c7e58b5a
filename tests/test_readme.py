"""What the README shows is run as it stands there."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml

from millstream.core.records import REASONS
from millstream.settings import load_settings
from tests.kafka.cluster import Kafka, wait_until
from tests.schemas.validators import validate

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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
    commands = [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert commands == ["make demo", "make test"]
    for command in commands:
        subprocess.run([*command.split(), "-n"], cwd=ROOT, check=True, capture_output=True)


def test_the_settings_of_late_labels_fit_those_of_the_first_example(tmp_path: Path) -> None:
    first, late = (yaml.safe_load(block) for block in blocks("yaml"))
    del first["events"]["label"]
    (tmp_path / "late.yaml").write_text(yaml.safe_dump({**first, **late}))
    settings = load_settings(tmp_path / "late.yaml")
    assert settings.labels.topic == "verdicts"
    on_timeout = {"on_timeout": {"assume": False}}
    (tmp_path / "late.yaml").write_text(
        yaml.safe_dump({**first, "labels": {**late["labels"], **on_timeout}})
    )
    load_settings(tmp_path / "late.yaml")


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


def test_reasons_in_the_readme_are_reasons() -> None:
    for reason in re.findall(r"a dead letter \(`(\w+)`\)", README):
        assert reason in REASONS


@pytest.mark.kafka
def test_your_own_model_on_your_own_topic(kafka: Kafka, tmp_path: Path) -> None:
    app = kafka.unique("fraud")
    text = blocks("yaml")[0].replace("localhost:9092", kafka.bootstrap)
    text = text.replace("app: fraud", f"app: {app}").replace("topic: payments", f"topic: {app}-in")
    assert len(blocks("yaml")[0].strip().splitlines()) <= 10
    (tmp_path / "millstream.yaml").write_text(text + "http: { port: 0 }\n")
    create, check, work = (
        line.split("#")[0].strip() for line in blocks("sh")[1].strip().splitlines()
    )
    send, tail = blocks("sh")[2].rsplit("\nmillstream tail", 1)
    assert f"{app}.predictions" in run(create, tmp_path)
    run(check, tmp_path)
    worker = shell(work, tmp_path)
    try:
        run(send, tmp_path)
        wait_until(lambda: len(kafka.read(f"{app}.predictions")) == 1, 60, "a prediction comes")
        assert "1" in run(f"millstream tail{tail}", tmp_path)
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.communicate(timeout=30)
    (message,) = kafka.read(f"{app}.predictions")
    shown = orjson.loads(blocks("json")[0])
    validate("prediction", shown)
    assert list(message.json) == list(shown)
    assert message.json["features"] == shown["features"]
    assert message.json["probabilities"] == shown["probabilities"]


@pytest.mark.kafka
def test_dead_letters_are_listed_shown_and_replayed(kafka: Kafka, tmp_path: Path) -> None:
    app = kafka.unique("fraud")
    text = blocks("yaml")[0].replace("localhost:9092", kafka.bootstrap)
    text = text.replace("app: fraud", f"app: {app}").replace("topic: payments", f"topic: {app}-in")
    (tmp_path / "millstream.yaml").write_text(text + "http: { port: 0 }\n")
    create = blocks("sh")[1].strip().splitlines()[0].split("#")[0]
    (work,) = (each.split("#")[0] for each in blocks("sh") if "--workers" in each)
    (block,) = (each for each in blocks("sh") if "dead-letters" in each)
    names, show, dry_run, replay = (line.split("#")[0] for line in block.strip().splitlines())
    run(create, tmp_path)
    kafka.produce(f"{app}-in", [("1", b'{"payment_id": 1, "amount": 12.5}', None, None, 0)])
    worker = shell(f"exec {work}", tmp_path)
    try:
        letters = f"{app}.dead-letters"
        wait_until(lambda: len(kafka.read(letters)) == 1, 60, "a dead letter comes")
        assert REASONS["label_missing"][1] in run(names, tmp_path)
        assert '"amount": 12.5' in run(show, tmp_path)
        assert "1 message would be replayed" in run(dry_run, tmp_path)
        assert "replayed 1 message" in run(replay, tmp_path)
        assert len(kafka.read(f"{app}-in")) == 2
    finally:
        os.kill(worker.pid, signal.SIGTERM)  # bash has become the supervisor, which ends the rest
        worker.communicate(timeout=30)


@pytest.mark.kafka
def test_a_model_is_made_anew_from_the_log(kafka: Kafka, tmp_path: Path) -> None:
    app = kafka.unique("fraud")
    text = blocks("yaml")[0].replace("localhost:9092", kafka.bootstrap)
    text = text.replace("app: fraud", f"app: {app}").replace("topic: payments", f"topic: {app}-in")
    (tmp_path / "millstream.yaml").write_text(text + "http: { port: 0 }\n")
    create, _, work = (line.split("#")[0] for line in blocks("sh")[1].strip().splitlines())
    (block,) = (each for each in blocks("sh") if "millstream rebuild" in each)
    run(create, tmp_path)
    event = b'{"payment_id": 1, "amount": 12.5, "age": 31, "is_fraud": false}'
    kafka.produce(f"{app}-in", [("1", event, None, None, 0)] * 2)
    worker = shell(work, tmp_path)
    try:
        wait_until(lambda: len(kafka.read(f"{app}.predictions")) == 2, 60, "predictions come")
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.communicate(timeout=30)
    learned = []
    for line in block.strip().splitlines():
        said = run(line.split("#")[0], tmp_path)
        learned += re.findall(r"partition 0: version \S+ learned (\d+) examples", said)
    assert learned == ["2", "0", "1"]


@pytest.mark.kafka
def test_an_app_is_looked_into(kafka: Kafka, tmp_path: Path) -> None:
    app = kafka.unique("fraud")
    text = blocks("yaml")[0].replace("localhost:9092", kafka.bootstrap)
    text = text.replace("app: fraud", f"app: {app}").replace("topic: payments", f"topic: {app}-in")
    (tmp_path / "millstream.yaml").write_text(text + "http: { port: 0 }\n")
    create, _, work = (line.split("#")[0] for line in blocks("sh")[1].strip().splitlines())
    (block,) = (each for each in blocks("sh") if "millstream audit" in each)
    state, names, verify, one, stretch = (line.split("#")[0] for line in block.strip().splitlines())
    run(create, tmp_path)
    event = b'{"payment_id": 1, "amount": 12.5, "age": 31, "is_fraud": false}'
    kafka.produce(f"{app}-in", [("1", event, None, None, 0)] * 2)
    worker = shell(work, tmp_path)
    try:
        wait_until(lambda: len(kafka.read(f"{app}.predictions")) == 2, 60, "predictions come")
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.communicate(timeout=30)
    assert "digest" in run(state, tmp_path)
    assert "topic" in run(names, tmp_path)
    assert run(verify, tmp_path).endswith("1 snapshot, 0 bad\n")
    assert run(one, tmp_path).endswith("1 prediction: 1 identical\n")
    assert run(stretch, tmp_path).endswith("2 predictions: 2 identical\n")
