"""The compose file fits the program, the image and the files that it mounts."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from millstream.config.sections import HttpSettings
from millstream.config.settings import load_settings
from tests.deploy.files import (
    COMPOSE,
    DEPLOY,
    EXAMPLES,
    OURS,
    ROOT,
    SERVICES,
    assert_the_program_takes,
    image_environment,
    inside,
)
from tests.support.kafka.fixture import SCRIPT

FILE = ROOT / "docker-compose.yml"


def compose_says(file: Path) -> subprocess.CompletedProcess[str]:
    """What docker-compose 1.29 (a Debian package) says of a file; it refuses unknown keys."""
    if shutil.which("docker-compose") is None:
        pytest.skip("needs docker-compose, of the Debian package of that name")
    return subprocess.run(
        ["docker-compose", "--project-directory", str(ROOT), "-f", str(file), "config", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_compose_takes_the_file() -> None:
    said = compose_says(FILE)
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("key", ["read_only", "interval"])
def test_compose_would_refuse_a_misspelt_key(key: str, tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert f"{key}:" in text
    (tmp_path / "compose.yml").write_text(text.replace(f"{key}:", f"{key}x:"), encoding="utf-8")
    assert compose_says(tmp_path / "compose.yml").returncode != 0


def test_every_service_of_ours_runs_a_command_of_the_program_on_mounted_settings() -> None:
    assert set(OURS) == {"topics", "worker", "producer"}
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


def test_each_service_waits_for_what_it_needs() -> None:
    waits = {
        name: {other: each["condition"] for other, each in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert waits == {
        "kafka": {},
        "topics": {"kafka": "service_healthy"},
        "worker": {"kafka": "service_healthy", "topics": "service_completed_successfully"},
        "producer": {"kafka": "service_healthy", "worker": "service_healthy"},
        "prometheus": {"worker": "service_healthy"},
        "grafana": {"prometheus": "service_healthy"},
    }


def test_who_is_waited_for_in_health_has_a_health_check() -> None:
    for service in SERVICES.values():
        for name, each in service.get("depends_on", {}).items():
            if each["condition"] == "service_healthy":
                # The worker's comes with the image.
                assert name == "worker" or "test" in SERVICES[name]["healthcheck"]


def test_only_this_machine_reaches_the_ports() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_every_image_has_a_version_and_kafkas_is_that_of_the_tests() -> None:
    (version,) = re.findall(r"^DEFAULT_VERSION=(.*)$", SCRIPT.read_text(), re.MULTILINE)
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])


def test_the_worker_needs_no_more_rights_than_in_kubernetes() -> None:
    for name in ("worker", "producer"):
        assert SERVICES[name]["read_only"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_prometheus_scrapes_the_worker_beside_it() -> None:
    (folder,) = inside(SERVICES["prometheus"]).values()
    config = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert targets["millstream"] == [f"worker:{HttpSettings().port}"]
    assert "worker" in SERVICES
    assert config["rule_files"] == ["rules/*.yml"]


def test_promtool_takes_prometheus_configuration() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool, of the Debian package prometheus")
    said = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr


def test_grafana_is_given_its_data_source_and_the_folder_of_the_dashboards() -> None:
    mounted = inside(SERVICES["grafana"])
    provisioning = mounted["/etc/grafana/provisioning"]

    def provisioned(kind: str) -> dict[str, Any]:
        (file,) = (provisioning / kind).iterdir()
        document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        return document

    (source,) = provisioned("datasources")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["uid"] == "prometheus"
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["options"]["path"] in mounted


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
            assert path.exists()
        if build := service.get("build"):
            assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_the_commands_in_the_compose_files_comment_are_the_programs() -> None:
    comment = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    commands = re.findall(r"^# +millstream (.*)$", comment, flags=re.MULTILINE)
    assert commands
    for command in commands:
        assert_the_program_takes(shlex.split(command))
