"""The main runner: moves bytes between Kafka and the shards, through confluent-kafka.

    records = what is at hand          (waits only where nothing is)
    outcomes = shard.process(records)  (pure)
    publisher.commit(outcomes)         (one transaction: outputs and offsets)

A batch is whatever arrived while the one before was committed: an idle worker answers each event
at once, a busy one commits ever larger batches. There is no timer. Where a batch fails, its shards
are thrown away and restored from their logs, and the same records come again.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer, KafkaException

from millstream.core.late import LateShard
from millstream.core.models.learner import Learner
from millstream.core.outputs import SMALL_BYTES, skip_note
from millstream.core.records import Outcome, Record, Side
from millstream.errors import Restore, SettingsError, Stop
from millstream.health import Health
from millstream.metrics import Metrics
from millstream.runners import failpoints
from millstream.runners.breaker import Breaker
from millstream.runners.clients import (
    consumer_config,
    producer_config,
    reader_config,
    session_timeout_ms,
)
from millstream.runners.membership import Membership, Partition
from millstream.runners.publish import (
    Aborted,
    AtLeastOnce,
    Batch,
    ExactlyOnce,
    Names,
    ProducerLost,
)
from millstream.runners.restore import Restorer
from millstream.runners.slot import Slot
from millstream.runners.topics import TopicInfo, connect, describe, require_topics
from millstream.settings import Settings

log = logging.getLogger(__name__)

IDLE_WAIT_SECONDS: Final = 0.1
"""How long the loop waits for a message; also how soon it sees a signal or an expiry."""
RESTORE_SLICE_SECONDS: Final = 0.1
OFFSETS_REFRESH_SECONDS: Final = 1800.0
"""Brokers forget offsets that nobody commits, of topics not subscribed to even in a live group."""
LAG_INTERVAL_SECONDS: Final = 1.0
WARN_INTERVAL_SECONDS: Final = 60.0
MAX_ABORTS_IN_A_ROW: Final = 10
MAX_BROKEN_IN_A_ROW: Final = 10
FIRST_RECORDS: Final = 64
"""Size of a batch while the pace of the model is not known, or it raised a moment ago."""
CAREFUL_BATCHES: Final = 20
BUSY_WAIT_SECONDS: Final = 0.01
DEFAULT_MAX_BYTES: Final = 1_000_000
"""librdkafka's `message.max.bytes`."""


