"""The life of one late shard in memory: its topics, its crashes, its snapshots, its restores.

What a runner does with a shard, without a broker: outputs are appended to logs, offsets are
committed, snapshots are sealed and opened as bytes, and a restore folds the logs.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any

from millstream.core.models.state_codec import capture
from millstream.core.processing.config import ProcessorConfig
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.processing.ownership import OwnershipHistory
from millstream.core.processing.replay import StateReplay
from millstream.core.records.outputs import owner_record
from millstream.core.records.record import BatchResult, InputName, Output, Record
from millstream.core.snapshots.snapshot import Snapshot, SnapshotMetadata, finish, load, unseal
from tests.support.processors import event, label, plan

VERSION = "0123456789ab"
LIBRARIES = {"python": "3"}
IDLE: Mapping[InputName, list[Record]] = {"events": [], "labels": []}


class History:
    """One partition: inputs, logs, committed offsets, snapshots, and the shard that lives now."""

    def __init__(self, *, fenced: bool = True, **options: Any) -> None:
        """`fenced`: exactly once; else at least once. `options` as for `plan`."""
        self.fenced = fenced
        self.plan: ProcessorConfig = plan(**options)
        self.now = 1_000_000
        self.inputs: dict[InputName, list[Record]] = {"events": [], "labels": []}
        self.predictions: list[Output] = []
        self.examples: list[Output] = []
        self.committed: dict[InputName, int | None] = {"events": None, "labels": None}
        self.committed_by: int | None = None
        self.snapshots: list[Snapshot] = []
        self.processor = DelayedLabelProcessor(self.plan)
        self.claims: dict[str, int] = {}
        self.fetched: dict[InputName, int] = {"events": 0, "labels": 0}
        self.positions: dict[InputName, int] = {"events": 0, "labels": 0}
        self._ends: tuple[int, int] | None = None
        self.restore()

    # -- what the world does ----------------------------------------------------------------------

    def send(self, side: InputName, identity: int, age: int = 0) -> None:
        """Append an event or a label, whose time lies so far back."""
        queue = self.inputs[side]
        time = self.now - age
        if side == "events":
            queue.append(event(len(queue), time, identity, x=float(len(queue) % 7)))
        else:
            queue.append(label(len(queue), time, identity, value=len(queue) % 3 > 0))

    # -- what a worker does -----------------------------------------------------------------------

    def process(self, events: int, labels: int) -> BatchResult:
        """Let the shard work off up to so many further records; nothing is written yet."""
        wanted: dict[InputName, int] = {"events": events, "labels": labels}
        records: dict[InputName, list[Record]] = {}
        for side, amount in wanted.items():
            begin = self.fetched[side]
            records[side] = self.inputs[side][begin : begin + amount]
            self.fetched[side] = begin + len(records[side])
        ends = {side: self.fetched[side] == len(self.inputs[side]) for side in wanted}
        return self.processor.process(records, ends, self.now)

    def work(self, events: int, labels: int) -> None:
        """One batch, committed."""
        result = self.process(events, labels)
        self.predictions += result.predictions
        self.examples += result.examples
        self.positions.update(result.positions)
        self.commit()

    def commit(self) -> None:
        """Let the group hold the positions."""
        self.committed = dict(self.positions)
        if not self.fenced:
            self.committed_by = self.processor.epoch

    def crash(self, events: int, labels: int, written: float) -> None:
        """Die in a batch; at least once, a part of its outputs is there and no offset says so."""
        result = self.process(events, labels)
        if not self.fenced:
            self.write_part(result, written)
        self.restore()

    def write_part(self, result: BatchResult, written: float) -> None:
        """Append a part of an outcome: predictions first, as `AtLeastOnce` writes them."""
        both = len(result.predictions) + len(result.examples)
        part = int(written * both)
        self.predictions += result.predictions[:part]
        self.examples += result.examples[: max(0, part - len(result.predictions))]

    def ask_ends(self) -> None:
        """As `Snapshots` does in its thread, a while before it makes a mark of the answer."""
        self._ends = (len(self.predictions), len(self.examples))

    def mark(self) -> None:
        """Note the moment, if the ends were asked for."""
        ends, self._ends = self._ends, None
        if ends is None:
            return
        self.processor.mark(self.positions, *ends)

    def snapshot(self) -> None:
        """Take one, through its bytes."""
        marks = self.processor.replay_points()
        about = SnapshotMetadata(
            app="app", partition=0, positions={str(k): v for k, v in self.positions.items()},
            logs=marks[0].logs(),
            topic_ids={}, learned=self.processor.learned, model_version=VERSION, model="",
            versions=LIBRARIES, created_at=self.now, marks=[list(mark) for mark in marks],
            claims=self.claims,
        )  # fmt: skip
        captured = capture(self.processor.learner)
        self.snapshots.append(
            unseal(finish(captured, about, self.plan.build_learner(), self.processor.latest))
        )

    def replaced(self) -> "History":
        """The worker of now, which lives on while `restore` puts another one in its place."""
        other = copy(self)
        other.fetched = dict(self.fetched)
        return other

    # -- restores ---------------------------------------------------------------------------------

    def usable(self) -> list[Snapshot]:
        """Snapshots that stand for nothing that is not committed, the newest first."""
        known = {side: offset for side, offset in self.committed.items() if offset is not None}
        return [
            each for each in reversed(self.snapshots)
            if all(each.about.positions[side] <= offset for side, offset in known.items())
        ]  # fmt: skip

    def restore(self) -> None:
        """Come to life again from the newest usable snapshot."""
        usable = self.usable()
        snapshot = usable[0] if usable else None
        owner = None
        claims = OwnershipHistory(snapshot.about.claims if snapshot else None)
        if not self.fenced:
            start = snapshot.about.logs["examples"] if snapshot else 0
            for offset, output in enumerate(self.examples[start:], start):
                claims.add(_record(offset, output))
            owner = max(claims.newest() + 1, self.now)
            after = max(claims.owners(self.committed_by))
            self.examples.append(owner_record(owner, after, self.now))
            claims.add(_record(0, self.examples[-1]))
        self.processor, self.positions = self.folded(snapshot, owner)
        self.claims = claims.chain(self.processor.epoch)
        self.fetched = dict(self.positions)
        self._ends = None
        if not self.fenced:
            self.commit()

    def folded(
        self, snapshot: Snapshot | None, owner: int | None = None
    ) -> tuple[DelayedLabelProcessor, dict[InputName, int]]:
        """The shard and its positions, from a snapshot or from the start of the logs."""
        about = None if snapshot is None else snapshot.about
        made = self.plan
        if snapshot is not None:
            learner = load(snapshot, made.build_learner, VERSION, LIBRARIES)
            made = ProcessorConfig(
                made.source, made.model, lambda: learner, made.settings_versions, made.skips
            )
        logs = {"predictions": 0, "examples": 0} if about is None else about.logs
        owners: set[int] | None = None
        if not self.fenced:
            claims = OwnershipHistory(None if about is None else about.claims)
            for offset, output in enumerate(self.examples[logs["examples"] :], logs["examples"]):
                claims.add(_record(offset, output))
            owners = claims.owners(self.committed_by) | ({owner} if owner else set())
        processor = DelayedLabelProcessor(made)
        fold = StateReplay(processor, self.committed, owners, about)
        for offset, output in enumerate(self.examples[logs["examples"] :], logs["examples"]):
            fold.example(_record(offset, output))
        for offset, output in enumerate(
            self.predictions[logs["predictions"] :], logs["predictions"]
        ):
            fold.prediction(_record(offset, output))
        fold.finish()
        positions: dict[InputName, int] = {}
        for side in processor.inputs:
            known = self.committed[side]
            positions[side] = fold.positions.next[side] if known is None else known
        return processor, positions

    def fork(self, snapshot: Snapshot | None) -> "History":
        """Another future of the same past, restored from a snapshot or from the start."""
        other = copy(self)
        other.inputs = {side: list(records) for side, records in self.inputs.items()}
        other.predictions, other.examples = list(self.predictions), list(self.examples)
        other.snapshots = []
        other.processor, other.positions = other.folded(snapshot)
        other.fetched = dict(other.positions)
        return other


def _record(offset: int, output: Output) -> Record:
    return Record(offset, 0, output.key, output.value, output.headers)
