"""What a user would not expect, and would not notice: values that mean something else."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from millstream.config.settings import Settings, load_settings
from millstream.errors import SettingsError
from tests.support.wrong_settings import GOOD, LATE, changed


def load(folder: Path, text: str) -> Settings:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


@pytest.mark.parametrize(
    "password", ["0123", "123", "1_000", "1.0e+5", "1e5", "1:30", "yes", "2026-01-01", "0x1f", "=1"]
)
def test_a_password_without_quotes_is_what_stands_there(tmp_path: Path, password: str) -> None:
    text = GOOD.replace("{bootstrap.servers", f"{{sasl.password: {password}, bootstrap.servers")
    assert load(tmp_path, text).kafka["sasl.password"] == password


def test_true_and_numbers_are_booleans_and_numbers_elsewhere(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD + "predictions: {features: false}\nbatch: {max_records: 10}\n")
    assert settings.predictions.features is False
    assert settings.batch.max_records == 10


@pytest.mark.parametrize(
    ("written", "classes"),
    [
        ("[yes, no]", ("yes", "no")),
        ("[on, off, y, n]", ("on", "off", "y", "n")),
        ("[true, False]", (True, False)),
        ("[0, 1, -1]", (0, 1, -1)),
        ("[007, 1:30]", ("007", "1:30")),
        ("[2026-01-01, 1_000]", ("2026-01-01", "1_000")),
        ("['1', 2]", ("1", 2)),
    ],
)
def test_classes_without_quotes_are_what_stands_there(
    tmp_path: Path, written: str, classes: tuple[Any, ...]
) -> None:
    text = GOOD.replace("LogisticRegression()", f"LogisticRegression(), classes: {written}")
    found = load(tmp_path, text).model.classes
    assert found == classes
    assert [type(each) for each in found or ()] == [type(each) for each in classes]


def test_yes_and_no_are_labels_that_can_be_mapped(tmp_path: Path) -> None:
    text = GOOD.replace("from: event", "from: event, values: {yes: true, no: false}")
    assert load(tmp_path, text).labels.values == {"yes": True, "no": False}


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = {
        "SERVICE_HOST": "192.0.2.1",
        "SERVICE_PORT": "9464",
        "SERVICE_PORT_METRICS": "9464",
        "PORT": "tcp://192.0.2.1:9464",
        "PORT_9464_TCP": "tcp://192.0.2.1:9464",
        "PORT_9464_TCP_ADDR": "192.0.2.1",
    }
    for name, value in links.items():
        monkeypatch.setenv(f"MILLSTREAM_{name}", value)
    assert load(tmp_path, GOOD).app == "fraud"
    monkeypatch.setenv("MILLSTREAM_PORTS", "1")
    with pytest.raises(SettingsError, match="MILLSTREAM_PORTS"):
        load(tmp_path, GOOD)


def kafka_with(name: str, value: object) -> str:
    return changed(kafka={"bootstrap.servers": "127.0.0.1:1", name: value})


def late_with(**sections: Any) -> str:
    return changed(**{**LATE, **sections})


TIMED = {"topic": "sites", "id": "id", "features": ["a", "at"], "timestamp": "at", "label": "y"}
SKLEARN = {"sklearn": {"path": "model.joblib", "sha256": "a" * 64}}


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        (kafka_with("session.timeout.ms", "6s"), "kafka.session.timeout.ms is no whole number"),
        (kafka_with("message.max.bytes", 1.5), "kafka.message.max.bytes is no whole number"),
        (kafka_with("error_cb", "print"), "kafka.error_cb is a function or object of Python"),
        (changed(events=TIMED), "events.timestamp is at, which events.features lists as well"),
        (
            late_with(labels={**LATE["labels"], "missing": "predict"}),
            "labels.missing only means something with labels.from: event",
        ),
        (
            changed(
                events={"topic": "sites", "features": ["a"], "label": "y", "missing": "allow"},
                model=SKLEARN,
            ),
            "events.missing cannot be allow with model.sklearn",
        ),
    ],
)
def test_what_would_fail_later_is_told_now(tmp_path: Path, text: str, setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert setting in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_made_without_a_file_hide_their_secrets_as_well() -> None:
    given: dict[str, Any] = {
        "app": "fraud",
        "kafka": {"bootstrap.servers": "127.0.0.1:1", "sasl.password": "hunter2"},
        "events": {"topic": "sites"},
        "model": {"river": "x"},
    }
    settings = Settings(**given)
    assert settings.kafka["sasl.password"] == "hunter2"
    dumped = (settings.model_dump(), settings.model_dump_json(), settings)
    assert "hunter2" not in " ".join(map(repr, dumped))
    with pytest.raises(ValidationError) as caught:
        Settings(**given | {"labels": {"from": "event"}})
    assert "hunter2" not in str(caught.value)
