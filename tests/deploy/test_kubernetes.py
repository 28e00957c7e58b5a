"""Manifests and program know each other: every flag, variable, port, path and name is there."""

import http.client
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import rules
from millstream.config.sections import HttpSettings
from millstream.config.settings import Settings, load_settings
from millstream.delivery.transactional_id import TransactionalIdLease
from millstream.kafka.client_config import session_timeout_ms
from millstream.kafka.producer import FLUSH_SECONDS
from millstream.observability.health import Health
from millstream.observability.http_server import HealthServer
from millstream.observability.metrics import Metrics
from millstream.state.snapshot_scheduler import RELEASE_SECONDS
from tests.deploy.files import ROOT, assert_the_program_takes, image_environment, instructions
from tests.deploy.manifests import BUILDS, KUBERNETES, OLDEST, Document, build, one, problems
from tests.support.monitoring import exported, used

PRODUCTION = "overlays/production"
SECRETS = "/run/secrets/millstream"


def workloads(documents: list[Document]) -> Iterator[Document]:
    """The specification of each pod, the workers' first."""
    for kind in ("StatefulSet", "Job"):
        yield from (d["spec"]["template"]["spec"] for d in documents if d["kind"] == kind)


def worker(documents: list[Document]) -> Document:
    """The worker's container."""
    (container,) = next(workloads(documents))["containers"]
    return dict(container)


