"""The main runner: moves bytes between Kafka and the shards, through confluent-kafka.

    messages = what is at hand             (waits only where nothing is)
    for each piece of them:
        outcome = shard.process(piece)     (pure)
        publisher.write(outcome)           (on its way while the next piece is computed)
    publisher.commit(offsets)              (one transaction: all outputs, and the offsets)

A batch is whatever arrived while the one before was committed: an idle worker answers each event
at once, a busy one commits ever larger batches. There is no timer. Where a batch fails, its shards
are thrown away and restored from their logs, and the same records come again.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from millstream import _failpoints as failpoints
from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.core.processing.delayed_labels import DelayedLabelProcessor
from millstream.core.records.outputs import SMALL_BYTES
from millstream.core.records.record import BatchResult, InputName, Record
from millstream.delivery.at_least_once import AtLeastOnce
from millstream.delivery.batch import Batch
from millstream.delivery.hanging_transactions import HangingTransactions
from millstream.delivery.publisher import OutputTopics, RetryPolicy, leave_group
from millstream.disk_store import new_store
from millstream.errors import SettingsError, StateInvalid, Stop
from millstream.kafka.client_config import (
    consumer_config,
    producer_config,
    reader_config,
    with_statistics,
)
from millstream.kafka.confirmed_writer import ConfirmedWriter
from millstream.kafka.topics import (
    ADMIN_TIMEOUT_SECONDS,
    TopicInfo,
    connect,
    describe,
    needed_topics,
    require_topics,
    topic_ids,
)
from millstream.kafka.transactional_id import TransactionalIdLease
from millstream.observability.broker_probe import BrokerProbe
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.observability.tracing import make_tracing
from millstream.runners.batch_size import BatchSizer
from millstream.runners.chunk_size import piece_records
from millstream.runners.confluent.commits import BatchCommitter, publisher_builder
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.runners.confluent.poison_records import PoisonRecordDetector
from millstream.runners.confluent.reporting import LoopReporter
from millstream.runners.poison_examples import PoisonExamples
from millstream.state.partition import Partition
from millstream.state.restore_context import KafkaRestoreContext, TopicFacts
from millstream.state.snapshot_files import SnapshotFiles
from millstream.state.snapshot_scheduler import SnapshotScheduler
from millstream.state.snapshot_writer import SnapshotWriter

IDLE_WAIT_SECONDS: Final = 0.1
"""How long the loop waits for a message; also how soon it sees a signal or an expiry."""
BUSY_WAIT_SECONDS: Final = 0.01
RESTORE_SLICE_SECONDS: Final = 0.1
ATTEMPT_SECONDS: Final = 5.0
"""How long to wait for a note of what is worked on; see `quarantine`."""
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
        new_consumer: Callable[[Settings], Any] | None = None,
        slot: TransactionalIdLease | None = None,
    ) -> None:
        """Connects only in `run`.

        `new_consumer`: another consumer than the worker's own, which does what the loop needs of
        one; see `feed`. `slot`: that this worker has already; else it takes one.
        """
        self._slot = slot
        self._new_consumer = new_consumer or self._own_consumer
        self._watches_flow = new_consumer is None
        """Faust's fetching is watched otherwise; see `stalls`."""
        self._settings = settings
        self._build_learner = build_learner
        self._metrics = metrics
        self._health = health
        self._stopping = threading.Event()
        self._names = OutputTopics(
            settings.topic("predictions"),
            settings.topic("examples"),
            settings.topic("models"),
            settings.topic("dead_letters"),
        )
        self._pace = BatchSizer(settings.batch)
        self._watch = LoopReporter(settings.dead_letters, self._names.dead_letters, metrics, health)
        self._broken = PoisonExamples()
        self._one_by_one = False

    def stop(self) -> None:
        """Ask to finish the batch, commit and leave the group; from any thread or a signal."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`; raises `Stop` where the worker cannot go on."""
        admin = connect(self._settings)
        require_topics(self._settings, admin)
        slot = self._slot or TransactionalIdLease(self._settings.app, self._settings.instance)
        self._outage = BrokerProbe(self._settings, self._health, self._metrics)
        self._outage.start()
        try:
            self._run(admin, slot)
        finally:
            self._outage.stop()

    def _run(self, admin: AdminClient, slot: TransactionalIdLease) -> None:
        try:
            context = self._build_parts(admin, slot)
        except KafkaException as error:
            raise SettingsError(f"kafka: {error.args[0].str()}") from error
        failed = True
        try:
            self._membership.subscribe()
            while not self._stopping.is_set():
                self._turn()
            failed = False
        finally:
            # In this order: leave the group, so that others take over (shards are released, with
            # their last snapshots, on the way); then the rest.
            leave_group(self._consumer, bounded=failed or self._outage.seconds > 0)
            self._publishing.close()
            self._snapshots.close()
            self._quarantine.close()
            context.close()
            if self._tracing is not None:
                self._tracing.close()
            slot.release()

    def _build_parts(self, admin: AdminClient, slot: TransactionalIdLease) -> KafkaRestoreContext:
        settings = self._settings
        self._tracing = make_tracing(settings, slot.name)
        patience = RetryPolicy(self._stopping, self._outage.turn, lambda: self._outage.seconds)
        build = publisher_builder(settings, self._names, slot, patience, self._metrics)
        self._publishing = BatchCommitter(
            settings, build, slot.name, self._metrics, self._health, self._stopping
        )
        publisher = self._publishing.publisher
        topics = describe(admin, [settings.events.topic], configs=False)
        told = TopicFacts(
            topics[settings.events.topic].partitions,
            topic_ids(admin, needed_topics(settings).values()),
            self._max_bytes(describe(admin, self._names)),
        )
        context = KafkaRestoreContext(
            settings, self._build_learner, admin, reader_config(settings),
            publisher if isinstance(publisher, AtLeastOnce) else None, told, self._metrics,
            lambda: new_store(settings.waiting.store, settings.waiting.directory),
        )  # fmt: skip
        self._consumer = self._new_consumer(settings)
        self._membership = GroupMembership(self._consumer, context, self._metrics, patience)
        inputs = list(self._membership.topics.values())
        needed = set(needed_topics(settings).values())
        outputs = [topic for topic in self._names if topic in needed]
        hanging = HangingTransactions(settings, inputs, outputs, context.bounds, self._outage)
        self._publishing.join(self._consumer, self._membership, hanging)
        self._membership.mend = self._publishing.mend
        self._membership.before_restore = self._publishing.end_own
        topic = ConfirmedWriter(producer_config(settings, None), self._names.models)
        store = settings.snapshots.store
        files = None if store is None else SnapshotFiles(store, settings.app)
        writer = SnapshotWriter(settings.snapshots, topic, files, self._build_learner)
        self._snapshots = SnapshotScheduler(settings.snapshots, context, writer, self._metrics)
        self._membership.before_release = self._snapshots.release
        config = {**producer_config(settings, None), "linger.ms": 0}
        attempts = ConfirmedWriter(config, self._names.models, ATTEMPT_SECONDS)
        self._quarantine = PoisonRecordDetector(
            settings.recovery.max_crashes, attempts, self._membership.restart
        )
        self._piece_records = piece_records(
            self._build_learner(), settings.events.features, settings.batch.max_records
        )
        return context

    def _own_consumer(self, settings: Settings) -> Any:
        take = partial(self._metrics.clients.take, "consumer")
        consumer = Consumer(with_statistics(consumer_config(settings), take))
        if settings.has_delayed_labels:
            # It is not subscribed to, and a partition whose leader is not known yet when it is
            # assigned is fetched half a second later. Without an answer, it is that and no more.
            with suppress(KafkaException):
                consumer.list_topics(str(settings.labels.topic), timeout=ADMIN_TIMEOUT_SECONDS)
        return consumer

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
        self._outage.turn()
        began = time.monotonic()
        # Before, since one step of a restore may take long: what is assigned is not ready yet.
        self._watch.report_shards(membership)
        restoring = membership.restore_some(RESTORE_SLICE_SECONDS)
        if restoring:
            self._metrics.observe_stage("restore", time.monotonic() - began)
        self._one_by_one = self._quarantine.before_work(membership.partitions.values())
        if self._one_by_one:
            self._pace.be_careful()
        limit = self._pace.limit()
        self._publishing.rest()
        fetching = time.monotonic()
        messages = membership.fetch(limit, self._wait(restoring=restoring))
        if not messages and self._watches_flow and not self._outage.seconds:
            membership.flow.look(membership.partitions)
        if self._tracing is not None:
            self._tracing.begin(messages)
        batch = Batch(self._consumer.memberid())
        fetched = time.monotonic()
        if messages:
            failpoints.reach("after_poll")
        try:
            worked = self._work(messages, batch, limit)
        finally:
            self._quarantine.after_work()
        if worked and batch.taken:
            processed = time.monotonic()
            self._pace.learn(batch.taken, processed - fetched)
            self._metrics.observe_batch(batch.taken)
            self._metrics.observe_stage("consume", fetched - fetching)
            self._metrics.observe_stage("process", processed - fetched - batch.write_seconds)
            self._metrics.observe_stage("produce", batch.write_seconds)
        committed = worked and (not batch or self._commit(batch))
        if self._tracing is not None:
            self._tracing.end(committed=committed)
        self._publishing.turn()
        self._snapshots.turn(list(membership.partitions.values()))
        self._watch.report_lag(membership)

    def _wait(self, *, restoring: bool) -> float:
        """How long to wait for a message, with nothing else to do."""
        partitions = self._membership.partitions.values()
        in_hand = any(each.processor and each.processor.backlog("events") for each in partitions)
        return BUSY_WAIT_SECONDS if restoring or in_hand else IDLE_WAIT_SECONDS

    def _work(self, messages: list[Any], batch: Batch, limit: int) -> bool:
        """Work off what was fetched, piece by piece; False where the batch failed on the way.

        Callbacks of the group come with `fetch` alone, so that nothing is open when they do.
        """
        for piece in self._pieces(messages):
            records = self._membership.sort(piece)
            for partition in list(self._membership.partitions.values()):
                most = limit - batch.taken_of(partition)
                try:
                    result = self._process(partition, records.get(partition.number), most)
                    self._quarantine.worked(partition)
                except StateInvalid as broken:
                    self._abandon(batch, messages)
                    self._restore_without(partition, broken)
                    return False
                if result and not self._publishing.write(batch, partition, result):
                    self._abandon(batch, messages)
                    return False
                self._membership.flow.hold_back(partition, 2 * limit)
        return True

    def _pieces(self, messages: list[Any]) -> Iterator[list[Any]]:
        """At least one, even with nothing in it: what waits may be due."""
        size = 1 if self._one_by_one else self._piece_records
        for start in range(0, len(messages) or 1, size):
            yield messages[start : start + size]

    def _process(
        self, partition: Partition, records: dict[InputName, list[Record]] | None, most: int
    ) -> BatchResult | None:
        processor = partition.processor
        if processor is None:
            return None
        ends: dict[InputName, bool] = {}
        confirmed: dict[InputName, int] = {}
        if isinstance(processor, DelayedLabelProcessor):
            ends = self._membership.ends.reached(partition)
            overdue = processor.overdue(time.time_ns() // 1_000_000)
            confirmed = self._membership.ends.confirm(partition, overdue)
        elif records is None:
            return None
        now = time.time_ns() // 1_000_000
        return processor.process(
            records or {"events": [], "labels": []}, ends, now, confirmed, most
        )

    # -- when a batch ends ------------------------------------------------------------------------

    def _commit(self, batch: Batch) -> bool:
        """Commit a batch; returns whether it counts."""
        failpoints.reach("after_learning")
        self._watch.before_commit(batch)
        if not self._publishing.commit(batch):
            return False
        self._pace.committed()
        for share in batch.shares():
            share.partition.skips.clear()
            share.partition.committed()
            if share.counts.get(("learned",)):
                self._broken.learned()
        self._watch.after_commit(batch)
        return True

    def _abandon(self, batch: Batch, messages: list[Any]) -> None:
        """Nothing of this batch counts: restore all shards that it has records of."""
        numbers = {message.partition() for message in messages}
        numbers |= {partition.number for partition in batch.partitions()}
        known = self._membership.partitions
        self._publishing.abort([known[number] for number in numbers if number in known])
        batch.clear()

    def _restore_without(self, partition: Partition, broken: StateInvalid) -> None:
        """The model broke in the middle of learning: restore it, and leave that example out."""
        skips = self._broken.skip(partition.number, broken)
        self._pace.be_careful()
        self._membership.restart(partition, skips)
