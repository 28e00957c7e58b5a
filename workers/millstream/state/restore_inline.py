"""Restore of a partition whose model learns from the events themselves, or not at all."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from millstream.core.processing.inline_labels import InlineLabelProcessor
from millstream.core.processing.processor import PartitionProcessor
from millstream.core.processing.progress import InputPositions
from millstream.core.processing.settings_history import Rebuilt
from millstream.core.records.record import Output, Record
from millstream.errors import StateInvalid, Stop
from millstream.state.ports import Steps
from millstream.state.restore_steps import (
    LogSpan,
    Metadata,
    RestoreRequest,
    RestoreResult,
    RestoreSteps,
    StartPoint,
)


class InlineRestore(RestoreSteps):
    """Replays the events, from the snapshot up to the committed offset."""

    def __init__(self, request: RestoreRequest) -> None:
        super().__init__(request)
        self._topic = self.settings.events.topic

    def run(self) -> Steps[RestoreResult]:
        """All steps, in their order."""
        metadata = yield from self.read_metadata()
        start = yield from self.find_start(metadata)
        seen = yield from self._read_positions(start)
        position = self.position("events", self._topic, seen)
        processor, notes = yield from self._replay(metadata, start, position)
        return self.finish(metadata, start, processor, {"events": position}, notes, {})

    def _read_positions(self, start: StartPoint) -> Steps[InputPositions]:
        """Find how far the outputs reach, where the group has no offset."""
        seen = InputPositions(self._topic, None)
        if start.snapshot is not None:
            seen.saw("events", start.snapshot.about.positions["events"] - 1)
        if self.request.offset_missing():
            yield self.read_each("predictions", seen.prediction)
            yield self.read_each("dead_letters", seen.dead_letter)
        return seen

    def _replay(
        self, metadata: Metadata, start: StartPoint, position: int
    ) -> Steps[tuple[PartitionProcessor, list[Output]]]:
        """Build the processor, and let it learn from the events below `position` again."""
        control, snapshot = metadata.control, start.snapshot
        versions, notes = self.settings_versions(control, position)
        processor = InlineLabelProcessor(self.processor_config(control, start, versions))
        begin = versions[0].start
        if snapshot is not None:
            begin = snapshot.about.positions["events"]
            processor.learned = snapshot.about.learned
        if self.context.replays_events and begin < position:
            # What was too large is in the metadata; today's limit says nothing of then.
            processor.source = replace(start.source, max_bytes=sys.maxsize)
            span = self._events_span(start, begin, position)
            yield self.read(span, self._learner(processor, control.rebuilt))
        else:
            yield None
        return processor, notes

    def _events_span(self, start: StartPoint, begin: int, position: int) -> LogSpan:
        """The events from `begin` on that are still there. Raises `Stop` where some are gone."""
        low, _ = self.context.reader.bounds(self._topic, self.request.partition)
        if low > begin:
            why = f" (a snapshot was passed over: {start.rejected})" if start.rejected else ""
            self.gaps.check_start(self._topic, begin, low, f"what the model learned{why}")
        return LogSpan(self._topic, max(low, begin), position, max(0, low - begin))

    def _learner(
        self, processor: PartitionProcessor, rebuilt: Rebuilt | None
    ) -> Callable[[Sequence[Record]], None]:
        """A sink that learns from events, without those that a rebuild has left out."""

        def learn(records: Sequence[Record]) -> None:
            if rebuilt is not None:
                records = [
                    r for r in records if r.offset >= rebuilt.log_to or rebuilt.learns(r.offset)
                ]
            try:
                processor.process({"events": records}, {}, 0)
            except StateInvalid as broken:
                raise Stop(
                    f"{self._topic} partition {self.request.partition}, {broken}: the model did "
                    "not break here when it first learned from this log; has its library changed?"
                ) from broken

        return learn
