"""Who owns a partition at least once, where no transaction fences the owner before."""

import pytest

from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.ownership import OwnershipHistory
from millstream.core.records.outputs import owner_record
from millstream.core.records.record import Output, Record
from tests.support.processors import Run, event, label, late_run, plan, record, restored

pytestmark = pytest.mark.usefixtures("each_store")


def claims(*outputs: Output) -> OwnershipHistory:
    made = OwnershipHistory()
    for offset, output in enumerate(outputs):
        made.add(Record(offset, 0, output.key, output.value, None))
    return made


def test_the_owners_that_count_are_the_committed_one_and_those_it_came_after() -> None:
    made = claims(owner_record(5, 0, 1), owner_record(7, 5, 2), owner_record(9, 5, 3))
    assert made.owners(9) == {0, 5, 9}
    assert made.newest() == 9


def test_a_claim_that_the_group_refused_does_not_count() -> None:
    # 7 was written by a worker that had been put out of the group: 5 still owns the partition.
    made = claims(owner_record(5, 0, 1), owner_record(7, 5, 2))
    assert made.owners(5) == {0, 5}


def test_where_the_group_has_forgotten_its_offsets_the_newest_claim_is_believed() -> None:
    assert claims(owner_record(5, 0, 1), owner_record(7, 5, 2)).owners(None) == {0, 5, 7}
    assert claims().owners(None) == {0}


def test_what_an_owner_learns_after_a_refused_claim_still_counts() -> None:
    run = late_run()
    run.feed(0, events=[event(0, 0, "a"), event(1, 0, "b")])
    owner = Run(DelayedLabelProcessor(plan(), epoch=0))
    owner.processor = restored(run.predictions, [owner_record(5, 0, 0)], dict(run.positions))
    owner.feed(1, labels=[label(0, 1, "a")])
    log = [owner_record(5, 0, 0), owner_record(7, 5, 1), *owner.examples]
    believed = restored(run.predictions, log, {"events": 2, "labels": 1}, owners={0, 5})
    assert believed.learner.digest() == owner.processor.learner.digest()
    assert believed.pending() == 1
    fooled = restored(run.predictions, log, {"events": 2, "labels": 1}, owners={0, 5, 7})
    assert fooled.learned == 0


def test_examples_that_are_no_claims_are_passed_over() -> None:
    made = OwnershipHistory()
    made.add(record(0, {"kind": "learned", "owner": 3}, 0))
    made.add(record(1, None, 0))
    assert made.newest() == 0
