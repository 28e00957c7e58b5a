"""The image, built once for all tests; they are there for `make test-image` alone."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.containers.podman import Podman

# They build an image, which takes minutes, and Podman.
collect_ignore_glob = [] if os.environ.get("MILLSTREAM_TEST_IMAGE") == "1" else ["test_*.py"]


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Podman, and the image built from what is here."""
    assert shutil.which("podman"), "needs podman: see CONTRIBUTING.md"
    podman = Podman(tmp_path_factory.mktemp("podman"))
    podman.build()
    return podman


@pytest.fixture
def port() -> int:
    """A free port of this host, whose network containers share to reach the tests' broker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder whose files another user, the container's, may read."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder.name.startswith(("pytest-", "test_")):
            folder.chmod(0o755)
    return tmp_path
