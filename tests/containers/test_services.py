"""What compose and Kubernetes start, started: their commands, variables and files, in our image.

A compose that could start the whole file would have to pull images; so Kafka is the tests' own, of
the same version, and Prometheus is Debian's, with the same configuration.
"""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers.podman import IMAGE, Container, Podman
from tests.deploy.files import DEPLOY, SERVICES, inside
from tests.deploy.manifests import build, one
from tests.support.kafka.cluster import Kafka

PROMETHEUS = "http://127.0.0.1:19464"


def options(name: str, kafka: Kafka, app: str, port: int) -> list[str]:
    """Options of `podman run` for a service of ours, on the tests' Kafka, under a name of its own.

    `host` for the network: the broker of the tests is reached over loopback alone.
    """
    service = SERVICES[name]
    assert set(service["environment"]) == {"MILLSTREAM_KAFKA__BOOTSTRAP.SERVERS"}
    return [
        "--network=host",
        f"--env=MILLSTREAM_KAFKA__BOOTSTRAP.SERVERS={kafka.bootstrap}",
        f"--env=MILLSTREAM_HTTP__PORT={port}",
        f"--env=MILLSTREAM_APP={app}",
        f"--env=MILLSTREAM_EVENTS__TOPIC={app}.events",
        *(f"--volume={host}:{path}:ro" for path, host in inside(service).items()),
        *(f"--cap-drop={each}" for each in service.get("cap_drop", ())),
        *(f"--security-opt={o.removesuffix(':true')}" for o in service.get("security_opt", ())),
        *(f"--tmpfs={each}" for each in service.get("tmpfs", ())),
        *(["--read-only", "--read-only-tmpfs=false"] if service.get("read_only") else []),
    ]  # fmt: skip


def service(podman: Podman, name: str, kafka: Kafka, app: str, port: int) -> Container:
    """A service of the compose file, to be started."""
    command = SERVICES[name]["command"]
    return Container(podman, f"{app}-{name}", *options(name, kafka, app, port), IMAGE, *command)


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[None]:
    """Debian's Prometheus under the configuration of the compose file, on loopback."""
    if shutil.which("prometheus") is None:
        pytest.skip("needs the Debian package prometheus")
    shutil.copytree(DEPLOY / "prometheus", folder / "etc")
    file = folder / "etc" / "prometheus.yml"
    text = file.read_text(encoding="utf-8")
    # Only the addresses are others: no names of services here, and a port that is free.
    here = text.replace("worker:9464", f"127.0.0.1:{port}").replace(
        "localhost:9090", PROMETHEUS[7:]
    )
    assert here.count("127.0.0.1:") == 2
    file.write_text(here, encoding="utf-8")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address={PROMETHEUS[7:]}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def query(expression: str) -> list[Any]:
    """What Prometheus answers, [] while it does not."""
    url = f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - PROMETHEUS is http
            found: list[Any] = json.load(answer)["data"]["result"]
    except OSError:
        return []
    return found


@pytest.mark.kafka
def test_what_compose_starts_predicts_and_is_scraped(
    podman: Podman, kafka: Kafka, tmp_path: Path, port: int
) -> None:
    app = kafka.unique("composed")
    with service(podman, "topics", kafka, app, port) as topics:
        assert topics.wait(60) == 0
    assert len(kafka.end_offsets(f"{app}.predictions")) == 4
    with (
        service(podman, "worker", kafka, app, port) as worker,
        prometheus(tmp_path, port),
        service(podman, "producer", kafka, app, port) as producer,
    ):
        worker.wait_until(worker.healthy, "the worker is healthy")
        producer.wait_until(lambda: kafka.read(f"{app}.predictions"), "predictions come")
        worker.wait_until(lambda: query("up{job='millstream'} == 1"), "Prometheus scrapes it")
        worker.wait_until(lambda: query("millstream_predicted_total > 0"), "the metrics are there")
        # The producer goes on for two minutes; it ends as a shell reports a signal.
        assert producer.stop(10) in {0, 143}
        assert worker.stop(60) == 0


def pod(app: str, kafka: Kafka, port: int) -> str:
    """The StatefulSet's first pod and its ConfigMap, as Podman 4.3 can play them.

    It knows no names of ports, and takes probes for commands inside of the container; both are
    left out. The network is the host's, which the broker is on.
    """
    documents = build("overlays/development")
    template = one(documents, "StatefulSet")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    for name in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
        del container[name]
    container |= {"image": IMAGE, "imagePullPolicy": "Never"}
    container["env"] += [
        {"name": "MILLSTREAM_KAFKA__BOOTSTRAP.SERVERS", "value": kafka.bootstrap},
        {"name": "MILLSTREAM_HTTP__PORT", "value": str(port)},
        {"name": "MILLSTREAM_APP", "value": app},
        {"name": "MILLSTREAM_EVENTS__TOPIC", "value": f"{app}.events"},
    ]
    played = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": f"{app}-0"},
        "spec": {**template["spec"], "hostNetwork": True},
    }
    return yaml.safe_dump_all([one(documents, "ConfigMap"), played])


@pytest.mark.kafka
def test_the_pod_of_kubernetes_predicts(
    podman: Podman, kafka: Kafka, tmp_path: Path, port: int
) -> None:
    app = kafka.unique("pod")
    kafka.create_topics(
        *(f"{app}.{t}" for t in ("events", "predictions", "models", "dead-letters"))
    )
    (tmp_path / "pod.yaml").write_text(pod(app, kafka, port), encoding="utf-8")
    container = Container(podman, f"{app}-0-millstream")
    podman("play", "kube", str(tmp_path / "pod.yaml"))
    try:
        container.wait_until(lambda: answers(port, "/readyz"), "it is ready")
        kafka.produce(f"{app}.events", [("1", b"{}", None, None, None)])
        container.wait_until(lambda: kafka.read(f"{app}.dead-letters"), "a dead letter comes")
        said = json.loads(podman("inspect", container.name).stdout)[0]
        assert said["HostConfig"]["ReadonlyRootfs"]
        assert said["EffectiveCaps"] in ([], None)
        assert said["Config"]["User"] == "10001:10001"
        podman("pod", "stop", "--time", "60", f"{app}-0")
        assert container.wait(10) == 0
        # The name of the pod is the instance, and so the transactional id.
        assert f"MILLSTREAM_INSTANCE={app}-0" in said["Config"]["Env"]
    finally:
        print(container.logs()[-4000:])
        podman("pod", "rm", "--force", f"{app}-0", check=False)


def answers(port: int, path: str) -> bool:
    """Whether the worker says yes on a path."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
