"""A part of the matrix, chosen by a seed: `make faults` runs the whole of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.clusters import Clusters
from tests.faults.fault import Fault
from tests.faults.matrix import FAULTS, choose
from tests.faults.run import run_cell
from tests.faults.scene import Variant
from tests.support.kafka.cluster import Kafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SEED = int(os.environ.get("FAULTS_SEED", "20261121"))
CELLS = 8
"""About five minutes' worth."""


@pytest.fixture(scope="module")
def clusters(kafka: Kafka) -> Iterator[Clusters]:
    with Clusters(kafka) as started:
        yield started


@pytest.mark.parametrize(("fault", "variant"), choose(FAULTS, sample=CELLS, seed=SEED), ids=str)
def test_every_invariant_holds_after(
    clusters: Clusters, tmp_path: Path, fault: Fault, variant: Variant
) -> None:
    result = run_cell(fault, variant, clusters, tmp_path, SEED)
    assert result.error is None, f"{result.error}\n{result.story}"
    assert result.violations == [], result.story


def test_no_event_is_passed_over_where_the_ends_of_logs_are_told_late(
    clusters: Clusters, tmp_path: Path
) -> None:
    """Found by the random mix: a seek that librdkafka forgot, and events that nobody ever read."""
    ((fault, variant),) = choose(FAULTS, ["told late", "inline, exactly once"])
    result = run_cell(fault, variant, clusters, tmp_path, SEED)
    assert result.error is None, result.error
    assert result.violations == []
