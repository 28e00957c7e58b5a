"""What is shipped to start from (image, compose file, examples) fits the program."""

import re
import shlex
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from river import datasets
from typer.main import get_command

from millstream.cli import app
from millstream.settings import HttpSettings, Settings, load_settings

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*/millstream.yaml"))
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "millstream"}


def instructions(name: str) -> list[str]:
    """Arguments of every instruction of that name in the Dockerfile, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", joined, flags=re.MULTILINE)


def image_environment() -> dict[str, str]:
    pairs = [pair for line in instructions("ENV") for pair in shlex.split(line)]
    return dict(pair.split("=", 1) for pair in pairs)


def assert_the_program_takes(arguments: list[str]) -> None:
    """Parse a command line of ours without running it: unknown commands and options fail."""
    command: Any = get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"{command.name} needs one of {sorted(command.commands)}"
        assert rest[0] in command.commands, f"there is no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(command.name, rest)


def inside(service: dict[str, Any]) -> dict[str, Path]:
    """Path in the container to the file of this repository that is mounted there."""
    mounts = (volume.split(":") for volume in service.get("volumes", ()))
    return {mount[1]: ROOT / mount[0] for mount in mounts if mount[0].startswith("./")}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_settings_of_an_example_load(example: Path) -> None:
    assert isinstance(load_settings(example), Settings)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_features_are_the_data_sets(example: Path) -> None:
    features, _ = next(iter(datasets.Phishing()))
    assert load_settings(example).events.features == tuple(features)


def test_the_late_example_joins_labels_from_a_topic() -> None:
    labels = load_settings(ROOT / "examples" / "phishing-late" / "millstream.yaml").labels
    assert (labels.source, labels.wait) == ("topic", 7 * 86_400_000)
    assert (
        load_settings(ROOT / "examples" / "phishing" / "millstream.yaml").labels.source == "event"
    )


def test_two_examples_share_no_topic_and_no_app() -> None:
    settings = [load_settings(path) for path in EXAMPLES]
    assert len({one.app for one in settings}) == len(settings)
    assert len({one.events.topic for one in settings}) == len(settings)


def test_the_image_runs_a_command_of_the_program_in_exec_form_as_an_ordinary_user() -> None:
    entrypoint, command = (orjson.loads(instructions(n)[-1]) for n in ("ENTRYPOINT", "CMD"))
    assert entrypoint == ["millstream"]
    assert_the_program_takes(command)
    assert instructions("USER")[-1] not in {"root", "0"}


def test_the_images_health_check_and_port_are_the_programs() -> None:
    port = HttpSettings().port
    assert instructions("EXPOSE") == [str(port)]
    assert f"http://127.0.0.1:{port}/livez" in instructions("HEALTHCHECK")[0]


def test_the_image_copies_what_is_there_and_what_the_build_reads() -> None:
    copied = {
        name
        for line in instructions("COPY")
        if not line.startswith("--")
        for name in line.split()[:-1]
    }
    assert {"pyproject.toml", "README.md", "LICENSE", "workers"} == copied
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in let_in


def test_every_service_of_ours_runs_a_command_of_the_program_on_mounted_settings() -> None:
    assert set(OURS) == {"topics", "worker"}
    for service in OURS.values():
        assert_the_program_takes(service["command"])
        mounted = inside(service)
        settings = [word for word in service["command"] if word.endswith(".yaml")]
        assert [mounted[name].is_file() for name in settings] == [True]


def test_the_services_settings_load_and_lead_to_the_kafka_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for service in OURS.values():
        for name, value in {**image_environment(), **service["environment"]}.items():
            if name.startswith("MILLSTREAM_"):
                monkeypatch.setenv(name, str(value))
        for path in inside(service).values():
            settings = load_settings(path)
            assert settings.http.host == image_environment()["MILLSTREAM_HTTP__HOST"]
            listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
            assert f"INTERNAL://{settings.kafka['bootstrap.servers']}" in listeners.split(",")


def test_the_examples_reach_the_composed_kafka_from_outside() -> None:
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert SERVICES["kafka"]["ports"] == ["127.0.0.1:9092:9092"]
    for path in EXAMPLES:
        assert f"EXTERNAL://{load_settings(path).kafka['bootstrap.servers']}" in listeners


def test_the_worker_starts_when_kafka_is_healthy_and_the_topics_are_there() -> None:
    assert "healthcheck" in SERVICES["kafka"]
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["worker"]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "topics": {"condition": "service_completed_successfully"},
    }


def test_every_listener_of_the_composed_kafka_has_a_protocol() -> None:
    env = SERVICES["kafka"]["environment"]
    listeners = {one.split(":")[0] for one in env["KAFKA_LISTENERS"].split(",")}
    mapped = {one.split(":")[0] for one in env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = {one.split(":")[0] for one in env["KAFKA_ADVERTISED_LISTENERS"].split(",")}
    assert listeners == mapped
    assert advertised == listeners - {env["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert env["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised


def test_the_compose_file_names_only_volumes_and_build_files_that_exist() -> None:
    for service in SERVICES.values():
        named = [v.split(":")[0] for v in service.get("volumes", ()) if not v.startswith("./")]
        assert set(named) <= set(COMPOSE["volumes"])
        for path in inside(service).values():
            assert path.is_file()
        if build := service.get("build"):
            assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_the_commands_in_the_compose_files_comment_are_the_programs() -> None:
    comment = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    commands = re.findall(r"^# +millstream (.*)$", comment, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert_the_program_takes(shlex.split(command))
