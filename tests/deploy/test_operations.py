"""The page on operations says what there is: its commands are parsed here, and run on a Kafka."""

import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests.deploy.files import ROOT, assert_the_program_takes, instructions
from tests.deploy.manifests import KUBERNETES, build, one
from tests.kafka.cluster import Kafka, wait_until
from tests.test_readme import blocks, run, shell

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = [block.replace("\\\n", " ") for block in re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)]
LINES = [line.strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if re.match(r"(?:MILLSTREAM_\w+=\S+ )?millstream ", line)]


def words(line: str) -> list[str]:
    """A command of the program, without variables before it and without its name."""
    parts = shlex.split(line)
    return parts[parts.index("millstream") + 1 :]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_the_programs(line: str) -> None:
    assert_the_program_takes(words(line))


def test_commands_in_the_text_are_the_programs() -> None:
    named = re.findall(r"`(millstream [^`]*)`", PAGE)
    for line in named:
        assert_the_program_takes(words(line))


def test_what_is_run_in_a_pod_is_the_programs_on_the_pods_settings() -> None:
    (line,) = (each for each in LINES if each.startswith("kubectl exec"))
    assert_the_program_takes(words(line))
    assert shlex.split(line)[-1] == one_worker()["args"][-1]


def one_worker() -> dict[str, list[str]]:
    """The worker's container."""
    pod = one(build("base"), "StatefulSet")["spec"]["template"]["spec"]
    return dict(pod["containers"][0])


def test_the_secret_is_made_as_the_manifests_want_it() -> None:
    comment = (KUBERNETES / "components/secrets/kustomization.yaml").read_text(encoding="utf-8")
    made = {line for line in LINES if line.startswith("kubectl create secret")}
    wanted = set(re.findall(r"--from-file=(\S+)", comment))
    assert [set(re.findall(r"--from-file=(\S+)", line)) for line in made] == [wanted]


def test_the_figures_of_time_are_those_of_the_manifests() -> None:
    pod = one(build("base"), "StatefulSet")["spec"]["template"]["spec"]
    assert f"{pod['terminationGracePeriodSeconds']} s of grace" in PAGE
    probe = pod["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 3_600
    assert "startup probe: `/readyz`, for an hour" in PAGE


def test_the_image_holds_what_is_said_to_be_in_it() -> None:
    assert "/opt/millstream/share/sbom.cdx.json" in PAGE
    assert any("/opt/millstream/share/sbom.cdx.json" in each for each in instructions("RUN"))


@pytest.mark.kafka
def test_every_command_does_what_it_is_shown_for(kafka: Kafka, tmp_path: Path) -> None:
    app = kafka.unique("fraud")
    text = blocks("yaml")[0].replace("localhost:9092", kafka.bootstrap)
    text = text.replace("app: fraud", f"app: {app}").replace("topic: payments", f"topic: {app}-in")
    (tmp_path / "millstream.yaml").write_text(text + "http: { port: 0 }\n", encoding="utf-8")
    event = '{"payment_id": 1, "amount": 12.5, "age": 31, "is_fraud": false}'
    (tmp_path / "history.jsonl").write_text(f"{event}\n", encoding="utf-8")
    worker = None
    try:
        for command in COMMANDS:
            line = command.replace("=fraud-2", f"={app}-2")
            said = run(line.replace("--partitions 12", "--partitions 1"), tmp_path)
            assert "Traceback" not in said
            if "topics create" in command and worker is None:
                # Events that are worked off, and one that is not: there is no label in it.
                good = [("1", event.encode(), None, None, 0)] * 50
                kafka.produce(f"{app}-in", [*good, ("2", b'{"payment_id": 2}', None, None, 0)])
                worker = shell("millstream run millstream.yaml", tmp_path)
                wait_until(lambda: kafka.read(f"{app}.dead-letters"), 60, "all are done")
                os.killpg(worker.pid, signal.SIGTERM)
                worker.communicate(timeout=60)
    finally:
        if worker is not None and worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.communicate(timeout=30)
    # The dead letter was replayed, and the history sent.
    assert len(kafka.read(f"{app}-in")) == 53
