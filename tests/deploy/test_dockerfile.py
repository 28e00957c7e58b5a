"""The Dockerfile and its constraints fit the program (tests/containers builds and runs it)."""

import os
import re
import subprocess
import sys
import tomllib

import orjson
import pytest
from packaging.requirements import Requirement

from millstream import __version__
from millstream.config.sections import HttpSettings
from millstream.observability.health import Health
from millstream.observability.http_server import HealthServer
from millstream.observability.metrics import Metrics
from tests.deploy.files import (
    DEPLOY,
    DOCKERFILE,
    ROOT,
    assert_the_program_takes,
    image_environment,
    instructions,
)

CONSTRAINTS = (DEPLOY / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINNED = dict(line.split("==") for line in CONSTRAINTS if not line.startswith("#"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_it_runs_a_command_of_the_program_in_exec_form_as_an_ordinary_user() -> None:
    entrypoint, command = (orjson.loads(instructions(n)[-1]) for n in ("ENTRYPOINT", "CMD"))
    assert entrypoint == ["millstream"]
    assert_the_program_takes(command)
    # A number: Kubernetes cannot see of a name that it is not root.
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", instructions("USER")[-1])


def test_its_health_check_and_port_are_the_programs() -> None:
    port = HttpSettings().port
    assert instructions("EXPOSE") == [str(port)]
    assert image_environment()["MILLSTREAM_HTTP__PORT"] == str(port)
    (check,) = instructions("HEALTHCHECK")
    # What the environment says, since that wins over a settings file.
    assert "int(os.environ['MILLSTREAM_HTTP__PORT'])" in check
    assert "'/livez'" in check


@pytest.mark.parametrize(("seconds_without_progress", "exit_code"), [(0, 0), (31, 1)])
def test_its_health_check_tells_a_stuck_loop_from_a_live_one(
    seconds_without_progress: int, exit_code: int
) -> None:
    times = iter([0, *[seconds_without_progress] * 100])
    server = HealthServer(
        HttpSettings(port=0), Health(clock=lambda: next(times)), Metrics().registry
    )
    port = server.start().rpartition(":")[2]
    command = orjson.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    assert command[0] == "python3"
    try:
        environment = {**os.environ, "MILLSTREAM_HTTP__PORT": port}
        done = subprocess.run([sys.executable, *command[1:]], env=environment, check=False)
    finally:
        server.stop()
    assert done.returncode == exit_code


def test_its_label_names_the_programs_version() -> None:
    assert f"VERSION={__version__}" in instructions("ARG")
    assert 'org.opencontainers.image.version="${VERSION}"' in DOCKERFILE


def test_it_copies_what_is_there_and_what_the_build_reads() -> None:
    copied = {
        name
        for line in instructions("COPY")
        if not line.startswith("--")
        for name in line.split()[:-1]
    }
    assert {"pyproject.toml", "README.md", "LICENSE", "workers", "deploy/constraints.txt"} == copied
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in let_in


def test_every_install_heeds_the_constraints_and_compiles_nothing() -> None:
    joined = DOCKERFILE.replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install (.*?)(?:&&|$)", joined, re.MULTILINE)
    # The tools of the build, the libraries, the worker itself.
    assert len(installs) == 3
    for install in installs:
        assert "-c constraints.txt" in install
        assert "--only-binary :all:" in install


def test_the_constraints_are_names_and_exact_versions_alone() -> None:
    for name, version in PINNED.items():
        assert re.fullmatch(r"[a-z0-9._-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.+]*", version), (name, version)
    assert sorted(PINNED) == list(PINNED)


def test_the_constraints_pin_what_the_program_the_runners_and_the_build_ask_for() -> None:
    project = PROJECT["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    wanted = [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]
    pinned = {name.replace("_", "-"): version for name, version in PINNED.items()}
    for requirement in map(Requirement, wanted):
        assert pinned[requirement.name] in requirement.specifier, requirement
