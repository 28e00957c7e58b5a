"""The example: a Faust app of one's own, with tables, pages and a worker attached."""

import re
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.kafka.app import PHISHING, bare_digest
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "faust-app"
EVENTS = 500


class FaustApp(WorkerProcess):
    """The example's `app.py worker`, on topics of its own."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        self.name = kafka.unique("phishing-in-faust")
        self.sites = f"{self.name}-sites"
        for file in ("app.py", "millstream.yaml"):
            text = (EXAMPLE / file).read_text()
            text = text.replace("phishing-in-faust", self.name).replace("faust-sites", self.sites)
            (folder / file).write_text(text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        super().__init__(
            folder / "millstream.yaml",
            env={"FAUST_BROKER": f"kafka://{kafka.bootstrap}", "FAUST_DATADIR": str(folder)},
        )
        self.command = [sys.executable, str(folder / "app.py"), "--datadir", str(folder), "worker",
                        "--loglevel", "info", "--web-port", str(self.port),
                        "--web-host", "127.0.0.1"]  # fmt: skip

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page; 0 where nobody answers yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as page:
                return page.status, page.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def found(self) -> dict[str, int]:
        """What the app's own agent has counted."""
        status, body = self.get("found")
        counted: dict[str, int] = orjson.loads(body) if status == 200 else {}
        return counted


def test_a_worker_attached_to_a_faust_app_learns_beside_its_agents_tables_and_pages(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = FaustApp(tmp_path, kafka)
    outputs = [f"{app.name}.{role}" for role in ("predictions", "models", "dead-letters")]
    kafka.create_topics(app.sites, *outputs)
    websites = [
        orjson.dumps({"id": number, **PHISHING[number][0], "is_phishing": PHISHING[number][1]})
        for number in range(EVENTS)
    ]
    with app:
        app.wait_until(
            lambda: app.get("millstream/readyz")[0] == 200, timeout=120, message="it is ready"
        )
        kafka.produce(
            app.sites, ((str(i), website, None, None, 0) for i, website in enumerate(websites))
        )
        app.wait_until(
            lambda: sum(app.found().values()) >= EVENTS, timeout=120,
            message="the app's own agent has every prediction",
        )  # fmt: skip
        report: dict[str, Any] = orjson.loads(app.get("millstream/livez")[1])
        assert report["alive"]
        assert report["shards_restored"] == 1
        metrics = app.get("millstream/metrics")[1].decode()
        assert re.search(rf'millstream_predicted_total{{app="\S+"}} {EVENTS}\.0', metrics)
        assert app.stop(60) == 0
    read = [message.json for message in kafka.read(f"{app.name}.predictions")]
    assert [each["id"] for each in read] == list(range(EVENTS))
    assert kafka.committed(app.name, app.sites) == EVENTS
    pointer = next(
        message.json
        for message in reversed(kafka.read(f"{app.name}.models"))
        if message.value and (message.key or b"").startswith(b"0/snapshot/")
        and (message.key or b"").count(b"/") == 2
    )  # fmt: skip
    assert pointer["digest"] == bare_digest(PHISHING[:EVENTS])
    assert pointer["learned"] == EVENTS
