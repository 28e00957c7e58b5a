"""The image does in a container, with no rights at all, what the program does outside of one."""

import json
import urllib.request
from pathlib import Path

import pytest
import yaml

from millstream import __version__
from tests.containers.podman import IMAGE, ROOT, Container, Podman
from tests.support.kafka.app import App, event_of
from tests.support.kafka.cluster import Kafka, wait_until

LOCKED_UP = (
    "--network=host", "--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--user=12345:12345", "--memory=512m",
)  # fmt: skip
"""Nothing to write to, not even /tmp; no capability; a user that the image does not know."""


def settings_in(app: App, port: int) -> tuple[str, str, str]:
    """Options that give a container the app's settings, a name and a port of its own."""
    app.file.chmod(0o644)
    return (
        f"--volume={app.file}:/app/millstream.yaml:ro",
        "--env=MILLSTREAM_INSTANCE=one",
        f"--env=MILLSTREAM_HTTP__PORT={port}",
    )


def metric(port: int, name: str) -> float:
    """A sample without labels but the app, of the worker in the container."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


def test_no_tool_of_the_build_is_left_and_nobody_is_root(podman: Podman) -> None:
    tools = "pip pip3 cc gcc make ld hatchling cyclonedx-py"
    modules = ("pip", "ensurepip", "setuptools", "hatchling")
    said = podman.shell(f"id -u; for tool in {tools}; do command -v $tool; done; true").split()
    assert said == ["10001"]
    find = f"import importlib.util as i; print([n for n in {modules} if i.find_spec(n)])"
    assert podman.shell(f'python3 -c "{find}"') == "[]\n"


def test_every_module_is_compiled_since_nothing_can_be_written_later(podman: Podman) -> None:
    sources, compiled = podman.shell(
        "cd /opt/millstream/lib/python3*/site-packages/millstream;"
        "find . -name '*.py' | wc -l; find . -name '*.pyc' | wc -l"
    ).split()
    assert sources == compiled


def test_labels_and_versions_are_those_of_the_program(podman: Podman) -> None:
    (said,) = json.loads(podman("image", "inspect", IMAGE).stdout)
    labels = {name.rpartition(".")[2]: value for name, value in said["Labels"].items()}
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert said["Config"]["Entrypoint"] == ["millstream"]
    assert podman("run", "--rm", IMAGE, "--version").stdout == f"millstream {__version__}\n"


def test_the_bill_of_materials_lists_what_is_installed_and_all_of_it_is_pinned(
    podman: Podman,
) -> None:
    versions = "{d.name.lower().replace('_', '-'): d.version for d in m.distributions()}"
    script = f"import json, importlib.metadata as m; print(json.dumps({versions}))"
    installed = json.loads(podman.shell(f'python3 -c "{script}"'))
    bill = json.loads(podman.shell("cat /opt/millstream/share/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    parts = {
        each["name"].lower().replace("_", "-"): each["version"]
        for each in [*bill["components"], bill["metadata"]["component"]]
    }
    assert parts == installed
    pinned = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8").replace("_", "-")
    for name, version in installed.items():
        assert name == "millstream" or f"\n{name}=={version}\n" in pinned


def test_the_runner_for_faust_can_be_imported(podman: Podman) -> None:
    assert podman.shell("python3 -c 'import faust; print(faust.__name__)'") == "faust\n"


@pytest.mark.kafka
def test_predictions_come_out_of_a_locked_up_container_and_sigterm_ends_it(
    podman: Podman, kafka: Kafka, open_path: Path, port: int
) -> None:
    app = App(kafka, open_path, partitions=2)
    app.send(app.events, [event_of(i) for i in range(500)])
    with Container(podman, app.name, *LOCKED_UP, *settings_in(app, port), IMAGE) as worker:
        worker.wait_until(lambda: app.handled() == 500, "500 predictions")
        assert worker.healthy()
        assert metric(port, "millstream_predicted_total") == 500
        assert worker.stop(30) == 0
        assert "stopping" in worker.logs()
    assert {each["id"] for each in app.predictions()} == set(range(500))
    # The next one goes on where that one stopped.
    app.send(app.events, [event_of(i) for i in range(500, 600)])
    with Container(podman, f"{app.name}-2", *LOCKED_UP, *settings_in(app, port), IMAGE) as worker:
        worker.wait_until(lambda: app.handled() == 600, "100 predictions more")
        assert worker.stop(30) == 0
    assert sum(int(each["learned"]) for each in latest(app)) == 600


def latest(app: App) -> list[dict[str, int]]:
    """The newest snapshot of each partition."""
    newest = {pointer["partition"]: pointer for pointer in app.snapshots()}
    return list(newest.values())


@pytest.mark.kafka
def test_the_health_check_tells_a_frozen_worker_from_one_that_has_nothing_to_do(
    podman: Podman, kafka: Kafka, open_path: Path, port: int
) -> None:
    app = App(kafka, open_path)
    with Container(podman, app.name, *LOCKED_UP, *settings_in(app, port), IMAGE) as worker:
        worker.wait_until(worker.healthy, "it is healthy while it is idle")
        worker.kill("STOP")
        assert not worker.healthy()
        worker.kill("CONT")
        wait_until(worker.healthy, 60, "it is healthy when it goes on")
        assert worker.stop(30) == 0


STUCK = """
import time
from river import linear_model

class Stuck(linear_model.LogisticRegression):
    def learn_one(self, x, y):
        if x["https"] == 4_711:
            time.sleep(3_600)
        super().learn_one(x, y)

def model():
    return Stuck()
"""


@pytest.mark.kafka
def test_the_health_check_tells_a_loop_that_is_stuck_though_its_server_answers(
    podman: Podman, kafka: Kafka, open_path: Path, port: int
) -> None:
    (open_path / "stuck.py").write_text(STUCK, encoding="utf-8")
    app = App(kafka, open_path, model={"factory": "stuck:model"})
    options = (f"--volume={open_path}/stuck.py:/models/stuck.py:ro", "--env=PYTHONPATH=/models")
    with Container(
        podman, app.name, *LOCKED_UP, *settings_in(app, port), *options, IMAGE
    ) as worker:
        worker.wait_until(worker.healthy, "it is healthy before")
        number, event = event_of(0)
        app.send(app.events, [(number, {**event, "https": 4_711})])
        # Thirty seconds without progress count as stuck.
        worker.wait_until(lambda: not worker.healthy(), "it is found to be stuck")
        with pytest.raises(urllib.request.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=10)
        assert refused.value.code == 503


def test_a_mistake_in_the_settings_is_a_sentence_and_no_traceback(
    podman: Podman, open_path: Path
) -> None:
    settings = yaml.safe_load((ROOT / "examples" / "phishing" / "millstream.yaml").read_text())
    settings["evnts"] = settings.pop("events")
    (open_path / "wrong.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (open_path / "wrong.yaml").chmod(0o644)
    done = podman(
        "run", "--rm", *LOCKED_UP, f"--volume={open_path}/wrong.yaml:/app/millstream.yaml:ro",
        IMAGE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "evnts" in done.stderr
    assert "Traceback" not in done.stderr
