"""Restore of a partition whose labels come on a topic of their own."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal, NamedTuple

from millstream import _failpoints as failpoints
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.ownership import OwnershipHistory
from millstream.core.processing.progress import NOTHING, StoreProgress
from millstream.core.processing.replay import StateReplay
from millstream.core.processing.settings_history import PartitionMetadata
from millstream.core.records.record import InputName, Record
from millstream.state.ports import Steps
from millstream.state.restore_steps import (
    LogSpan,
    Positions,
    RestoreResult,
    RestoreSteps,
    StartPoint,
)


class Ownership(NamedTuple):
    """The owners of a partition, this worker included if it announces itself."""

    valid: Collection[int] | None
    """Owners whose records count; None: all, because transactions fence the others."""
    chain: dict[str, int]
    """The same, each with the one before: see `OwnershipHistory.chain`."""


class Replay(NamedTuple):
    """A processor that is filled from the logs, and where they ended."""

    processor: DelayedLabelProcessor
    state: StateReplay
    retained: StoreProgress
    """What the store of pending predictions held before."""


class LogEnds(NamedTuple):
    """The offsets up to which the logs were read."""

    examples: int
    predictions: int


class DelayedRestore(RestoreSteps):
    """Replays the examples, then the predictions, each from where the snapshot needs it."""

    def run(self) -> Steps[RestoreResult]:
        """All steps, in their order."""
        metadata = yield from self.read_metadata()
        start = yield from self.find_start(metadata)
        ownership = yield from self._take_ownership(start)
        replay = self._new_replay(metadata.control, start, ownership)
        yield None
        ends = yield from self._replay_logs(start, replay)
        processor = replay.processor
        positions = self._complete(replay)
        _, notes = self.settings_versions(metadata.control, positions["events"])
        self.request.store.restored(
            replay.state.store_progress(positions["events"], ends.predictions, ends.examples)
        )
        return self.finish(
            metadata, start, processor, positions, notes,
            ownership.chain, store_retained=replay.retained != NOTHING,
        )  # fmt: skip

    def _take_ownership(self, start: StartPoint) -> Steps[Ownership]:
        """Read who owned the partition, and announce this worker as the next owner.

        The state is built on what the log holds when the announcement is in it.
        """
        if self.settings.processing_guarantee != "at_least_once":
            return Ownership(None, {})
        history = OwnershipHistory(start.snapshot.about.claims if start.snapshot else None)
        span = self.span(self.settings.topic("examples"), _log_start(start, "examples"))
        yield self.read(span, history.add_all)
        valid = history.owners(self.request.committed_owner)
        before = max(valid)
        chain = history.chain(before)
        log, context = self.context.epoch_log, self.context
        if log is not None:  # a read-only command leaves the partition to its owner
            owner = max(history.newest() + 1, context.clock())
            log.claim(self.request.partition, owner, before)
            failpoints.reach("after_claim")
            valid = valid | {owner}
            chain[str(owner)] = before
        yield None
        return Ownership(valid, chain)

    def _new_replay(
        self, control: PartitionMetadata, start: StartPoint, ownership: Ownership
    ) -> Replay:
        """An empty processor over the retained store, and the replay that fills it."""
        request = self.request
        retained = request.store.begin_restore(request.committed.get("events"))
        config = self.processor_config(control, start, (self.current_settings(0),))
        processor = DelayedLabelProcessor(config, store=request.store.store)
        state = StateReplay(
            processor, request.committed, ownership.valid,
            start.snapshot.about if start.snapshot else None, control.rebuilt, retained,
        )  # fmt: skip
        return Replay(processor, state, retained)

    def _replay_logs(self, start: StartPoint, replay: Replay) -> Steps[LogEnds]:
        """Read the examples, the predictions and, where an offset is missing, the dead letters."""
        topic = self.settings.topic
        needed_by = "" if start.snapshot else "what the model learned"
        examples = self.span(topic("examples"), _log_start(start, "examples"), needed_by=needed_by)
        if examples.gone:
            replay.state.allow_gap()
        yield self.read(examples, replay.state.examples)
        begin = max(_log_start(start, "predictions"), replay.retained.predictions)
        predictions = self.span(topic("predictions"), begin)
        yield self.read(predictions, self._prediction_sink(predictions, replay.state))
        if self.request.offset_missing():
            yield self.read_each("dead_letters", replay.state.positions.dead_letter)
        return LogEnds(examples.end, predictions.end)

    def _prediction_sink(
        self, span: LogSpan, state: StateReplay
    ) -> Callable[[Sequence[Record]], None]:
        """A sink of predictions; the first record shows whether any that is gone may be pending."""
        gone = span.gone

        def take(records: Sequence[Record]) -> None:
            nonlocal gone
            if gone:
                self.gaps.warn_of_cut(span.topic, records[0], gone, self.context.clock())
                gone = 0
            for record in records:
                state.prediction(record)

        return take

    def _complete(self, replay: Replay) -> Positions:
        """End the replay; returns the offsets to fetch from."""
        processor, state = replay.processor, replay.state
        state.finish()
        topics: dict[InputName, str] = {
            "events": processor.source.events, "labels": processor.source.labels or ""
        }  # fmt: skip
        return {
            name: self.position(name, topics[name], state.positions) for name in processor.inputs
        }


def _log_start(start: StartPoint, log: Literal["predictions", "examples"]) -> int:
    """The offset from which a log has to be read."""
    return start.snapshot.about.logs[log] if start.snapshot else 0
