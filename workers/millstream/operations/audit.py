"""Audits of predictions: recomputation from snapshots and logs, and comparison."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from typing import Final

import orjson

from millstream.core.processing.processor import PartitionProcessor
from millstream.core.records import outputs
from millstream.core.records.audit import Audited, RecordedPrediction, answer_in, compare
from millstream.core.records.record import BatchResult
from millstream.core.snapshots.manifest import ManifestEntry
from millstream.errors import DeadLetter, Stop
from millstream.kafka.group_offsets import GroupOffsets
from millstream.kafka.log_reader import read_offset_range
from millstream.operations.point_in_time import LogTruncated, PointInTimeReplay, ReplayStart
from millstream.state.restore_context import KafkaRestoreContext

AuditedByPartition = dict[int, dict[str, object]]
_STRANGER: Final = (
    "it was made by a worker that had lost its partition to another one, so its weights are not "
    "those of the log"
)
"""At least once only: see `core.processing.ownership`."""


class Auditor:
    """Audits the predictions of one app."""

    def __init__(self, context: KafkaRestoreContext) -> None:
        self._restorer = context
        self._settings = context.settings
        self.passed_over: dict[str, str] = {}
        """Name of each bad snapshot to the reason; the one before was used instead."""

    def audit(self, found: Iterable[RecordedPrediction]) -> list[Audited]:
        """Recompute predictions; returns the results in the order of `found`."""
        by_partition: dict[int, list[RecordedPrediction]] = defaultdict(list)
        found = list(found)
        for each in found:
            by_partition[each.partition].append(each)
        audited: dict[tuple[int, int], Audited] = {}
        offsets = GroupOffsets(self._settings, self._settings.inputs)
        try:
            for partition, mine in by_partition.items():
                past = PointInTimeReplay(self._restorer, partition, offsets.of(partition)[1])
                for done in self._audit(past, mine):
                    audited[partition, done.recorded.offset] = done
                self.passed_over |= past.passed_over
        finally:
            offsets.close()
        return [audited[each.partition, each.offset] for each in found]

    def _audit(self, past: PointInTimeReplay, found: list[RecordedPrediction]) -> list[Audited]:
        of_today = [each for each in found if each.version == past.version]
        done = [
            Audited(each, "unknown", why=_of_another(each.version, past.version))
            for each in found if each.version != past.version
        ]  # fmt: skip
        if not self._restorer.learns:
            return done + [self._static(past, each) for each in of_today]
        # Each from the newest snapshot that is not newer than itself.
        groups: dict[str | None, tuple[ReplayStart | None, list[RecordedPrediction]]] = {}
        for each in of_today:
            begin = self._begin(past, each, groups)
            groups.setdefault(begin.name if begin else None, (begin, []))[1].append(each)
        for begin, group in groups.values():
            replay = self._late if self._restorer.late else self._inline
            try:
                done += replay(past, begin, group)
            except (LogTruncated, Stop) as gone:
                done += [Audited(each, "unknown", why=str(gone)) for each in group]
        return done

    def _begin(
        self, past: PointInTimeReplay, recorded: RecordedPrediction,
        opened: dict[str | None, tuple[ReplayStart | None, list[RecordedPrediction]]],
    ) -> ReplayStart | None:  # fmt: skip
        def fits(pointer: ManifestEntry) -> bool:
            before = self._restorer.late or pointer.positions["events"] <= recorded.source
            return before and pointer.learned <= recorded.learned

        while (pointer := past.newest(fits)) is not None:
            if pointer.name in opened:
                return opened[pointer.name][0]
            if (begin := past.open(pointer)) is not None:
                return begin
        return None

    # -- inline labels, or none: the replay itself predicts ---------------------------------------

    def _inline(
        self, past: PointInTimeReplay, begin: ReplayStart | None, group: list[RecordedPrediction]
    ) -> list[Audited]:
        wanted = {each.source for each in group}
        made: AuditedByPartition = {}
        with closing(past.events(begin, max(wanted) + 1)) as results:
            for result in results:
                made |= _predicted(result, wanted)
        return [self._of_replay(each, made.get(each.source), begin) for each in group]

    def _of_replay(
        self,
        recorded: RecordedPrediction,
        document: dict[str, object] | None,
        begin: ReplayStart | None,
    ) -> Audited:
        name = begin.name if begin else None
        if document is None:
            return Audited(recorded, "different", why="the replay makes no prediction of its event",
                           snapshot=name)  # fmt: skip
        return _compare_document(recorded, document, exact=True, snapshot=name)

    # -- delayed labels: a replay of the training log, and the features in the prediction ----------

    def _late(
        self, past: PointInTimeReplay, begin: ReplayStart | None, group: list[RecordedPrediction]
    ) -> list[Audited]:
        wanted: dict[int, list[RecordedPrediction]] = defaultdict(list)
        done: list[Audited] = []
        owners = past.owners(begin)
        for each in group:
            if owners is None or each.owner in owners:
                wanted[each.learned].append(each)
            else:
                done.append(Audited(each, "unknown", why=_STRANGER))
        with closing(past.examples(begin, owners)) as moments:
            for processor in moments:
                asked = wanted.pop(processor.learned, ())
                done += [_ask(processor, each, exact=True, begin=begin) for each in asked]
                if not wanted:
                    break
        for learned, rest in wanted.items():
            why = f"the examples topic does not lead to {learned} examples learned"
            done += [Audited(each, "unknown", why=why) for each in rest]
        return done

    # -- models that learn nothing ----------------------------------------------------------------

    def _static(self, past: PointInTimeReplay, recorded: RecordedPrediction) -> Audited:
        """Predict again; a batch of another size may round the last digits differently."""
        processor = past.reader(recorded.source)
        exact = not self._restorer.batched
        if processor.learner.traits.predict_changes_state:
            return Audited(recorded, "unknown", why="what this model answers depends on what it "
                           "was asked before, though it learns nothing")  # fmt: skip
        if recorded.features is not None:
            return _ask(processor, recorded, exact=exact, begin=None)
        topic, partition = self._settings.events.topic, recorded.partition
        low, _ = self._restorer.bounds.patiently(topic, partition)
        if low > recorded.source:
            return Audited(recorded, "unknown", why=(
                "it does not carry its features (predictions.features), and its event is gone by "
                "the retention of its topic"
            ))  # fmt: skip
        where = (topic, partition, recorded.source, recorded.source + 1)
        made: AuditedByPartition = {}
        for records in read_offset_range(self._settings, *where):
            made |= _predicted(processor.process({"events": records}, {}, 0), {recorded.source})
        document = made.get(recorded.source)
        if document is None:
            return Audited(recorded, "different", why="its event makes no prediction now")
        return _compare_document(recorded, document, exact=exact, snapshot=None)


def _predicted(result: BatchResult, wanted: set[int]) -> AuditedByPartition:
    """Map the wanted source offsets to their prediction records."""
    made: AuditedByPartition = {}
    for output in result.predictions:
        document = orjson.loads(output.value or b"")
        if document["source"]["offset"] in wanted:
            made[document["source"]["offset"]] = document
    return made


def _ask(
    processor: PartitionProcessor,
    recorded: RecordedPrediction,
    *,
    exact: bool,
    begin: ReplayStart | None,
) -> Audited:
    """Predict from the features that the prediction carries."""
    features = recorded.features or {}
    name = begin.name if begin else None
    try:
        answer = processor.answer(features)
        if "transformed" in recorded.answer:
            answer = {**answer, "transformed": processor.learner.transform(features)}
    except DeadLetter as bad:
        return Audited(recorded, "different", why=f"the model makes no prediction now ({bad})",
                       snapshot=name)  # fmt: skip
    # Encoded as the prediction was: in JSON, the labels of probabilities are text.
    document = orjson.loads(outputs.encode(answer))
    return compare(recorded, answer_in(document), processor.learned, exact=exact, snapshot=name)


def _compare_document(
    recorded: RecordedPrediction, document: dict[str, object], *, exact: bool, snapshot: str | None
) -> Audited:
    model = document["model"]
    learned = int(model["learned"]) if isinstance(model, dict) else 0
    return compare(recorded, answer_in(document), learned, exact=exact, snapshot=snapshot)


def _of_another(version: str, today: str) -> str:
    """Explain why a prediction of another model version cannot be recomputed."""
    if "-" in today:  # the number of a rebuild
        return (
            f"it was made by version {version} of the model, and a rebuild has made "
            f"version {today} in its place since: what was predicted before cannot be made again"
        )
    return (
        f"it was made by version {version} of the model, and the settings define {today}: put the "
        "definition of then back to make it again"
    )
