"""The page on operations says what there is (tests/cli/test_operations.py runs its commands)."""

import re
import shlex

import pytest

from tests.deploy.files import assert_the_program_takes, instructions
from tests.deploy.manifests import KUBERNETES, build, one
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