def settings_of(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the worker reads in a pod: the mounted file, under the image's and the pod's variables.

    Secrets are files with made-up contents; a variable that no setting has raises.
    """
    documents = build(folder)
    (text,) = one(documents, "ConfigMap")["data"].values()
    (tmp_path / "millstream.yaml").write_text(text, encoding="utf-8")
    for name, value in image_environment().items():
        if name.startswith("MILLSTREAM_"):
            monkeypatch.setenv(name, value)
    for variable in worker(documents)["env"]:
        value = variable.get("value", "millstream-0")
        if value.startswith(f"{SECRETS}/"):
            value = str(tmp_path / Path(value).name)
            Path(value).write_text("0123456789abcdef", encoding="utf-8")
        monkeypatch.setenv(variable["name"], value)
    return load_settings(tmp_path / "millstream.yaml")


@pytest.mark.parametrize("folder", BUILDS)
def test_every_pod_runs_a_command_of_the_program_on_the_mounted_settings(folder: str) -> None:
    documents = build(folder)
    config = one(documents, "ConfigMap")
    for pod in workloads(documents):
        (container,) = pod["containers"]
        # The image has the entry point; `command` would replace it.
        assert "command" not in container
        assert_the_program_takes(container["args"])
        (path,) = (word for word in container["args"] if word.endswith(".yaml"))
        (mount,) = (m for m in container["volumeMounts"] if path.startswith(m["mountPath"] + "/"))
        (volume,) = (v for v in pod["volumes"] if v["name"] == mount["name"])
        assert volume["configMap"]["name"] == config["metadata"]["name"]
        assert Path(path).name in config["data"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


@pytest.mark.parametrize("folder", BUILDS)
def test_every_variable_is_a_setting(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(folder, tmp_path, monkeypatch)
    assert settings.log.format == "json"
    assert settings.http.host == "0.0.0.0"  # noqa: S104 - a pod's probes come from outside


def test_a_variable_that_is_no_setting_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_SNAPSHOT__KEY_FILE", "x")
    with pytest.raises(Exception, match="unknown variable MILLSTREAM_SNAPSHOT__KEY_FILE"):
        settings_of(PRODUCTION, tmp_path, monkeypatch)


def test_the_pods_ordinal_is_the_instance_and_so_the_transactional_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {v["name"]: v for v in worker(build("base"))["env"]}
    source = variables["MILLSTREAM_INSTANCE"]["valueFrom"]
    assert source == {"fieldRef": {"fieldPath": "metadata.name"}}
    settings = settings_of("base", tmp_path, monkeypatch)
    assert TransactionalIdLease(settings.app, settings.instance).name == "phishing-millstream-0"


def test_secrets_are_files_of_the_secret_that_the_comment_says_how_to_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comment = (KUBERNETES / "components/secrets/kustomization.yaml").read_text(encoding="utf-8")
    made = set(re.findall(r"--from-file=(\S+)", comment))
    (name,) = re.findall(r"create secret generic (\S+)", comment)
    documents = build(PRODUCTION)
    files = [v["value"] for v in worker(documents)["env"] if SECRETS in v.get("value", "")]
    assert {Path(file).name for file in files} == made
    (volume,) = (v for v in next(workloads(documents))["volumes"] if "secret" in v)
    assert volume["secret"]["secretName"] == name
    assert volume["secret"]["defaultMode"] == 0o440
    for each in one(documents, "TriggerAuthentication")["spec"]["secretTargetRef"]:
        assert each["name"] == name
        assert each["key"] in made
    settings = settings_of(PRODUCTION, tmp_path, monkeypatch)
    assert settings.kafka["sasl.password"] == "0123456789abcdef"
    assert settings.kafka["security.protocol"] == "SASL_SSL"
    assert settings.snapshots.key_bytes == b"0123456789abcdef"


def test_the_job_that_makes_topics_has_the_workers_secrets(tmp_path: Path) -> None:
    base, topics, secrets = (
        os.path.relpath(KUBERNETES / folder, tmp_path)
        for folder in ("base", "components/topics", "components/secrets")
    )
    overlay = {"resources": [base], "components": [topics, secrets]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    documents = build(str(tmp_path))
    assert [problems(document, OLDEST) for document in documents] == [[]] * len(documents)
    of_worker, of_job = workloads(documents)
    ours, theirs = (pod["containers"][0] for pod in (of_worker, of_job))
    connects = [each for each in ours["env"] if each["name"] != "MILLSTREAM_INSTANCE"]
    assert theirs["env"] == [each for each in connects if each["name"].startswith("MILLSTREAM_")]
    secret = [each for each in ours["volumeMounts"] if each["name"] == "secrets"]
    assert [each for each in theirs["volumeMounts"] if each["name"] == "secrets"] == secret != []
    volume = [each for each in of_worker["volumes"] if each["name"] == "secrets"]
    assert [each for each in of_job["volumes"] if each["name"] == "secrets"] == volume != []


@pytest.mark.parametrize("folder", BUILDS)
def test_ports_are_the_programs_and_the_images(folder: str) -> None:
    documents = build(folder)
    container = worker(documents)
    (port,) = container["ports"]
    assert port["containerPort"] == HttpSettings().port == int(instructions("EXPOSE")[0])
    (service,) = one(documents, "Service")["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
    if folder == PRODUCTION:
        (endpoint,) = one(documents, "ServiceMonitor")["spec"]["endpoints"]
        assert endpoint["port"] == service["name"]
        (ingress,) = one(documents, "NetworkPolicy")["spec"]["ingress"]
        assert [each["port"] for each in ingress["ports"]] == [port["containerPort"]]


def test_every_path_that_is_asked_is_served() -> None:
    documents = build(PRODUCTION)
    container = worker(documents)
    paths = {name: value["httpGet"]["path"] for name, value in container.items() if "Probe" in name}
    paths["scrape"] = one(documents, "ServiceMonitor")["spec"]["endpoints"][0]["path"]
    assert paths == {
        "startupProbe": "/readyz",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
        "scrape": "/metrics",
    }
    server = HealthServer(HttpSettings(port=0), Health(), Metrics().registry)
    host, _, port = server.start().rpartition(":")
    try:
        for path in paths.values():
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            connection.request("GET", path)
            assert connection.getresponse().status in {200, 503}
            connection.close()
    finally:
        server.stop()


def seconds(probe: dict[str, int]) -> int:
    """How long a probe may fail before something is done about it."""
    return probe["periodSeconds"] * probe["failureThreshold"]


def test_a_restore_and_an_outage_have_their_time_before_anything_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of("base", tmp_path, monkeypatch)
    startup = seconds(worker(build("base"))["startupProbe"])
    assert startup >= 3_600
    # The worker ends by itself then, with a sentence.
    assert startup > settings.recovery.max_outage / 1000


def test_the_grace_period_covers_batch_commit_and_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of("base", tmp_path, monkeypatch)
    transaction = session_timeout_ms(settings) / 1000
    needed = settings.batch.max_age / 1000 + transaction + RELEASE_SECONDS + FLUSH_SECONDS
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    grace = next(workloads(build("base")))["terminationGracePeriodSeconds"]
    assert grace >= 2 * needed
    assert int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s")) >= needed


def test_predictions_that_wait_on_disk_have_a_place() -> None:
    pod = next(workloads(build("base")))
    mounts = {m["name"]: m["mountPath"] for m in worker(build("base"))["volumeMounts"]}
    (place,) = (v["name"] for v in pod["volumes"] if "emptyDir" in v)
    # The system's temporary folder is where waiting.directory: null leads to.
    assert mounts[place] == "/tmp"  # noqa: S108 - of the pod
    (volume,) = (v for v in pod["volumes"] if "emptyDir" in v)
    assert "medium" not in volume["emptyDir"]


def scaled(settings: Settings, scaler: Document) -> dict[str, Any]:
    """Parameters of the scaler; those that name the app have to be the app's."""
    (trigger,) = scaler["spec"]["triggers"]
    parameters: dict[str, Any] = trigger["metadata"]
    assert parameters["bootstrapServers"] == settings.kafka["bootstrap.servers"]
    assert parameters["consumerGroup"] == settings.app
    assert parameters["topic"] == settings.events.topic
    return parameters


def test_workers_follow_the_lag_of_the_apps_own_group_and_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = build(PRODUCTION)
    settings = settings_of(PRODUCTION, tmp_path, monkeypatch)
    scaler = one(documents, "ScaledObject")
    parameters = scaled(settings, scaler)
    partitions = scaler["spec"]["maxReplicaCount"]
    text = (KUBERNETES / PRODUCTION / "kustomization.yaml").read_text(encoding="utf-8")
    assert f"topics create --partitions {partitions})" in text
    # Markers of transactions leave a lag of one in each partition.
    assert int(parameters["activationLagThreshold"]) > partitions
    assert int(parameters["lagThreshold"]) > partitions
    assert parameters["allowIdleConsumers"] == "false"
    target = scaler["spec"]["scaleTargetRef"]
    found = one(documents, "StatefulSet")
    assert (target["kind"], target["name"]) == (found["kind"], found["metadata"]["name"])
    # Else every `kubectl apply` would set the number back.
    assert "replicas" not in found["spec"]
    down = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 1_800
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]


def test_the_component_of_keda_fits_the_settings_of_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = KUBERNETES / "components" / "keda" / "scaledobject.yaml"
    scaler = yaml.safe_load(file.read_text(encoding="utf-8"))
    scaled(settings_of("base", tmp_path, monkeypatch), scaler)


def test_prometheus_has_the_same_rules_in_kubernetes_as_elsewhere() -> None:
    said = "deploy/prometheus/rules has changed: make rules"
    assert rules.RESOURCE.read_text(encoding="utf-8") == rules.resource(), said


def test_every_metric_that_a_rule_names_is_exported() -> None:
    groups = yaml.safe_load(rules.resource())["spec"]["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert used(rule["expr"]) <= exported(), rule
