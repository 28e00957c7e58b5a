"""State as the fold of a shard's own logs: how a shard comes to what it was.

What a runner reads of the logs goes through here, record by record, and nothing else makes a
shard: not at start, not after a rebalance, not after an abort. Exactness goes by source position,
never by id: a record that stands twice in a log (at least once only) counts once, and records of
an owner that a later one has replaced do not count at all.
"""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from millstream.core.join.join import EarlyLabel, PendingPrediction
from millstream.core.join.pending_store import compact
from millstream.core.join.replay_points import ReplayPoint, ReplayPoints
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.offset_set import OffsetSet
from millstream.core.processing.settings_history import Rebuilt
from millstream.core.records import outputs
from millstream.core.records.dead_letters import our_headers
from millstream.core.records.record import InputName, Record
from millstream.core.snapshots.snapshot import SnapshotMetadata
from millstream.errors import Stop


class InputPositions:
    """How far a shard's own outputs say that its inputs were worked off."""

    def __init__(self, events_topic: str, labels_topic: str | None) -> None:
        self._sides: dict[str, InputName] = {events_topic: "events"}
        if labels_topic is not None:
            self._sides[labels_topic] = "labels"
        self.next: dict[InputName, int] = {"events": 0, "labels": 0}

    def prediction(self, record: Record) -> None:
        """Take in a record of predictions."""
        if record.value is not None:
            self.saw("events", orjson.loads(record.value)["source"]["offset"])

    def dead_letter(self, record: Record) -> None:
        """Take in a record of dead letters."""
        ours = our_headers(record.headers)
        side = self._sides.get(ours.get("millstream-topic", ""))
        if side is not None:
            self.saw(side, int(ours["millstream-offset"]))

    def saw(self, side: InputName, offset: int) -> None:
        """The input at this offset was worked off."""
        self.next[side] = max(self.next[side], offset + 1)


class OwnershipHistory:
    """Who owned a partition, one after the other, where no transaction fences the owner before.

    An owner record in `examples` is only a claim: a worker that the group has put out may write one
    before it learns of that. It counts from when the group has committed offsets in its name,
    which the broker refuses to a worker that is no member. So the owners that count are the last
    one that committed, and from there back what each of them says it came after.
    """

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        """`known`: what `chain` gave to a snapshot."""
        self._after: dict[int, int] = {int(owner): after for owner, after in (known or {}).items()}

    def chain(self, owner: int) -> dict[str, int]:
        """Owner to the one before, from this one back, as JSON holds it."""
        chain: dict[str, int] = {}
        while owner in self._after and str(owner) not in chain:
            chain[str(owner)] = self._after[owner]
            owner = self._after[owner]
        return chain

    def add(self, record: Record) -> None:
        """Take in a record of examples."""
        example = orjson.loads(record.value or b"{}")
        if example.get("kind") == "owner":
            self._after[example["owner"]] = example["after"]

    def add_all(self, records: Sequence[Record]) -> None:
        """Take in some."""
        for record in records:
            self.add(record)

    def newest(self) -> int:
        """The highest claim, whether it counts or not."""
        return max(self._after, default=0)

    def owners(self, committed: int | None) -> set[int]:
        """The owners that count; `committed` is whose offsets the group holds.

        Where the group has forgotten that, the newest claim is believed.
        """
        owner = self.newest() if committed is None else committed
        owners = {0}
        while owner not in owners:
            owners.add(owner)
            owner = self._after.get(owner, 0)
        return owners


class StoreProgress(NamedTuple):
    """Which part of the logs is in a store of waiting predictions.

    It holds the state after one certain commit, and that commit lies behind all of these.
    """

    events: int = 0
    """Predictions on events below this source offset, and no others, are in it."""
    predictions: int = 0
    """The log of predictions has nothing else below this offset."""
    examples: int = 0
    """The log of examples has nothing below this offset that would change it."""


NOTHING = StoreProgress()


