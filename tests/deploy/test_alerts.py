"""Alerts fire when they should, stay quiet when they should not, and say what is to be done."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.monitoring import ROOT, RULE_FILES, exported, families, needs, used

TEST_FILES = sorted((ROOT / "deploy" / "prometheus" / "tests").glob("*.yml"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")

needs_promtool = needs("promtool")


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULE_FILES]
    return [rule for document in documents for g in document["groups"] for rule in g["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def promtool(*arguments: object) -> None:
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rules_are_well_formed() -> None:
    promtool("check", "rules", "--lint-fatal", *RULE_FILES)


@needs_promtool
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_each_alert_fires_when_it_should_and_not_else(path: Path) -> None:
    promtool("test", "rules", path)


def test_each_alert_has_a_test_with_an_app_that_is_ill_and_one_that_is_well() -> None:
    tested = {}
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            series = " ".join(each["series"] for each in test["input_series"])
            samples = [each["exp_samples"] for each in test.get("promql_expr_test", ())]
            if samples:
                assert "ill" in series, test["name"]
                assert "well" in series, test["name"]
                before, after = samples
                assert before == [], test["name"]
                assert len(after) == 1, test["name"]
                assert f'alertname="{test["name"]}"' in after[0]["labels"]
                tested[test["name"]] = True
    assert set(tested) == {alert["alert"] for alert in ALERTS}


def test_rules_name_metrics_that_a_worker_has() -> None:
    names = exported()
    for rule in rules():
        assert used(rule["expr"]) <= names, rule
        assert set(re.findall(r"\w+:millstream_\w+:\w+", rule["expr"])) <= RECORDED, rule


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(
    alert: dict[str, Any],
) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "impact", "runbook_url"}
    anchor = alert["alert"].lower()
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{anchor}"


def test_the_runbook_has_a_section_for_each_alert_in_their_order() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == [alert["alert"] for alert in ALERTS]


def test_the_runbook_names_metrics_that_a_worker_has_and_sections_that_it_has() -> None:
    assert used(RUNBOOK) <= exported() | set(families())
    sections = {each.lower() for each in re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([a-z]+)\)", RUNBOOK)) <= sections