class Worker:
    """One member of the app's consumer group."""

    def __init__(
        self,
        settings: Settings,
        build_learner: Callable[[], Learner],
        metrics: Metrics,
        health: Health,
    ) -> None:
        """Connects only in `run`."""
        self._settings = settings
        self._build_learner = build_learner
        self._metrics = metrics
        self._health = health
        self._stopping = threading.Event()
        self._breaker = Breaker(settings.dead_letters.stop_ratio, settings.dead_letters.window)
        self._names = Names(
            settings.topic("predictions"),
            settings.topic("examples"),
            settings.topic("models"),
            settings.topic("dead_letters"),
        )
        self._aborts_in_a_row = 0
        self._broken_in_a_row = 0
        self._careful = 0
        self._seconds_per_record = 0.0
        self._lag_due = 0.0
        self._buried: Counter[str] = Counter()
        self._warn_due = 0.0

    def stop(self) -> None:
        """Ask to finish the batch, commit and leave the group; from any thread or a signal."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`; raises `Stop` where the worker cannot go on."""
        settings = self._settings
        admin = connect(settings)
        require_topics(settings, admin)
        self._slot = Slot(settings.app, settings.instance)
        try:
            self._publisher = self._build_publisher()
            owner_log = self._publisher if isinstance(self._publisher, AtLeastOnce) else None
            restorer = Restorer(
                settings, self._build_learner, admin, reader_config(settings), owner_log,
                self._max_bytes(describe(admin, self._names)),
            )  # fmt: skip
            self._consumer = Consumer(consumer_config(settings))
            self._membership = Membership(self._consumer, restorer, self._metrics)
        except KafkaException as error:
            raise SettingsError(f"kafka: {error.args[0].str()}") from error
        try:
            self._membership.subscribe()
            while not self._stopping.is_set():
                self._turn()
        finally:
            # In this order: leave the group, so that others take over; then the rest.
            self._consumer.close()
            self._publisher.close()
            restorer.close()
            self._slot.release()

    def _build_publisher(self) -> ExactlyOnce | AtLeastOnce:
        if self._settings.processing_guarantee == "exactly_once":
            config = producer_config(self._settings, self._slot.name)
            return ExactlyOnce(config, self._names, self._stopping)
        return AtLeastOnce(producer_config(self._settings, None), self._names, self._stopping)

    def _max_bytes(self, topics: dict[str, TopicInfo]) -> int:
        """The largest message that every output topic takes."""
        limits = [int(self._settings.kafka.get("message.max.bytes", DEFAULT_MAX_BYTES))]
        limits += [
            int(info.configs["max.message.bytes"])
            for info in topics.values()
            if "max.message.bytes" in info.configs
        ]
        if min(limits) < 2 * SMALL_BYTES:
            raise Stop(
                f"messages may have {min(limits)} bytes only, which is too little for predictions: "
                f"raise max.message.bytes of {', '.join(topics)}, and kafka.message.max.bytes, to "
                f"{2 * SMALL_BYTES} or more"
            )
        return min(limits)

    # -- one turn of the loop -------------------------------------------------------------------

    def _turn(self) -> None:
        membership = self._membership
        self._health.beat()
        began = time.monotonic()
        restoring = membership.restore_some(RESTORE_SLICE_SECONDS)
        if restoring:
            self._metrics.observe_stage("restore", time.monotonic() - began)
        self._report_shards()
        fetching = time.monotonic()
        limit = self._limit()
        partitions = list(membership.partitions.values())
        in_hand = any(each.shard and each.shard.backlog("events") for each in partitions)
        fetched = membership.fetch(
            limit, BUSY_WAIT_SECONDS if restoring or in_hand else IDLE_WAIT_SECONDS
        )
        # What was fetched belongs to this membership, and may only be committed by it.
        member = self._consumer.memberid()
        outcomes: list[tuple[Partition, Outcome]] = []
        processing = time.monotonic()
        if fetched:
            failpoints.reach("after_poll")
        for partition in list(membership.partitions.values()):
            outcome = self._process(partition, fetched.get(partition.number), limit)
            if outcome:
                outcomes.append((partition, outcome))
            membership.hold_back(partition, 2 * limit)
        taken = sum(outcome.taken for _, outcome in outcomes)
        if taken:
            self._learn_pace(taken, time.monotonic() - processing)
            self._metrics.observe_batch(taken)
            self._metrics.observe_stage("consume", processing - fetching)
            self._metrics.observe_stage("process", time.monotonic() - processing)
        if outcomes:
            failpoints.reach("after_learning")
            self._commit(outcomes, member)
        self._refresh_offsets(member)
        self._report_lag()

    def _limit(self) -> int:
        """How many records make a full batch: bounded in number and, by the pace, in time."""
        batch = self._settings.batch
        if self._seconds_per_record <= 0 or self._careful > 0:
            return min(FIRST_RECORDS, batch.max_records)
        by_age = int(batch.max_age / 1000 / self._seconds_per_record)
        return max(1, min(batch.max_records, by_age))

    def _learn_pace(self, records: int, seconds: float) -> None:
        pace = seconds / records
        known = self._seconds_per_record
        self._seconds_per_record = pace if known <= 0 else 0.8 * known + 0.2 * pace

    def _process(
        self, partition: Partition, records: dict[Side, list[Record]] | None, limit: int
    ) -> Outcome | None:
        shard = partition.shard
        if shard is None:
            return None
        ends: dict[Side, bool] = {}
        confirmed: dict[Side, int] = {}
        if isinstance(shard, LateShard):
            ends = self._membership.at_ends(partition)
            overdue = shard.overdue(time.time_ns() // 1_000_000)
            confirmed = self._membership.confirm_ends(partition, overdue)
        elif records is None:
            return None
        now = time.time_ns() // 1_000_000
        try:
            return shard.process(
                records or {"events": [], "labels": []}, ends, now, confirmed, limit
            )
        except Restore as broken:
            self._restore_without(partition, broken)
            return None

    def _restore_without(self, partition: Partition, broken: Restore) -> None:
        """The model broke in the middle of learning: restore it, and leave that example out."""
        log.warning(
            "the model raised while it learned: restored without this record",
            extra={"partition": partition.number, "side": broken.side,
                   "offset": broken.offset, "reason": broken.skip.detail},
        )  # fmt: skip
        self._broken_in_a_row += 1
        if self._broken_in_a_row >= MAX_BROKEN_IN_A_ROW:
            raise Stop(
                f"the model raised {broken.skip.detail} on {self._broken_in_a_row} examples and "
                f"learned none in between, the last of them at offset {broken.offset} of partition "
                f"{partition.number} of events: do its features and labels suit it?"
            )
        # Small batches for a while, so that not all of a large one is done again for each such.
        self._careful = CAREFUL_BATCHES
        note = None
        if broken.side == "events":
            note = skip_note(partition.number, broken.offset, broken.skip)
        self._membership.restart(partition, {(broken.side, broken.offset): (broken.skip, note)})

    # -- the commit and its failures --------------------------------------------------------------

    def _commit(self, outcomes: list[tuple[Partition, Outcome]], member: str) -> None:
        self._watch_dead_letters(outcomes)
        for partition, outcome in outcomes:
            partition.positions.update(outcome.positions)
        batch = Batch(
            [(partition.number, outcome) for partition, outcome in outcomes],
            [place for partition, _ in outcomes for place in self._membership.offsets(partition)],
            member,
        )
        if not self._perform(batch, [partition for partition, _ in outcomes]):
            return
        now = time.time_ns() // 1_000_000
        for partition, outcome in outcomes:
            self._metrics.add(outcome.counts)
            for key, amount in outcome.counts.items():
                if key[0] == "dead_lettered":
                    self._buried[key[2]] += amount
            self._metrics.observe_latency(outcome.times, now)
            partition.skips.clear()
            if outcome.counts.get(("learned",)):
                self._broken_in_a_row = 0
            if outcome.times:
                partition.latest = outcome.times[-1]
            shard = partition.shard
            if shard is not None:
                self._metrics.set_learned(partition.number, shard.learned)
                self._metrics.set_waiting(partition.number, shard.waiting(), shard.held())

    def _perform(self, batch: Batch, partitions: list[Partition]) -> bool:
        """Commit a batch; where that fails, restore its shards. Returns whether it counts."""
        began = time.monotonic()
        try:
            self._publisher.commit(batch, self._consumer)
        except Aborted as aborted:
            self._aborts_in_a_row += 1
            self._metrics.count_transaction("aborted")
            log.warning("batch aborted, its shards are restored", extra={"reason": str(aborted)})
            for partition in partitions:
                self._membership.restart(partition)
            if isinstance(aborted, ProducerLost):
                self._replace_producer(aborted, time.monotonic() - began)
            if self._aborts_in_a_row >= MAX_ABORTS_IN_A_ROW:
                raise Stop(
                    f"{self._aborts_in_a_row} batches in a row were aborted, the last one because: "
                    f"{aborted}"
                ) from aborted
            return False
        self._aborts_in_a_row = 0
        self._careful = max(0, self._careful - 1)
        self._metrics.count_transaction("committed")
        self._metrics.observe_stage("commit", time.monotonic() - began)
        for partition in partitions:
            partition.committed_at = time.monotonic()
        return True

    def _replace_producer(self, lost: ProducerLost, seconds: float) -> None:
        """A producer that is dead for a known reason is built again; else two workers fight."""
        session = session_timeout_ms(self._settings) / 1000
        if seconds < session and not self._was_put_out_of_the_group(session):
            raise Stop(
                f"another worker runs under this one's transactional id, {self._slot.name} "
                f"({lost}): give each worker a name of its own with the setting instance"
            ) from lost
        self._publisher.close()
        self._publisher = self._build_publisher()

    def _was_put_out_of_the_group(self, session: float) -> bool:
        """Whether the group gives our partitions away within a session's length."""
        losses = self._membership.losses
        for partition in self._membership.partitions.values():
            self._membership.restart(partition)
        until = time.monotonic() + session
        while time.monotonic() < until and not self._stopping.is_set():
            self._health.beat()
            self._membership.fetch(1, IDLE_WAIT_SECONDS)
            if self._membership.losses > losses:
                return True
        return False

    def _refresh_offsets(self, member: str) -> None:
        """Commit positions that have not moved for long, before the broker forgets them."""
        now = time.monotonic()
        stale = [
            partition
            for partition in self._membership.partitions.values()
            if partition.shard is not None
            and now - partition.committed_at > OFFSETS_REFRESH_SECONDS
        ]
        if stale:
            offsets = [place for each in stale for place in self._membership.offsets(each)]
            self._perform(Batch([], offsets, member), stale)

    def _watch_dead_letters(self, outcomes: list[tuple[Partition, Outcome]]) -> None:
        records = bad = 0
        reasons: dict[str, int] = {}
        for _, outcome in outcomes:
            for key, amount in outcome.counts.items():
                if key[0] == "consumed":
                    records += amount
                elif key[0] == "dead_lettered" and key[2] not in {"unmatched", "late"}:
                    bad += amount
                    reasons[key[2]] = reasons.get(key[2], 0) + amount
        if records:
            self._breaker.add(records, bad, reasons)

    def _warn_of_dead_letters(self, now: float) -> None:
        """Say now and then that there are any, and why."""
        if not self._buried or now < self._warn_due:
            return
        self._warn_due = now + WARN_INTERVAL_SECONDS
        log.warning(
            "records went to dead letters",
            extra={"topic": self._names.dead_letters, "reasons": dict(self._buried)},
        )
        self._buried.clear()

    # -- what is seen from outside ----------------------------------------------------------------

    def _report_shards(self) -> None:
        membership = self._membership
        if membership.joined():
            assigned, restored = len(membership.partitions), membership.restored()
            self._health.set_shards(assigned, restored)
            self._metrics.set_shards(assigned, restored)

    def _report_lag(self) -> None:
        now = time.monotonic()
        if now < self._lag_due:
            return
        self._warn_of_dead_letters(now)
        self._lag_due = now + LAG_INTERVAL_SECONDS
        for partition in self._membership.partitions.values():
            behind = (
                max(0.0, time.time() - partition.latest / 1000) if partition.latest > 0 else 0.0
            )
            for side in partition.positions:
                records = self._membership.lag(partition, side)
                if records is not None:
                    # How old the last event worked off is; nothing is late where nothing waits.
                    self._metrics.set_lag(side, partition.number, records, behind if records else 0)
