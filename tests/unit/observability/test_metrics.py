"""Metrics: what is counted, and what a scrape shows."""

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from millstream.core.monitoring.quality import quality
from millstream.core.records.record import REASONS
from millstream.observability.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_counts_of_an_outcome_are_added_to_their_counters() -> None:
    metrics = Metrics()
    counts = {
        ("consumed", "events"): 3,
        ("consumed", "labels"): 2,
        ("predicted",): 2,
        ("learned",): 1,
        ("dead_lettered", "decode", "not_json"): 1,
        ("skipped", "tombstone"): 4,
        ("skipped", "duplicate_label"): 5,
        ("skipped", "replayed"): 6,
        ("expired", "drop"): 7,
        ("expired", "assume"): 8,
        ("repeated_id",): 9,
        ("unlabelled",): 10,
        ("unknown_fields",): 11,
        ("held",): 12,
    }
    metrics.batches.add(counts)
    metrics.batches.add(counts)
    assert value(metrics, "millstream_consumed_total", side="events") == 6
    assert value(metrics, "millstream_consumed_total", side="labels") == 4
    assert value(metrics, "millstream_predicted_total") == 4
    assert value(metrics, "millstream_learned_total") == 2
    decoded = {"stage": "decode", "reason": "not_json"}
    assert value(metrics, "millstream_dead_lettered_total", **decoded) == 2
    assert value(metrics, "millstream_skipped_total", why="replayed") == 12
    assert value(metrics, "millstream_expired_total", outcome="assume") == 16
    assert value(metrics, "millstream_repeated_id_total") == 18
    assert value(metrics, "millstream_unlabelled_total") == 20
    assert value(metrics, "millstream_unknown_fields_total") == 22
    assert value(metrics, "millstream_held_total") == 24


@pytest.mark.parametrize("key", [("comsumed", "events"), ("consumed",), ("skipped", "mood")])
def test_a_count_that_no_metric_stands_for_is_an_error(key: tuple[str, ...]) -> None:
    with pytest.raises(KeyError):
        Metrics().batches.add({key: 1})


def test_every_reason_of_a_dead_letter_is_there_from_zero() -> None:
    metrics = Metrics()
    for reason, (stage, _) in REASONS.items():
        labels = {"stage": stage, "reason": reason}
        assert value(metrics, "millstream_dead_lettered_total", **labels) == 0


def test_latencies_of_a_batch_land_in_the_buckets_of_single_ones() -> None:
    metrics = Metrics()
    name = "millstream_end_to_end_latency_seconds"
    now = 10_000_000
    metrics.batches.observe_latency(
        [now - 1, now - 10, now - 11, now - 1_000, now - 9_000_000], now
    )
    assert value(metrics, f"{name}_bucket", le="0.001") == 1
    assert value(metrics, f"{name}_bucket", le="0.01") == 2
    assert value(metrics, f"{name}_bucket", le="0.025") == 3
    assert value(metrics, f"{name}_bucket", le="1.0") == 4
    assert value(metrics, f"{name}_bucket", le="3600.0") == 4
    assert value(metrics, f"{name}_bucket", le="+Inf") == 5
    assert value(metrics, f"{name}_count") == 5
    assert value(metrics, f"{name}_sum") == pytest.approx(0.001 + 0.010 + 0.011 + 1 + 9_000)


def test_latency_leaves_out_events_without_a_timestamp_and_takes_future_ones_as_zero() -> None:
    metrics = Metrics()
    metrics.batches.observe_latency([], 1_000)
    metrics.batches.observe_latency([-1, 5_000], 1_000)
    assert value(metrics, "millstream_end_to_end_latency_seconds_count") == 1
    assert value(metrics, "millstream_end_to_end_latency_seconds_sum") == 0


def test_label_delays_of_a_batch_are_seconds_and_an_early_label_has_none() -> None:
    metrics = Metrics()
    metrics.batches.observe_label_delays([])
    metrics.batches.observe_label_delays([-5_000, 500, 90_000])
    name = "millstream_label_delay_seconds"
    assert value(metrics, f"{name}_bucket", le="0.1") == 1
    assert value(metrics, f"{name}_bucket", le="1.0") == 2
    assert value(metrics, f"{name}_sum") == pytest.approx(90.5)


