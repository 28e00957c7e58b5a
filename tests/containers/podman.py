"""Podman, as far as tests need it: build the image, run containers, ask them for their health."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.kafka.cluster import T, wait_until

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = "localhost/millstream-test"
LOCAL_BASE: Final = "localhost/millstream-test-base:bookworm"
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"

CONFIGURATION: Final = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""runc, as crun refuses hybrid cgroups; limits by number, as raising them may be forbidden."""


class Podman:
    """The command `podman`, with a configuration that also works inside of virtual machines."""

    def __init__(self, folder: Path) -> None:
        configuration = folder / "containers.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        # Whoever has a configuration of their own knows better.
        self._env = {"CONTAINERS_CONF": str(configuration), **os.environ}

    def __call__(
        self, *arguments: str, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Podman's; a failure shows what it said."""
        done = subprocess.run(
            ["podman", *arguments], env=self._env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"podman {arguments[0]}: {done.stderr[-4000:]}"
        return done

    def base(self) -> str | None:
        """The image to build on; None: the public one that the Dockerfile names.

        `MILLSTREAM_TEST_BASE` names one; else, where debootstrap can make one, it is Debian's
        own, so that nothing has to be pulled.
        """
        if given := os.environ.get("MILLSTREAM_TEST_BASE"):
            return given
        if self("image", "exists", LOCAL_BASE, check=False).returncode == 0:
            return LOCAL_BASE
        if shutil.which("debootstrap") is None or os.getuid() != 0:
            return None
        with tempfile.TemporaryDirectory(prefix="millstream-base-") as folder:
            root, archive = f"{folder}/root", f"{folder}/root.tar"
            packages = "python3,python3-pip,python3-venv,ca-certificates"
            for command in (
                ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root],
                ["tar", "-C", root, "-cf", archive, "."],
            ):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=900)
            self("import", archive, LOCAL_BASE, timeout=300)
        return LOCAL_BASE

    def build(self) -> None:
        """Build the image as a user does. Layers are kept, so the second time takes seconds."""
        base, trusted = self.base(), CERTIFICATES
        self(
            "build", "--format", "docker", "--layers", "--isolation", "chroot",
            "--network", "host", "--file", str(ROOT / "deploy" / "Dockerfile"), "--tag", IMAGE,
            *([f"--volume={trusted}:{trusted}:ro"] if Path(trusted).exists() else []),
            *([f"--build-arg=BASE={base}"] if base else []),
            str(ROOT),
            timeout=1_800,
        )  # fmt: skip

    def shell(self, script: str) -> str:
        """What a shell script prints inside of the image."""
        return self("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", script).stdout


class Container:
    """One container, removed at the end whatever happens."""

    def __init__(self, podman: Podman, name: str, *arguments: str) -> None:
        """`arguments`: options of `podman run`, the image, and what is to run in it."""
        self.name = name
        self._podman = podman
        self._arguments = arguments

    def __enter__(self) -> Self:
        self._podman("run", "--detach", "--name", self.name, *self._arguments)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.logs()[-4000:])
        self._podman("rm", "--force", "--time", "0", self.name, check=False)

    def logs(self) -> str:
        """All that it has written, to both streams."""
        done = self._podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def healthy(self) -> bool:
        """Answer of the image's own health check, made now."""
        return self._podman("healthcheck", "run", self.name, check=False).returncode == 0

    def kill(self, signal: str) -> None:
        """Send a signal to its first process."""
        self._podman("kill", "--signal", signal, self.name)

    def stop(self, seconds: int) -> int:
        """SIGTERM, and SIGKILL after so many seconds (exit code 137); returns the exit code."""
        self._podman("stop", "--time", str(seconds), self.name)
        return self.wait(10)

    def running(self) -> bool:
        """Whether its first process has not ended."""
        return self._state("Running") == "true"

    def _state(self, name: str) -> str:
        said = self._podman("inspect", "--format", f"{{{{.State.{name}}}}}", self.name)
        return said.stdout.strip()

    def wait(self, timeout: float) -> int:
        """The exit code, once it has ended."""
        wait_until(lambda: not self.running(), timeout, f"{self.name} has ended")
        return int(self._state("ExitCode"))

    def wait_until(self, condition: Callable[[], T], message: str, timeout: float = 90) -> T:
        """Wait for something while it runs; its log is shown where that does not come."""

        def while_running() -> T:
            answer = condition()
            assert answer or self.running(), f"{self.name} ended: {self.logs()[-4000:]}"
            return answer

        return wait_until(while_running, timeout, f"{message}; {self.logs()[-2000:]}")
