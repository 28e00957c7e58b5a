"""The dashboard against Grafana's schema, a worker's metrics, and a real Prometheus."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.support.kafka.app import App, event_of, label_of
from tests.support.kafka.cluster import Kafka
from tests.support.monitoring import ROOT, Prometheus, exported, needs, used

RAW: dict[str, Any] = orjson.loads(
    (ROOT / "deploy" / "grafana" / "dashboards" / "millstream.json").read_bytes()
)
PANELS = [panel for panel in RAW["panels"] if panel["type"] != "row"]
VARIABLES: dict[str, dict[str, Any]] = {each["name"]: each for each in RAW["templating"]["list"]}
QUERIES = {
    f"{panel['title']} {target['refId']}": str(target["expr"])
    for panel in PANELS
    for target in panel["targets"]
}
OF_A_REGRESSOR = {"Mean absolute error A"}
"""Not a number while a classifier is looked at."""


def lost(here: object, there: object, path: str = "") -> Iterator[str]:
    """Everything that is here and not there."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key, value in here.items():
            yield from lost(value, there.get(key), f"{path}.{key}")
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for number, (one, other) in enumerate(zip(here, there, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif here != there:
        yield f"{path}: {here!r}, but {there!r}"


def through_grafanas_schema(dashboard: dict[str, Any]) -> Any:
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def asked(expression: str) -> str:
    """The expression as Grafana sends it, with everything chosen."""
    chosen = re.sub(r"\$(app|topic|partition)\b", ".*", expression)
    return chosen.replace("$__rate_interval", "30s")


def test_grafanas_schema_knows_all_that_the_dashboard_says() -> None:
    assert list(lost(RAW, through_grafanas_schema(RAW))) == []


def test_what_grafanas_schema_does_not_know_is_found() -> None:
    wrong = {**RAW, "panels": [{**PANELS[0], "titel": "x"}]}
    assert list(lost(wrong, through_grafanas_schema(wrong))) == [".panels[0].titel: 'x', but None"]


def test_panels_lie_beside_each_other_and_have_ids_of_their_own() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in RAW["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in RAW["panels"]}) == len(RAW["panels"])


def test_every_query_names_metrics_that_a_worker_has_and_is_of_the_chosen_app() -> None:
    for title, query in QUERIES.items():
        assert used(query) <= exported(), title
        selectors = re.findall(r"(?:millstream_\w+|ALERTS)(\{?)([^}]*)", query)
        assert selectors, title
        assert all(brace and 'app=~"$app"' in inside for brace, inside in selectors), title


def test_every_variable_is_defined_and_chooses_something() -> None:
    used_ones = {name for query in QUERIES.values() for name in re.findall(r"\$([a-z]+)", query)}
    assert used_ones == {"app", "topic", "partition"}
    assert set(VARIABLES) == {"datasource", *used_ones}
    sources = {panel["datasource"]["uid"] for panel in PANELS}
    assert sources == {"${datasource}"}


@needs("prometheus")
def test_every_query_has_an_answer_from_a_prometheus_that_scrapes_a_worker(
    kafka: Kafka, tmp_path: Path
) -> None:
    app = App(
        kafka,
        tmp_path,
        labels={"from": "topic", "wait": "1h"},
        partitions=2,
        snapshots={"examples": 100},
    )
    app.write_settings(
        kafka={"bootstrap.servers": kafka.bootstrap, "statistics.interval.ms": "500"}
    )
    with app.worker() as worker:
        worker.wait_for_log("restored (partition=1")
        address = re.findall(r"serving .*address=([^)\s]+)", worker.log_text())[-1]
        with Prometheus(tmp_path, address) as prometheus:
            prometheus.wait_until_ready()
            # A rate needs a sample from before.
            worker.wait_until(lambda: prometheus.query("millstream_build_info"))
            app.send(app.events, [(-1, b"junk")])
            for some in (range(400), range(400, 800)):  # the second time it has learned something
                app.send(app.events, (event_of(n, label=False) for n in some))
                app.send(app.labels, map(label_of, some))
            unanswered = set(QUERIES)

            def all_answered() -> bool:
                for title in sorted(unanswered):
                    values = prometheus.query(asked(QUERIES[title]))
                    if values and (title in OF_A_REGRESSOR or not all(map(math.isnan, values))):
                        unanswered.discard(title)
                return not unanswered

            try:
                worker.wait_until(all_answered, timeout=90)
            except AssertionError as error:
                raise AssertionError(f"without an answer: {sorted(unanswered)}") from error
            assert choices(prometheus) == {
                "app": [app.name],
                "topic": sorted([app.events, app.labels]),
                "partition": ["0", "1"],
            }
            assert_rules_are_evaluated(prometheus)
        assert worker.stop() == 0


def choices(prometheus: Prometheus) -> dict[str, list[str]]:
    """What each variable offers."""
    offered = {}
    for name, variable in VARIABLES.items():
        if name != "datasource":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found is not None, variable
            assert used(found[1]) <= exported()
            match = {"match[]": asked(found[1])}
            offered[name] = sorted(prometheus.get(f"label/{found[2]}/values", **match))
    return offered


def assert_rules_are_evaluated(prometheus: Prometheus) -> None:
    """No rule errs on what a real worker exports, and none finds an app that is well ill."""
    groups = prometheus.get("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) > 20
    assert [rule["name"] for rule in found if rule.get("lastError")] == []
    assert [rule["name"] for rule in found if rule.get("state") == "firing"] == []
