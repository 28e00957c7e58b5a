"""What tests of rules and dashboards share: the names a worker exports, and a real Prometheus."""

import json
import re
import shutil
import socket
import subprocess
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from millstream.observability.metrics import Metrics
from millstream.supervisor.aggregation import AllMetrics
from millstream.supervisor.processes import Child
from tests.support.kafka.cluster import wait_until

ROOT: Final = Path(__file__).parents[2]
RULE_FILES: Final = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
_SUFFIXES: Final = {
    "counter": ["_total"],
    "histogram": ["_bucket", "_sum", "_count"],
    "info": ["_info"],
}


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where a program of Debian's prometheus package is missing, and say so."""
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"{program} is missing: apt-get install --no-install-recommends prometheus",
    )


def families() -> dict[str, str]:
    """Every metric of a worker, and its kind."""
    return {family.name: family.type for family in Metrics().registry.collect()}


def exported() -> set[str]:
    """Every name that a sample of ours can have, those of a supervisor included."""
    nobody = Child(0, lambda *_: (), 1.0)
    supervisors = {family.name: family.type for family in AllMetrics([nobody], "app").collect()}
    return {
        f"{name}{suffix}"
        for name, kind in (families() | supervisors).items()
        for suffix in _SUFFIXES.get(kind, [""])
    }


def used(expression: str) -> set[str]:
    """The metrics of ours that an expression names; not those that rules record."""
    return set(re.findall(r"(?<![\w:])millstream_\w+", expression))


class Prometheus:
    """A real Prometheus that scrapes one worker every second, with our rules."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in RULE_FILES],
            "scrape_configs": [
                {"job_name": "millstream", "static_configs": [{"targets": [target]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'prometheus'}",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        wait_until(self._is_ready, 60, "Prometheus is ready")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            with urlopen(f"http://{self._address}/-/ready", timeout=10) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:  # it does not listen yet, or says that it is not ready
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """What its API answers; fails with its words where a query is wrong."""
        try:
            with urlopen(
                f"http://{self._address}/api/v1/{path}?{urlencode(parameters)}", timeout=10
            ) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[float]:
        """The values that an expression has now."""
        return [float(each["value"][1]) for each in self.get("query", query=expression)["result"]]
