"""`millstream evaluate`: a dry run over what was recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.conftest import Millstream
from tests.support.apps import inline, late
from tests.support.kafka.app import FEATURES, PHISHING
from tests.support.kafka.cluster import Kafka

Write = Callable[[dict[str, Any]], Path]
KAFKA = {"bootstrap.servers": "127.0.0.1:1"}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


def events(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"id": n, **PHISHING[n][0], "phishing": PHISHING[n][1], "at": n * 1_000}
        for n in range(first, last)
    ]


def test_river_s_figures_come_out_of_a_file(
    millstream: Millstream, write: Write, tmp_path: Path
) -> None:
    rows = jsonl(tmp_path / "all.jsonl", events(0, 1250))
    result = millstream("evaluate", write(inline(kafka=KAFKA)), rows, "--json")
    found = orjson.loads(result.out)
    assert {name: round(value, 6) for name, value in found["metrics"].items()} == {
        "Accuracy": 0.8872, "F1": 0.871233, "Precision": 0.872029, "Recall": 0.870438,
        "ROCAUC": 0.941571, "LogLoss": 0.38293,
    }  # fmt: skip
    assert (found["events"], found["scored"], found["learned"]) == (1250, 1250, 1250)


def test_what_is_bad_is_told_by_stage_and_reason_and_where_a_worker_would_stop(
    millstream: Millstream, write: Write, tmp_path: Path
) -> None:
    bad = [{"id": n, "https": n * 1e200} for n in range(12)]
    rows = jsonl(tmp_path / "bad.jsonl", [*events(0, 5), *bad, {"id": 99, "https": 1}])
    settings = write(inline(kafka=KAFKA, dead_letters={"window": 10}))
    found = orjson.loads(millstream("evaluate", settings, rows, "--json").out)
    assert found["predictions"] == 5
    reasons = {"feature_value": 11}
    assert found["dead_letters"] == {"validate": reasons, "label": {"label_missing": 2}}
    assert "of the last 10 records went to dead letters" in found["stops"]
    shown = millstream("evaluate", settings, rows)
    assert "dead letters (label)" in shown.out
    assert "a worker would have stopped" in shown.out
    assert shown.exit_code == 0


def test_labels_come_so_many_events_later_or_from_a_file_of_their_own(
    millstream: Millstream, write: Write, tmp_path: Path
) -> None:
    rows = jsonl(tmp_path / "events.jsonl", events(0, 300))
    settings = late({"label": "phishing", "timestamp": "at"}, kafka=KAFKA)
    settings["events"]["timestamp"] = "at"
    path = write(settings)
    after = orjson.loads(millstream("evaluate", path, rows, "--labels-after", 3, "--json").out)
    labels = [{"id": n, "phishing": PHISHING[n][1], "at": (n + 3) * 1_000} for n in range(300)]
    for row in (bare := events(0, 300)):
        del row["phishing"]
    beside = orjson.loads(
        millstream(
            "evaluate", path, jsonl(tmp_path / "bare.jsonl", bare),
            "--labels", jsonl(tmp_path / "labels.jsonl", labels), "--json",
        ).out
    )  # fmt: skip
    for found in (after, beside):
        del found["seconds"], found["rate"]
    assert after == beside
    assert (after["labels"], after["scored"], after["waiting"]) == (300, 300, 0)


def test_predictions_whose_labels_do_not_come_expire_and_are_not_scored(
    millstream: Millstream, write: Write, tmp_path: Path
) -> None:
    settings = late({"label": "phishing", "wait": "30s", "on_timeout": {"assume": False}})
    settings |= {"kafka": KAFKA, "events": {**settings["events"], "timestamp": "at"}}
    rows = events(0, 100)
    for row in rows[10:]:
        del row["phishing"]
    found = orjson.loads(
        millstream(
            "evaluate", write(settings), jsonl(tmp_path / "rows.jsonl", rows),
            "--labels-delay", "5s", "--json",
        ).out
    )  # fmt: skip
    assert found["scored"] == 10
    assert found["expired"] + found["waiting"] == 90
    assert found["learned"] == 10 + found["expired"]


@pytest.mark.parametrize(
    ("model", "rows", "names"),
    [
        (
            "preprocessing.StandardScaler() | linear_model.LinearRegression()",
            [{"id": n, "x": n % 7, "y": 2.0 * (n % 7)} for n in range(200)],
            {"MAE", "RMSE", "R2"},
        ),
        (
            "naive_bayes.GaussianNB()",
            [{"id": n, "x": n % 3 + 0.1 * (n % 2), "y": "abc"[n % 3]} for n in range(200)],
            {"Accuracy", "MacroF1", "BalancedAccuracy", "CohenKappa"},
        ),
    ],
)
def test_metrics_are_those_of_the_kind_of_model(
    millstream: Millstream,
    write: Write,
    tmp_path: Path,
    model: str,
    rows: list[dict[str, Any]],
    names: set[str],
) -> None:
    settings = inline(
        kafka=KAFKA,
        events={"topic": "t", "id": "id", "features": ["x"], "label": "y"},
        model={"river": model},
    )
    result = millstream("evaluate", write(settings), jsonl(tmp_path / "x.jsonl", rows), "--json")
    assert set(orjson.loads(result.out)["metrics"]) == names


@pytest.mark.parametrize(
    ("model", "metrics", "spread"),
    [
        (
            "anomaly.HalfSpaceTrees(seed=1, window_size=50)",
            {"ROCAUC"},
            {"score p50", "score p90", "score p99", "score max"},
        ),
        (
            "anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=1, window_size=50), q=0.95)",
            {"ROCAUC", "Accuracy", "F1", "Precision", "Recall"},
            {"score p50", "score p90", "score p99", "score max", "anomalies"},
        ),
        (
            "cluster.DBSTREAM()",
            {"AdjustedRand", "VBeta"},
            None,
        ),
    ],
)
def test_models_that_learn_from_no_label_are_held_against_one_beside(
    millstream: Millstream,
    write: Write,
    tmp_path: Path,
    model: str,
    metrics: set[str],
    spread: set[str] | None,
) -> None:
    rows = [
        {"id": n, "x": 0.9 if n % 40 == 39 else 0.2 + n % 5 / 100, "odd": n % 40 == 39}
        for n in range(400)
    ]
    settings = inline(
        kafka=KAFKA,
        events={"topic": "t", "id": "id", "features": ["x"]},
        labels={"from": "none"},
        model={"river": model},
    )
    path, file = write(settings), jsonl(tmp_path / "x.jsonl", rows)
    found = orjson.loads(millstream("evaluate", path, file, "--truth", "odd", "--json").out)
    assert set(found["metrics"]) == metrics
    if spread is not None:
        assert set(found["spread"]) == spread
        assert found["metrics"]["ROCAUC"] > 0.9
    assert orjson.loads(millstream("evaluate", path, file, "--json").out)["metrics"] == {}


@pytest.mark.parametrize(
    ("make", "arguments", "sentence"),
    [
        (inline, ["gone.jsonl"], "cannot read gone.jsonl"),
        (inline, ["river:Nothing"], "is not one of River's data sets"),
        (inline, ["river:Phishing", "--labels-after", "3"], "labels.from is event"),
        (late, ["river:Phishing"], "say when labels come"),
        (late, ["river:Phishing", "--labels-delay", "soon"], "is no duration"),
        (inline, ["river:Phishing", "--truth", "https"], "would be shown https"),
        (inline, ["payments", "--labels-after", "3"], "are for files"),
        (inline, ["payments", "--labels", "verdicts"], "--labels only means something"),
        (inline, ["payments"], "127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_sentence(
    millstream: Millstream, write: Write, make: Any, arguments: list[str], sentence: str
) -> None:
    result = millstream("evaluate", write(make(kafka=KAFKA)), *arguments)
    assert result.exit_code == 2
    assert sentence in result.err
    assert result.err.count("\n") == 1


def test_a_topic_is_read_to_its_end_and_left_as_it_is(
    kafka: Kafka, millstream: Millstream, tmp_path: Path
) -> None:
    app = kafka.unique("dry")
    settings = late({"topic": f"{app}.verdicts", "label": "phishing", "timestamp": "at"})
    settings |= {
        "app": app,
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "events": {"topic": app, "id": "id", "features": FEATURES, "timestamp": "at"},
    }
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    kafka.create_topics(app, f"{app}.verdicts", partitions=2)
    rows = events(0, 200)
    kafka.produce(app, [(str(r["id"]), orjson.dumps(r), None, None, r["id"] % 2) for r in rows])
    kafka.produce(
        f"{app}.verdicts",
        [
            (str(r["id"]), orjson.dumps({"id": r["id"], "phishing": r["phishing"],
             "at": r["at"] + 2_500}), None, None, r["id"] % 2)
            for r in rows
        ],
    )  # fmt: skip
    result = millstream("evaluate", tmp_path / "app.yaml", app, "--json")
    found = orjson.loads(result.out)
    assert (found["events"], found["labels"], found["scored"]) == (200, 200, 200)
    assert found["metrics"]["Accuracy"] > 0.5
    assert not [name for name in kafka.admin.list_topics(timeout=10).topics if f"{app}." in name
                and not name.endswith("verdicts")]  # fmt: skip
    groups = kafka.admin.list_consumer_groups().result().valid
    assert not [group for group in groups if group.group_id == app]
    result = millstream("evaluate", tmp_path / "app.yaml", f"{app}-gone")
    assert (result.exit_code, result.err.count("\n")) == (2, 1)
    assert f"there is no topic {app}-gone" in result.err
