"""`run` from start to end: what it needs, what it serves, how it stops."""

import json
import re
from urllib.request import urlopen

from tests.cli.conftest import inline
from tests.cli.test_main import Write
from tests.conftest import Millstream
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess


def test_a_worker_without_topics_names_the_command_that_creates_them(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    settings = inline(kafka.unique("run"), kafka.bootstrap)
    settings["http"] = {"port": 0}
    path = write(settings)
    result = millstream("run", path)
    assert result.exit_code == 1
    last = result.err.splitlines()[-1]
    assert last.startswith("millstream: topic ")
    assert last.endswith(f"millstream topics create {path}")
    assert "Traceback" not in result.err


def test_a_worker_serves_its_metrics_and_stops_on_sigterm(
    millstream: Millstream, write: Write, kafka: Kafka
) -> None:
    app = kafka.unique("run")
    settings = inline(app, kafka.bootstrap)
    settings["http"] = {"port": 0}
    settings["log"] = {"format": "json"}
    path = write(settings)
    assert millstream("topics", "create", path, "--partitions", 1).exit_code == 0
    assert millstream("send", path, "river:Phishing", "--limit", 50).exit_code == 0
    with WorkerProcess(path, fresh=True) as worker:

        def address() -> str | None:
            found = re.search(r'"address":"([^"]+)"', worker.log_text())
            return found and found.group(1)

        at = worker.wait_until(address, message="the address is logged")

        def get(page: str) -> str:
            with urlopen(f"http://{at}{page}", timeout=10) as answer:
                return str(answer.read().decode())

        predicted = f'millstream_predicted_total{{app="{app}"}} 50.0'
        worker.wait_until(lambda: predicted in get("/metrics"), message="50 predictions")
        assert json.loads(get("/readyz"))["shards_restored"] == 1
        assert "_created" not in get("/metrics")
        assert worker.stop() == 0, worker.log_text()
    assert len(kafka.read(f"{app}.predictions")) == 50
