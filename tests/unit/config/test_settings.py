"""Settings come from a file, the environment over it, and files that either names."""

import os
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
import yaml

from millstream.config.settings import Settings, load_settings, make_settings
from millstream.core.records.outputs import settings_note
from millstream.core.spec import (
    AllBut,
    Assume,
    EventsSpec,
    LabelsSpec,
    ModelSpec,
    deciding,
    parse_duration,
)
from millstream.errors import SettingsError
from tests.support.wrong_settings import GOOD, LATE, changed, events, late

SECRET = "canary-5e1f"


def load(folder: Path, text: str = GOOD) -> Settings:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


@pytest.mark.parametrize(
    ("variable", "value", "path", "wanted"),
    [
        ("MILLSTREAM_APP", "other", "app", "other"),
        ("millstream_app", "other", "app", "other"),
        ("MILLSTREAM_INSTANCE", "pod-1", "instance", "pod-1"),
        ("MILLSTREAM_EVENTS__TOPIC", "pages", "events.topic", "pages"),
        ("MILLSTREAM_EVENTS__FEATURES", '["b", "a"]', "events.features", ("b", "a")),
        ("MILLSTREAM_EVENTS__FEATURES", "all", "events.features", "all"),
        ("MILLSTREAM_EVENTS__MISSING", "dead_letter", "events.missing", "dead_letter"),
        ("MILLSTREAM_BATCH__MAX_AGE", "250ms", "batch.max_age", 250),
        ("MILLSTREAM_BATCH__MAX_RECORDS", "10", "batch.max_records", 10),
        ("MILLSTREAM_HTTP__PORT", "9000", "http.port", 9000),
        ("MILLSTREAM_HTTP__ENABLED", "false", "http.enabled", False),
        ("MILLSTREAM_DEAD_LETTERS__STOP_RATIO", "0.25", "dead_letters.stop_ratio", 0.25),
        ("MILLSTREAM_LABELS__MISSING", "predict", "labels.missing", "predict"),
        ("MILLSTREAM_MODEL__NAME", "champion", "model.name", "champion"),
        ("MILLSTREAM_MODEL__CLASSES", "[true, false]", "model.classes", (True, False)),
        ("MILLSTREAM_TOPICS__DEAD_LETTERS", "morgue", "topics.dead_letters", "morgue"),
    ],
)  # fmt: skip
def test_the_environment_wins_over_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    path: str,
    wanted: object,
) -> None:
    monkeypatch.setenv(variable, value)
    found: Any = load(tmp_path)
    for step in path.split("."):
        found = getattr(found, step)
    assert found == wanted
    assert type(found) is type(wanted)


def test_what_the_environment_does_not_name_stays_as_the_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_EVENTS__TOPIC", "pages")
    assert load(tmp_path).events == load(tmp_path).events.model_copy(update={"topic": "pages"})
    assert load(tmp_path).events.features == ("a", "b")