class StateReplay:
    """Fills a new `DelayedLabelProcessor`: first from `examples`, then from `predictions`.

    From their start, or from where a snapshot says: what the model has learned is then in
    `processor` already, and the examples up to there only tell what no longer waits.
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

        `owners`: those whose records count (see `OwnershipHistory`); None: all. `snapshot`: what
        `processor` was
        made of, if anything; its learner holds the state, nothing else of it is set. `rebuilt`: of
        what the model was made anew, if it was. `known`: what is in the shard's store of waiting
        predictions already.
        """
        self._shard = processor
        self._owners = owners
        self._committed = committed
        self._known = known
        self._gap = False
        self._resolved = OffsetSet()
        self._predicted = OffsetSet()
        self._predicted_by: defaultdict[int, OffsetSet] = defaultdict(OffsetSet)
        self.owner = 0
        self.positions = InputPositions(processor.source.events, processor.source.labels)
        self._rebuilt = rebuilt
        self._snapshot = snapshot
        self._events_floor = 0
        if snapshot is not None:
            processor.learned = snapshot.learned
            processor.marks = ReplayPoints(snapshot.marks)
            oldest = ReplayPoint(*snapshot.marks[0])
            processor.join.latest = (oldest.stream, oldest.clock)
            # All events below were answered, and nothing of them waits.
            self._events_floor = oldest.events
            for side in processor.sides:
                self.positions.saw(side, snapshot.positions[side] - 1)
        if known.events:
            self.positions.saw("events", known.events - 1)

    def allow_gap(self) -> None:
        """Examples that the model learned are gone, and that is to be put up with.

        The numbers of the others stay what they are.
        """
        self._gap = True

    def examples(self, records: Sequence[Record]) -> None:
        """Take in some records of examples."""
        for record in records:
            self.example(record)

    def example(self, record: Record) -> None:
        """Take in a record of examples."""
        if record.value is None:
            return
        self._shard.marks.reached(record.offset, self._shard.join)
        example = orjson.loads(record.value)
        owner = example["owner"]
        if owner < self.owner or (self._owners is not None and owner not in self._owners):
            return
        self.owner = owner
        self.positions.saw("labels", example.get("labels_taken", 0) - 1)  # not in an owner record
        match example["kind"]:
            case "learned" | "expired" | "failed":
                self._resolve(record.offset, example)
            case "held":
                self._hold(example)
            case "unmatched":
                self._shard.join.take_held(example["id"])

    def _resolve(self, offset: int, example: dict[str, Any]) -> None:
        source = example["event"]["offset"]
        self.positions.saw("events", source)
        if source in self._resolved:
            return
        self._resolved.add(source)
        processor, join = self._shard, self._shard.join
        held = join.held.get(str(example["id"]))
        label_source = example.get("label_source")
        if held is not None and label_source and held.record.offset == label_source["offset"]:
            join.take_held(held.id)
        expired = "label_source" not in example
        if offset >= self._known.examples:
            join.store.discard(str(example["id"]), source)
            join.resolve(example["id"], example["time"], example["written_at"], expired=expired)
        else:
            # And still remembered, where it was.
            join.count_resolution(example["time"], example["written_at"])
        if example["kind"] == "failed" or example["label"] is None:
            return
        if not self._is_to_learn(offset, example["learned"]):
            return
        if self._gap and not self._in_rebuild(offset):
            self._gap, processor.learned = False, example["learned"] - 1
        try:
            processor.learn(example, example["label"])
        except Exception as error:
            raise self._broken(offset, f"the model raises {type(error).__name__}") from error
        if self._in_rebuild(offset):
            return  # numbered by the model before
        if processor.learned != example["learned"]:
            raise self._broken(
                offset, f"example {example['learned']} follows on example {processor.learned - 1}"
            )

    def _in_rebuild(self, offset: int) -> bool:
        return self._rebuilt is not None and offset < self._rebuilt.log_to

    def _is_to_learn(self, offset: int, number: int) -> bool:
        """Whether the model has yet to learn the example at `offset`, the `number`th."""
        if self._rebuilt is not None and offset < self._rebuilt.log_to:
            return self._snapshot is None and self._rebuilt.learns(offset)
        return self._snapshot is None or number > self._snapshot.learned

    def _broken(self, offset: int, why: str) -> Stop:
        source = self._shard.source
        return Stop(
            f"the training log, partition {source.partition} at offset {offset}, is not what the "
            f"model learned from ({why}): has its topic lost its beginning (retention, compaction) "
            "or has the model's library changed?"
        )

    def _hold(self, example: dict[str, Any]) -> None:
        source = example["label_source"]
        message = outputs.unpack_message(source["offset"], example["message"])
        self._shard.join.hold(
            EarlyLabel(
                example["id"], example["label"], source["time"], example["written_at"], message
            )
        )

    def prediction(self, record: Record) -> None:
        """Take in a record of predictions."""
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
            self._shard.predicted_offsets.add(offset)
        if offset in self._resolved or offset < self._known.events:
            return
        # Only an owner that was replaced can have predicted the same event as well: not its word
        # counts, whichever of the two stands first.
        owner = document["owner"]
        if offset in self._predicted and any(
            offset in theirs for by, theirs in self._predicted_by.items() if by >= owner
        ):
            return
        self._predicted.add(offset)
        self._predicted_by[owner].add(offset)
        self._take_back(offset, document["id"])
        if not document["waits"]:
            return
        example = {
            name: document[name]
            for name in ("features", "prediction", "probabilities", "score", "transformed")
            if name in document
        }
        waiting = PendingPrediction(
            document["id"], offset, document["event_time"], document["predicted_at"], record.key,
            compact(outputs.encode(example)),
        )  # fmt: skip
        if beyond:
            self._shard.predicted_already[offset] = waiting
        else:
            self._shard.join.take_waiting(waiting.id)  # that of an owner that was replaced
            self._shard.join.await_label(waiting)

    def _take_back(self, offset: int, identity: str | int) -> None:
        """Let the prediction on an event that was taken in already wait no longer."""
        processor = self._shard
        processor.predicted_already.pop(offset, None)
        processor.join.store.discard(str(identity), offset)

    def finish(self) -> None:
        """All logs are read: the shard knows what it must not do again."""
        self._shard.marks.folded(self._shard.join)
        processor = self._shard
        processor.labels_floor = self.positions.next["labels"]
        processor.labels_taken = max(processor.labels_floor, self._committed.get("labels") or 0)
        self._shard.events_floor = max(self._shard.predicted_offsets, default=-1) + 1
