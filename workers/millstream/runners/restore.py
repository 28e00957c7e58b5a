"""The only way in which a shard gets its state: at start, after a rebalance, after an abort."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from confluent_kafka.admin import AdminClient

from millstream.core.fold import Claims, LateFold, Notes, Positions
from millstream.core.late import LateShard
from millstream.core.models.build import definition_digest
from millstream.core.models.learner import Learner
from millstream.core.outputs import Source
from millstream.core.records import Output, Record, Side
from millstream.core.shard import Era, Plan, Shard
from millstream.errors import DeadLetter, Restore, Stop
from millstream.runners import failpoints
from millstream.runners.logs_reader import LogReader, Stretch, log_bounds
from millstream.settings import Settings

log = logging.getLogger(__name__)

Positioned = dict[Side, int]


class OwnerLog(Protocol):
    """How a new owner announces itself where no transaction fences the old one."""

    def claim(self, partition: int, owner: int, after: int) -> None:
        """Append an owner record to `examples`, and wait until it is there."""


class Restorer:
    """What all restores of a worker share."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        admin: AdminClient,
        reader_config: dict[str, Any],
        owner_log: OwnerLog | None,
        max_bytes: int,
    ) -> None:
        """`owner_log` is None where transactions fence the old owner."""
        self.settings = settings
        self.build_learner = build_learner
        self.admin = admin
        self.owner_log = owner_log
        self.claims = owner_log is not None
        self.max_bytes = max_bytes
        self.reader = LogReader(reader_config)
        self.late = settings.labels.source == "topic" and settings.model.learn
        probe = build_learner()
        self.folds_events = probe.learns and not self.late
        self.learns = probe.learns
        self.batched = probe.batched
        self.version = definition_digest(settings.model, settings.labels, probe.made)

    def close(self) -> None:
        """Let go of the broker."""
        self.reader.close()

    def source(self, partition: int) -> Source:
        """Where a partition's records come from."""
        settings = self.settings
        return Source(
            partition=partition,
            events=settings.events.topic,
            labels=settings.labels.topic if self.late else None,
            model_name=settings.model.name or settings.app,
            model_version=self.version,
            max_bytes=self.max_bytes,
            features=settings.predictions.features,
        )


