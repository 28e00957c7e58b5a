"""The replay that restores the state of a processor from its own logs.

Whatever a runner reads of the logs passes through here, record by record, and nothing else restores
a processor: not at the start, not after a rebalance, not after an abort. Exactness depends on
source positions, never on ids: a record that stands twice in a log (at least once only) counts
once, and records of an owner that a later one has replaced do not count at all.
"""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Any

import orjson

from millstream.core.join.join import CompletedId, EarlyLabel, PendingPrediction
from millstream.core.join.pending_store import compact
from millstream.core.join.replay_points import ReplayPoint
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.offset_set import OffsetSet
from millstream.core.processing.progress import (
    NOTHING,
    InputPositions,
    ReplayedState,
    StoreProgress,
)
from millstream.core.processing.settings_history import Rebuilt
from millstream.core.records import outputs
from millstream.core.records.record import InputName, Record
from millstream.core.snapshots.snapshot import SnapshotMetadata
from millstream.errors import Stop


class StateReplay:
    """Fills a new `DelayedLabelProcessor`: first from `examples`, then from `predictions`.

    It begins at the start of the logs, or where a snapshot says. The processor's model has learned
    the examples before that point already, so they only show which predictions no longer wait.
    """

    def __init__(
        self,
        processor: DelayedLabelProcessor,
        committed: Mapping[InputName, int | None],
        owners: Container[int] | None = None,
        snapshot: SnapshotMetadata | None = None,
        rebuilt: Rebuilt | None = None,
        known: StoreProgress = NOTHING,
    ) -> None:
        """`committed`: the group's committed offsets, None where there are none.

        `owners`: those whose records count (see `OwnershipHistory`); None: all. `snapshot`: the
        metadata of the one that `processor`'s learner was loaded from. `rebuilt`: the latest
        rebuild of the model. `known`: the part of the logs that is in the processor's store of
        pending predictions already.
        """
        self._processor = processor
        self._join = processor.join
        self._owners = owners
        self._committed = committed
        self._known = known
        self._gap = False
        self._completed = OffsetSet()
        self._predicted = OffsetSet()
        self._predicted_by: defaultdict[int, OffsetSet] = defaultdict(OffsetSet)
        self._uncommitted: dict[int, PendingPrediction] = {}
        self._uncommitted_offsets: set[int] = set()
        self.epoch = 0
        """The owner that wrote the last example that counts."""
        self.positions = InputPositions(processor.source.events, processor.source.labels)
        self._rebuilt = rebuilt
        self._snapshot = snapshot
        self._events_floor = 0
        if snapshot is not None:
            processor.start_from(snapshot)
            # All events below were answered, and none of their predictions waits.
            self._events_floor = ReplayPoint(*snapshot.marks[0]).events
            for name in processor.inputs:
                self.positions.saw(name, snapshot.positions[name] - 1)
        if known.events:
            self.positions.saw("events", known.events - 1)

    def allow_gap(self) -> None:
        """Tolerate that examples are gone which the model learned.

        The numbers of the others stay as they are.
        """
        self._gap = True

    # -- examples -----------------------------------------------------------------------------

    def examples(self, records: Sequence[Record]) -> None:
        """Apply some records of examples."""
        for record in records:
            self.example(record)

    def example(self, record: Record) -> None:
        """Apply a record of examples."""
        if record.value is None:
            return
        self._processor.replay_reaches(record.offset)
        example = orjson.loads(record.value)
        epoch = example["owner"]
        if epoch < self.epoch or (self._owners is not None and epoch not in self._owners):
            return
        self.epoch = epoch
        self.positions.saw("labels", example.get("labels_taken", 0) - 1)  # not in an owner record
        match example["kind"]:
            case "learned" | "expired" | "failed":
                self._complete(record.offset, example)
            case "held":
                self._add_early(example)
            case "unmatched":
                self._join.take_early(example["id"])

    def _complete(self, offset: int, example: dict[str, Any]) -> None:
        source = example["event"]["offset"]
        self.positions.saw("events", source)
        if source in self._completed:
            return
        self._completed.add(source)
        label_source = example.get("label_source")
        self._join.replay_completion(
            example["id"],
            source,
            CompletedId(example["time"], example["written_at"], expired=label_source is None),
            label=None if label_source is None else label_source["offset"],
            stored=offset < self._known.examples,
        )
        if example["kind"] == "failed" or example["label"] is None:
            return
        if self._must_be_learned(offset, example["learned"]):
            self._learn(offset, example)

    def _learn(self, offset: int, example: dict[str, Any]) -> None:
        processor, in_rebuild = self._processor, self._in_rebuild(offset)
        if self._gap and not in_rebuild:
            self._gap, processor.learned = False, example["learned"] - 1
        try:
            processor.training_log.learn(example, example["label"])
        except Exception as error:
            raise self._mismatch(offset, f"the model raises {type(error).__name__}") from error
        # Those in a rebuild are numbered by the model before.
        if not in_rebuild and processor.learned != example["learned"]:
            raise self._mismatch(
                offset, f"example {example['learned']} follows on example {processor.learned - 1}"
            )

    def _in_rebuild(self, offset: int) -> bool:
        return self._rebuilt is not None and offset < self._rebuilt.log_to

    def _must_be_learned(self, offset: int, number: int) -> bool:
        """Whether the model has yet to learn the example at `offset`, the `number`th."""
        if self._rebuilt is not None and offset < self._rebuilt.log_to:
            return self._snapshot is None and self._rebuilt.learns(offset)
        return self._snapshot is None or number > self._snapshot.learned

    def _mismatch(self, offset: int, why: str) -> Stop:
        partition = self._processor.source.partition
        return Stop(
            f"the training log, partition {partition} at offset {offset}, is not what the "
            f"model learned from ({why}): has its topic lost its beginning (retention, compaction) "
            "or has the model's library changed?"
        )

    def _add_early(self, example: dict[str, Any]) -> None:
        source = example["label_source"]
        message = outputs.unpack_message(source["offset"], example["message"])
        self._join.add_early(
            EarlyLabel(
                example["id"], example["label"], source["time"], example["written_at"], message
            )
        )

    # -- predictions --------------------------------------------------------------------------

    def prediction(self, record: Record) -> None:
        """Apply a record of predictions."""
        if record.value is None:
            return
        document = orjson.loads(record.value)
        offset = document["source"]["offset"]
        self.positions.saw("events", offset)
        if offset < self._events_floor:
            return
        committed = self._committed.get("events")
        beyond = committed is not None and offset >= committed
        if beyond:
            self._uncommitted_offsets.add(offset)
        if offset in self._completed or offset < self._known.events:
            return
        # Only an owner that was replaced can have predicted the same event as well: its record does
        # not count, whichever of the two stands first.
        epoch = document["owner"]
        if offset in self._predicted and any(
            offset in theirs for by, theirs in self._predicted_by.items() if by >= epoch
        ):
            return
        self._predicted.add(offset)
        self._predicted_by[epoch].add(offset)
        # That of an owner before, of the same event.
        self._uncommitted.pop(offset, None)
        self._join.drop_pending(document["id"], offset)
        if not document["waits"]:
            return
        pending = _pending_of(document, record.key)
        if beyond:
            self._uncommitted[offset] = pending
        else:
            self._join.replace_pending(pending)

    # -- the end ------------------------------------------------------------------------------

    def finish(self) -> None:
        """Hand the result to the processor: all logs have been read."""
        floor = self.positions.next["labels"]
        consumed = max(floor, self._committed.get("labels") or 0)
        self._processor.load(
            ReplayedState(self.epoch, floor, consumed, self._uncommitted, self._uncommitted_offsets)
        )

    def store_progress(self, events: int, predictions: int, examples: int) -> StoreProgress:
        """Return the part of the logs, up to these ends, that the store holds now."""
        # Predictions beyond the committed offset are not in the store, but in the processor: the
        # next restore has to read them again.
        return StoreProgress(events, 0 if self._uncommitted_offsets else predictions, examples)


def _pending_of(document: dict[str, Any], key: bytes | None) -> PendingPrediction:
    example: dict[str, Any] = {
        name: document[name]
        for name in ("features", "prediction", "probabilities", "score", "transformed")
        if name in document
    }
    return PendingPrediction(
        document["id"], document["source"]["offset"], document["event_time"],
        document["predicted_at"], key, compact(outputs.encode(example)),
    )  # fmt: skip
