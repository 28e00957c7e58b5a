"""What is shipped to run the worker with, as data, and the program's own view of it."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import yaml
from typer.main import get_command

from millstream.cli import app

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
EXAMPLES: Final = sorted((ROOT / "examples").glob("*/millstream.yaml"))
DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
OURS: Final = {name: each for name, each in SERVICES.items() if each["image"] == "millstream"}


def instructions(name: str) -> list[str]:
    """Arguments of every instruction of that name in the Dockerfile, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", joined, flags=re.MULTILINE)


def image_environment() -> dict[str, str]:
    """Variables that the image sets."""
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
    """Path in a service's container to what of this repository is mounted there."""
    mounts = (volume.split(":") for volume in service.get("volumes", ()))
    return {mount[1]: ROOT / mount[0] for mount in mounts if mount[0].startswith("./")}