def test_quality_is_counted_by_outcome_and_the_errors_of_numbers_add_up() -> None:
    metrics = Metrics()
    metrics.batches.add_quality(quality([(True, True), (True, True), (False, True)], "classifier"))
    metrics.batches.add_quality(quality([(1.5, 2), (4, 2)], "regressor"))
    assert value(metrics, "millstream_scored_total", outcome="true_positive") == 2
    assert value(metrics, "millstream_scored_total", outcome="false_negative") == 1
    assert value(metrics, "millstream_scored_total", outcome="false_positive") == 0
    assert value(metrics, "millstream_scored_total", outcome="number") == 2
    assert value(metrics, "millstream_absolute_error_total") == 2.5


def test_every_sample_says_of_which_app_and_topic_it_is() -> None:
    metrics = Metrics("fraud", {"events": "payments", "labels": "verdicts"})
    metrics.batches.add({("consumed", "labels"): 2, ("predicted",): 1})
    metrics.batches.observe_latency([1], 2)
    lines = generate_latest(metrics.registry).decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if 'app="fraud"' not in line] == []
    assert 'millstream_consumed_total{app="fraud",side="labels",topic="verdicts"} 2.0' in samples
    assert 'millstream_predicted_total{app="fraud"} 1.0' in samples


def test_a_shard_shows_one_model_at_a_time_and_none_once_it_went_away() -> None:
    metrics = Metrics()
    labels = {"partition": "1", "model": "fraud"}
    metrics.partitions.set_model(1, "fraud", "a")
    metrics.partitions.set_model(1, "fraud", "b")
    assert value(metrics, "millstream_model_info", **labels, version="a") is None
    assert value(metrics, "millstream_model_info", **labels, version="b") == 1
    metrics.partitions.remove_partition(1)
    assert value(metrics, "millstream_model_info", **labels, version="b") is None
    metrics.partitions.set_model(1, "fraud", "b")
    assert value(metrics, "millstream_model_info", **labels, version="b") == 1


def test_progress_is_asked_for_at_each_scrape() -> None:
    metrics, seconds = Metrics(), [1.0]
    metrics.watch_progress(lambda: seconds[0])
    assert value(metrics, "millstream_seconds_since_progress") == 1
    seconds[0] = 45.0
    assert value(metrics, "millstream_seconds_since_progress") == 45


def test_gauges_of_a_partition_that_went_away_are_gone() -> None:
    metrics = Metrics()
    for partition in (1, 11):
        metrics.partitions.set_pending(partition, pending=5, early=2)
        metrics.partitions.set_learned(partition, 70)
        metrics.partitions.set_lag("events", partition, records=9, seconds=0.5)
        metrics.partitions.set_lag("labels", partition, records=8, seconds=0.25)
    metrics.partitions.remove_partition(1)
    exposition = generate_latest(metrics.registry).decode()
    assert 'partition="1"' not in exposition
    assert value(metrics, "millstream_waiting_labels", partition="11") == 5
    assert value(metrics, "millstream_held_labels", partition="11") == 2
    assert value(metrics, "millstream_learned_examples", partition="11") == 70
    assert value(metrics, "millstream_lag_records", partition="11", side="events") == 9
    assert value(metrics, "millstream_lag_seconds", partition="11", side="labels") == 0.25


def test_a_partition_that_never_had_gauges_can_go_away() -> None:
    Metrics().partitions.remove_partition(3)


def test_transactions_rebalances_stages_batches_and_shards_are_shown() -> None:
    metrics = Metrics()
    metrics.batches.count_transaction("aborted")
    metrics.count_rebalance("lost")
    metrics.batches.observe_stage("commit", 0.02)
    metrics.batches.observe_batch(12)
    metrics.set_shards(assigned=3, restored=2)
    assert value(metrics, "millstream_transactions_total", result="aborted") == 1
    assert value(metrics, "millstream_transactions_total", result="committed") == 0
    assert value(metrics, "millstream_rebalances_total", change="lost") == 1
    assert value(metrics, "millstream_stage_duration_seconds_sum", stage="commit") == 0.02
    assert value(metrics, "millstream_batch_records_sum") == 12
    assert value(metrics, "millstream_shards", state="assigned") == 3
    assert value(metrics, "millstream_shards", state="restored") == 2


def test_the_page_on_monitoring_names_every_metric_with_its_meaning() -> None:
    page = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", page, re.MULTILINE))
    suffix = {"counter": "_total", "info": "_info"}
    assert rows == {
        f"{family.name}{suffix.get(family.type, '')}": family.documentation
        for family in Metrics().registry.collect()
    }


def test_two_workers_in_a_process_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.batches.add({("learned",): 1})
    assert value(other, "millstream_learned_total") == 0


def test_every_metric_carries_the_prefix_and_a_meaning() -> None:
    for family in Metrics().registry.collect():
        assert family.name.startswith("millstream_")
        assert family.documentation