def test_settings_are_made_without_a_look_at_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else making some in a thread fails while another, as pytest itself does, changes it."""

    def read(*_: object) -> NoReturn:
        raise AssertionError("it was read")

    kinds = ("__getitem__", "__iter__", "get", "items", "keys", "values")
    unreadable = type("Unreadable", (dict,), dict.fromkeys(kinds, read))
    document = yaml.safe_load(GOOD)
    monkeypatch.setattr(os, "environ", unreadable(MILLSTREAM_APP="another"))
    assert make_settings(document).app == document["app"]
    with pytest.raises(AssertionError, match="it was read"):
        list(os.environ)


def test_underscores_in_properties_of_kafka_stand_for_dots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("MILLSTREAM_KAFKA__SASL_PASSWORD", SECRET)
    kafka = load(tmp_path).kafka
    assert kafka == {"bootstrap.servers": "kafka:9092", "sasl.password": SECRET}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_can_come_from_a_file_that_either_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (tmp_path / "secret").write_bytes(f"{SECRET} ".encode() + end.encode())
    text = changed(kafka={"bootstrap.servers": "k:1", "ssl.key.password": {"file": "secret"}})
    monkeypatch.setenv("MILLSTREAM_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "secret"))
    kafka = load(tmp_path, text).kafka
    assert kafka["ssl.key.password"] == kafka["sasl.password"] == f"{SECRET} "


def test_a_secret_from_the_environment_replaces_the_file_that_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed(kafka={"bootstrap.servers": "k:1", "sasl.password": {"file": "not-there"}})
    monkeypatch.setenv("MILLSTREAM_KAFKA__SASL_PASSWORD", SECRET)
    assert load(tmp_path, text).kafka["sasl.password"] == SECRET


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MILLSTREAM_KAFFKA__X", "1", "did you mean MILLSTREAM_KAFKA?"),
        ("MILLSTREAM_NOTHING_LIKE_IT_AT_ALL", "1", "there are: MILLSTREAM_APP, "),
        ("MILLSTREAM_EVENTS__TOPIK", "1", "unknown key events.topik: did you mean topic?"),
        ("MILLSTREAM_KAFKA__GROUP_ID", "1", "kafka.group.id belongs to"),
        ("MILLSTREAM_EVENTS", "{", "write lists and objects as JSON"),
        ("MILLSTREAM_EVENTS", "[" * 100_000, "MILLSTREAM_EVENTS: a variable of this section"),
        ("MILLSTREAM_MODEL__CLASSES", "[" * 100_000, "model.classes is wrong: it has to be a list"),
        ("MILLSTREAM_LABELS__VALUES__X", "null", "labels.values.x is not what it may be"),
        ("MILLSTREAM_KAFKA__SASL_PASSWORD_FILE", "none", "kafka.sasl.password"),
        ("MILLSTREAM_HTTP__PORT", "many", "http.port is wrong: it has to be a whole number"),
    ],
)
def test_a_wrong_variable_is_a_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_are_relative_to_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path)
    text = changed(model={"sklearn": {"path": "m.joblib", "sha256": "0" * 64}})
    (tmp_path / "app" / "settings.yaml").write_text(text, encoding="utf-8")
    model = load_settings(Path("app/settings.yaml")).model
    assert model.sklearn is not None
    assert model.sklearn.path == str(tmp_path / "app" / "m.joblib")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("false", False), ("0", 0), (" 7 ", 7), ("0.5", 0.5), ("1e3", 1000.0),
        ("no-show", "no-show"), ("'0'", "'0'"), ("[", "["), ("[" * 5_000, "[" * 5_000),
        # As in the file, which is read as YAML 1.2.
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("1_000", "1_000"), ("007", "007"),
        ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("<<", "<<"), ("=", "="),
    ],
)  # fmt: skip
def test_a_label_in_the_environment_is_what_it_would_be_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, label: object
) -> None:
    monkeypatch.setenv("MILLSTREAM_LABELS__ON_TIMEOUT__ASSUME", text)
    monkeypatch.setenv("MILLSTREAM_LABELS__VALUES__LATE", text)
    labels = load(tmp_path, late()).labels
    assert isinstance(labels.on_timeout, Assume)
    assert labels.on_timeout.assume == label
    assert type(labels.on_timeout.assume) is type(label)
    assert labels.values == {"late": label}


def test_text_in_json_is_text_in_the_environment_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_LABELS__VALUES", '{"low": "0", "high": 1}')
    monkeypatch.setenv("MILLSTREAM_LABELS__VALUES__OTHER", "2")
    values = load(tmp_path, late()).labels.values
    assert values == {"low": "0", "high": 1, "other": 2}


def test_a_full_path_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "elsewhere" / "m.pickle")
    text = changed(model={"river": "x", "weights": {"path": path, "sha256": "0" * 64}})
    weights = load(tmp_path, text).model.weights
    assert weights is not None
    assert weights.path == path


@pytest.mark.parametrize("schema", [{"type": "object", "required": ["a"]}, True])
def test_a_schema_is_taken_in_by_content(tmp_path: Path, schema: object) -> None:
    (tmp_path / "event.json").write_bytes(orjson.dumps(schema))
    assert load(tmp_path, events(schema="event.json")).events.json_schema == schema
    assert load(tmp_path, events(schema=schema)).events.json_schema == schema


def test_a_schema_that_is_no_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("{type: object}", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"events\.schema: .*event\.json is not JSON"):
        load(tmp_path, events(schema="event.json"))


def test_sections_can_share_what_yaml_merges(tmp_path: Path) -> None:
    text = GOOD + "http: &x {port: 1}\nlog: {level: debug}\n"
    assert load(tmp_path, text).http.port == 1
    text = GOOD.replace("events: {", "events: {<<: {topic: shared, timestamp: t}, ")
    assert load(tmp_path, text).events.timestamp == "t"
    assert load(tmp_path, text).events.topic == "sites"


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("250ms", 250), ("30s", 30_000), ("15m", 900_000), ("12h", 43_200_000),
        ("7d", 604_800_000), ("2w", 1_209_600_000), ("1h 30m", 5_400_000), ("1h30m", 5_400_000),
        (" 1.5 s ", 1_500), ("0.5d", 43_200_000), ("0s", 0), (1_234, 1_234),
    ],
)  # fmt: skip
def test_durations_are_whole_milliseconds(text: object, milliseconds: int) -> None:
    value = parse_duration(text)
    assert value == milliseconds
    assert type(value) is int


@pytest.mark.parametrize(
    "text", ["", " ", "7", "d", "7 days", "-7d", "7d!", "1h 30", "7D", "1e3s", "1,5s", ":"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem",
        "ssl.certificate.pem", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
    ],
)  # fmt: skip
def test_a_secret_is_in_no_representation(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, changed(kafka={"bootstrap.servers": "kafka:9", name: SECRET}))
    assert settings.kafka[name] == SECRET
    for text in (repr(settings), str(settings), f"{settings}", repr([settings])):
        assert SECRET not in text
        assert "kafka:9" in text


def test_a_secret_is_not_in_the_sentence_about_it(tmp_path: Path) -> None:
    text = changed(kafka={"bootstrap.servers": "k:1", "sasl.password": [SECRET]}, app="my app")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert "kafka.sasl.password" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None  # pydantic's own words hold the values


def test_topics_are_named_by_the_app_unless_renamed(tmp_path: Path) -> None:
    settings = load(tmp_path, changed(topics={"examples": "lessons"}))
    assert settings.topic("predictions") == "fraud.predictions"
    assert settings.topic("examples") == "lessons"
    assert settings.topic("models") == "fraud.models"
    assert settings.topic("dead_letters") == "fraud.dead-letters"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).events.topic = "other"


NOTED = {
    "inline": GOOD,
    "labels from a topic": late(
        id="meta.id", label="verdict", timestamp="at", timestamp_unit="s", max_idle="2s"
    ),
    "an assumed boolean": late(on_timeout={"assume": False}, learn_from="transformed"),
    "an assumed 0": late(on_timeout={"assume": 0}),
    "an assumed 0.0": late(on_timeout={"assume": 0.0}),
    "an assumed text": late(on_timeout={"assume": "false"}),
    "an assumed large number": late(on_timeout={"assume": 2**64 - 1}),
    "no labels": changed(
        events={"topic": "sites", "features": "all"}, labels={"from": "none"},
        model={"river": "cluster.KMeans(seed=1)"},
    ),
    "a schema": events(schema={"type": "object", "properties": {"a": {"const": None}}}),
    "a schema that is a boolean": events(schema=True),
    "all but": events(features={"all_but": ["c", "d.e"]}, missing="allow", unknown="dead_letter"),
    "bounds": events(bounds={"b": [None, 1], "a": [-0.5, None]}),
    "values and classes": changed(
        labels={"from": "event", "values": {"yes": True, "1": 1, "x": "2", "y": 1.0}},
        model={"river": "x", "classes": [True, 1, "2", "é"], "learn": False, "name": "m"},
    ),
    "a file": changed(
        model={"sklearn": {"path": "m.joblib", "sha256": "0" * 64}, "classes": [0, 1]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", NOTED.values(), ids=NOTED)
def test_settings_that_decide_come_back_from_the_models_topic_as_they_were(
    tmp_path: Path, text: str
) -> None:
    settings = load(tmp_path, text)
    note = settings_note(3, 70, "v", deciding(settings.events, settings.labels, settings.model))
    back = orjson.loads(note.value or b"")["settings"]
    for spec, name in ((EventsSpec, "events"), (LabelsSpec, "labels"), (ModelSpec, "model")):
        before, after = getattr(settings, name), spec.model_validate(back[name])
        assert after == before
        assert repr(after) == repr(before)  # 1, 1.0 and True are equal, but not the same
    assert orjson.dumps(deciding(settings.events, settings.labels, settings.model)) == orjson.dumps(
        back
    )


def test_the_choices_of_a_note_are_what_they_are_called(tmp_path: Path) -> None:
    assert load(tmp_path, NOTED["all but"]).events.features == AllBut(all_but=("c", "d.e"))
    assumed = load(tmp_path, NOTED["an assumed boolean"]).labels.on_timeout
    assert isinstance(assumed, Assume)
    assert assumed.assume is False


def test_the_readme_way_of_writing_all_of_it_is_yaml(tmp_path: Path) -> None:
    assert yaml.safe_load(late()) == {**yaml.safe_load(GOOD), **LATE}
    assert load(tmp_path, late()).labels.wait == 604_800_000