class ShardRestore:
    """One restore of one partition; `step` until `shard` is there."""

    def __init__(
        self,
        restorer: Restorer,
        partition: int,
        committed: Mapping[Side, int | None],
        committed_by: int | None,
        new_skips: Mapping[tuple[str, int], tuple[DeadLetter, Output | None]],
    ) -> None:
        """Begin with what the group has committed.

        `committed`: its offsets, None where there are none; `committed_by`: which owner they name;
        `new_skips`: what the last try broke on, with the note that is to say so.
        """
        self._restorer = restorer
        self._settings = restorer.settings
        self.partition = partition
        # A restore that was given up (its partition was revoked) may have left it half-way.
        restorer.reader.close()
        self._committed = committed
        self._committed_by = committed_by
        self._claims = Claims()
        self._owners: set[int] | None = None
        self._new_skips = new_skips
        self._source = restorer.source(partition)
        self._notes = Notes()
        self._positions = Positions(self._source.events, self._source.labels)
        self._steps = deque(self._plan())
        self._began = time.monotonic()
        self._read_before = restorer.reader.records_read
        self._fold: LateFold | None = None
        self._pending_notes: list[Output] = []
        self._made: Shard | None = None
        self.shard: Shard | None = None
        self.positions: Positioned = {}

    def step(self, timeout: float) -> None:
        """Go on for about `timeout` seconds."""
        reader = self._restorer.reader
        if not reader.done():
            reader.step(timeout)
            return
        if self._steps:
            self._steps.popleft()()
            failpoints.reach("mid_restore")
            return
        self._finish()

    def all_committed(self) -> bool:
        """Whether the group had offsets for all that this shard takes."""
        return not self._offset_missing()

    # -- the steps, in their order --------------------------------------------------------------

    def _plan(self) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = []
        steps.append(self._read_notes)
        if self._restorer.late:
            if self._restorer.owner_log is not None:
                # Who owned it before says what to come after; what stands in the log when our
                # claim does is what we build on.
                steps += [self._read_claims, self._claim]
            steps += [self._new_fold, self._read_examples, self._read_predictions]
            if self._offset_missing():
                steps.append(self._read_dead_letters)
        else:
            if self._offset_missing():
                steps += [self._read_predicted_positions, self._read_dead_letters]
            steps.append(self._replay_events)
        return steps

    def _offset_missing(self) -> bool:
        sides: list[Side] = ["events", "labels"] if self._restorer.late else ["events"]
        return any(self._committed.get(side) is None for side in sides)

    def _open(self, topic: str, sink: Callable[[Record], None]) -> None:
        """Read a whole log."""
        start, end = log_bounds(self._restorer.admin, topic, self.partition)

        def take(records: Sequence[Record]) -> None:
            for record in records:
                sink(record)

        self._restorer.reader.open(Stretch(topic, self.partition, start, end, take))

    def _read_notes(self) -> None:
        self._open(self._settings.topic("models"), self._notes.add)

    def _new_fold(self) -> None:
        shard = LateShard(self._shard_plan((self._today(0),)))
        self._made = shard
        self._fold = LateFold(shard, self._committed, self._owners)
        self._positions = self._fold.positions

    def _late_fold(self) -> LateFold:
        if self._fold is None:
            raise AssertionError("the fold is made by the step before")
        return self._fold

    def _read_examples(self) -> None:
        self._open(self._settings.topic("examples"), self._late_fold().example)

    def _read_claims(self) -> None:
        self._open(self._settings.topic("examples"), self._claims.add)

    def _claim(self) -> None:
        owners = self._claims.owners(self._committed_by)
        owner = max(self._claims.newest() + 1, time.time_ns() // 1_000_000)
        if self._restorer.owner_log is not None:
            self._restorer.owner_log.claim(self.partition, owner, max(owners))
            failpoints.reach("after_claim")
        self._owners = owners | {owner}

    def _read_predictions(self) -> None:
        self._open(self._settings.topic("predictions"), self._late_fold().prediction)

    def _read_predicted_positions(self) -> None:
        self._open(self._settings.topic("predictions"), self._positions.prediction)

    def _read_dead_letters(self) -> None:
        self._open(self._settings.topic("dead_letters"), self._positions.dead_letter)

    def _replay_events(self) -> None:
        """Learn again from the events themselves, up to the committed offset."""
        position = self._position("events", self._settings.events.topic)
        eras, notes = self._eras(position)
        shard = self._made = Shard(self._shard_plan(eras))
        # What was too large is in the notes; how large messages may be now says nothing of then.
        shard.source = replace(self._source, max_bytes=sys.maxsize)
        self.positions = {"events": position}

        def replay(records: Sequence[Record]) -> None:
            try:
                shard.process({"events": records}, {}, 0)
            except Restore as broken:
                raise Stop(
                    f"{self._source.events} partition {self.partition}, {broken}: the model did "
                    "not break here when it first learned from this log; has its library changed?"
                ) from broken

        if self._restorer.folds_events and eras[0].start < position:
            self._check_log_start(eras[0].start)
            self._restorer.reader.open(
                Stretch(self._source.events, self.partition, eras[0].start, position, replay)
            )
        self._pending_notes = notes

    def _check_log_start(self, start: int) -> None:
        low, _ = log_bounds(self._restorer.admin, self._source.events, self.partition)
        if low > start:
            raise Stop(
                f"{self._source.events} partition {self.partition} begins at offset {low}, but "
                f"the model learned from offset {start} on, and what lies between is gone: give "
                "the topic a longer retention.ms, and this model a new app name to start afresh"
            )

    # -- pieces ---------------------------------------------------------------------------------

    def _today(self, start: int) -> Era:
        return Era(start, self._settings.events, self._settings.labels)

    def _eras(self, position: int) -> tuple[tuple[Era, ...], list[Output]]:
        if not self._restorer.learns and self._notes.first_offset() is None:
            return (self._today(position),), []
        settings = self._settings
        return self._notes.eras(
            settings.events, settings.labels, settings.model, partition=self.partition,
            position=position, version=self._source.model_version, app=settings.app,
        )  # fmt: skip

    def _shard_plan(self, eras: tuple[Era, ...]) -> Plan:
        skips = {**self._notes.skips, **{where: bad for where, (bad, _) in self._new_skips.items()}}
        return Plan(self._source, self._settings.model, self._restorer.build_learner, eras, skips)

    def _position(self, side: Side, topic: str) -> int:
        """Where to go on: the committed offset, else what the outputs say, else the setting."""
        low, high = log_bounds(self._restorer.admin, topic, self.partition)
        position = self._committed.get(side)
        if position is None:
            position = self._positions.next[side] or (
                low if self._settings.events.start == "earliest" else high
            )
        if position < low:
            raise Stop(
                f"{topic} partition {self.partition} begins at offset {low}, but this app has only "
                f"come to offset {position}: the {low - position} records between are gone by the "
                f"topic's retention; to go on without them, move the offset of group "
                f"{self._settings.app} to {low}"
            )
        if position > high:
            raise Stop(
                f"{topic} partition {self.partition} ends at offset {high}, but this app has come "
                f"to offset {position}: was the topic deleted and made again? Give the app a new "
                "name to start afresh"
            )
        return position

    def _finish(self) -> None:
        shard = self._made
        if shard is None:
            raise AssertionError("the steps make a shard")
        notes: list[Output]
        if isinstance(shard, LateShard):
            fold = self._late_fold()
            fold.finish()
            shard.owner = fold.owner
            topics: dict[Side, str] = {
                "events": self._source.events, "labels": self._source.labels or ""
            }  # fmt: skip
            self.positions = {side: self._position(side, topics[side]) for side in shard.sides}
            _, notes = self._eras(self.positions["events"])
        else:
            notes = self._pending_notes
        shard.source = self._source
        shard.announce([*notes, *(note for _, note in self._new_skips.values() if note)])
        self.shard = shard
        log.info(
            "restored",
            extra={
                "partition": self.partition,
                "positions": dict(self.positions),
                "learned": shard.learned,
                "waiting": shard.waiting(),
                "replayed": self._restorer.reader.records_read - self._read_before,
                "seconds": round(time.monotonic() - self._began, 3),
            },
        )
