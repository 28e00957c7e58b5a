"""The page on operations says what there is (tests/cli/test_operations.py runs its commands)."""

import json
import re
import shlex
import shutil
import subprocess
from unittest.mock import ANY

import pytest

from tests.deploy.files import ROOT, assert_the_program_takes, instructions
from tests.deploy.manifests import BUILDS, KUBERNETES, NEWEST, OLDEST, build, one, problems
from tests.deploy.operations import COMMANDS, LINES, PAGE, words


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


@pytest.mark.parametrize("folder", BUILDS)
def test_the_pod_for_a_command_is_a_worker_in_all_but_what_it_runs(folder: str) -> None:
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    (line,) = (each for each in LINES if "command.jq" in each)
    (program,) = (part for part in line.split("|") if part.strip().startswith("jq "))
    objects = build(folder)
    workers = one(objects, "StatefulSet")
    made = subprocess.run(
        shlex.split(program), cwd=ROOT, input=json.dumps(workers), capture_output=True, check=True,
        text=True,
    )  # fmt: skip
    pod = json.loads(made.stdout)
    assert not [problem for version in (OLDEST, NEWEST) for problem in problems(pod, version)]
    (container,) = pod["spec"]["containers"]
    assert_the_program_takes(container["args"])
    (worker,) = workers["spec"]["template"]["spec"]["containers"]
    probes = {"startupProbe", "livenessProbe", "readinessProbe"}
    assert container == {**{k: worker[k] for k in worker.keys() - probes}, "args": ANY}
    labels = pod["metadata"]["labels"].items()
    assert one(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert not workers["spec"]["selector"]["matchLabels"].items() <= labels
    assert not one(objects, "Service")["spec"]["selector"].items() <= labels


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
