"""The construction of a worker's parts, each from parts that are complete, and their closing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from millstream.config.settings import Settings
from millstream.core.models.interface.learner import Learner
from millstream.core.records.outputs import SMALL_BYTES
from millstream.delivery.at_least_once import AtLeastOnce
from millstream.delivery.exactly_once import ExactlyOnce
from millstream.delivery.hanging_transactions import HangingTransactions
from millstream.delivery.publisher import OutputTopics, Publisher
from millstream.delivery.retry import RetryPolicy, leave_group
from millstream.delivery.transactional_id import TransactionalIdLease
from millstream.disk_store import new_store
from millstream.errors import SettingsError, Stop
from millstream.kafka.admin import ADMIN_TIMEOUT_SECONDS, TopicInfo, describe, topic_ids
from millstream.kafka.client_config import (
    consumer_config,
    producer_config,
    reader_config,
    with_statistics,
)
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.producer import ConfirmedWriter
from millstream.kafka.topic_layout import needed_topics
from millstream.observability.broker_probe import BrokerProbe
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.observability.tracing import make_tracing
from millstream.runners.batch_size import chunk_records
from millstream.runners.confluent.commits import BatchCommitter
from millstream.runners.confluent.group_membership import GroupMembership
from millstream.runners.confluent.poison_records import PoisonRecordDetector
from millstream.runners.confluent.reporting import LoopReporter
from millstream.runners.confluent.transaction_repair import (
    RebuildablePublisher,
    TransactionRepair,
)
from millstream.snapshots.files import SnapshotFiles
from millstream.snapshots.writer import SnapshotWriter
from millstream.state.partition import Partition
from millstream.state.ports import TopicFacts
from millstream.state.restore_context import KafkaRestoreContext
from millstream.state.snapshot_scheduler import SnapshotScheduler

MARKER_SECONDS: Final = 5.0
"""How long to wait for the write of a crash marker; see `poison_records`."""
DEFAULT_MAX_BYTES: Final = 1_000_000
"""librdkafka's `message.max.bytes`."""


if TYPE_CHECKING:
    from millstream.observability.otel import Tracing


@dataclass(frozen=True, slots=True)
class WorkerInputs:
    """Everything that a worker is given."""

    settings: Settings
    build_learner: Callable[[], Learner]
    metrics: Metrics
    health: Health
    stopping: threading.Event
    new_consumer: Callable[[Settings], GroupConsumer] | None
    """None: a confluent-kafka consumer of the worker's own."""
    lease: TransactionalIdLease | None
    """None: the worker leases a transactional id itself."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """Everything that the loop works with."""

    consumer: GroupConsumer
    membership: GroupMembership
    committer: BatchCommitter
    snapshots: SnapshotScheduler
    detector: PoisonRecordDetector
    reporter: LoopReporter
    broker_probe: BrokerProbe
    tracing: "Tracing | None"
    metrics: Metrics
    chunk_records: int
    """Records that are processed at a time."""
    checks_stalls: bool
    """Whether the loop looks for partitions that stand still; Faust's are watched elsewhere."""


@dataclass(frozen=True, slots=True)
class _Hooks:
    """The `RestoreHooks` of a worker."""

    repair: TransactionRepair
    snapshots: SnapshotScheduler

    def before_restore(self, partition: int) -> None:
        self.repair.abort_own(partition)

    def while_restoring(
        self, partition: int, progress: object, committed: Callable[[int], object]
    ) -> bool:
        return self.repair.unblock_restore(partition, progress, committed)

    def before_release(self, partitions: list[Partition]) -> None:
        self.snapshots.release(partitions)


@contextmanager
def worker_parts(given: WorkerInputs, admin: AdminClient) -> Iterator[WorkerParts]:
    """Build the parts of a worker, and close them afterwards, however far the building got.

    First the consumer leaves the group, so that others take over: its partitions are released, with
    their last snapshots, on the way. Raises `SettingsError` and `Stop`.
    """
    with ExitStack() as stack:
        try:
            parts = _build(stack, given, admin)
        except KafkaException as error:
            raise SettingsError(f"kafka: {error.args[0].str()}") from error
        yield parts


def _build(stack: ExitStack, given: WorkerInputs, admin: AdminClient) -> WorkerParts:
    settings, metrics, health = given.settings, given.metrics, given.health
    lease = given.lease or TransactionalIdLease(settings.app, settings.instance)
    stack.callback(lease.release)
    probe = BrokerProbe(settings, health, metrics)
    probe.start()
    stack.callback(probe.stop)
    tracing = make_tracing(settings, lease.name)
    if tracing is not None:
        stack.callback(tracing.close)
    patience = RetryPolicy(given.stopping, probe.turn, lambda: probe.seconds)
    names = OutputTopics(
        settings.topic("predictions"),
        settings.topic("examples"),
        settings.topic("models"),
        settings.topic("dead_letters"),
    )
    build = _publisher_builder(settings, names, lease, patience, metrics)
    publisher = RebuildablePublisher(build, lease.name)
    # A start that fails here closes it last; a worker that ends, right after leaving the group: its
    # successors wait for the end of an open transaction.
    unfinished = stack.enter_context(ExitStack())
    unfinished.callback(publisher.close)
    context = _context(given, admin, names, publisher.current)
    stack.callback(context.close)
    snapshots = _snapshots(given, names, context)
    stack.callback(snapshots.close)
    markers = ConfirmedWriter(
        {**producer_config(settings, None), "linger.ms": 0}, names.models, MARKER_SECONDS
    )
    stack.callback(markers.close)
    topics = settings.inputs
    needed = set(needed_topics(settings).values())
    outputs = [topic for topic in names if topic in needed]
    hanging = HangingTransactions(settings, list(topics.values()), outputs, context.bounds, probe)
    repair = TransactionRepair(publisher, hanging)
    stack.push(unfinished.pop_all())
    consumer = _consumer(stack, given, probe)
    membership = GroupMembership(
        consumer, context, topics, _Hooks(repair, snapshots), metrics, patience
    )
    committer = BatchCommitter(
        settings, publisher, repair, membership, consumer, metrics, health,
        given.stopping,
    )  # fmt: skip
    return WorkerParts(
        consumer=consumer,
        membership=membership,
        committer=committer,
        snapshots=snapshots,
        detector=PoisonRecordDetector(settings.recovery.max_crashes, markers, membership.restart),
        reporter=LoopReporter(names.dead_letters, metrics, health),
        broker_probe=probe,
        tracing=tracing,
        metrics=metrics,
        chunk_records=chunk_records(
            given.build_learner(), settings.events.features, settings.batch.max_records
        ),
        checks_stalls=given.new_consumer is None,
    )


def _publisher_builder(
    settings: Settings,
    names: OutputTopics,
    lease: TransactionalIdLease,
    patience: RetryPolicy,
    metrics: Metrics,
) -> Callable[[], Publisher]:
    """A function that builds a publisher of the guarantee in the settings."""
    exactly_once = settings.processing_guarantee == "exactly_once"
    statistics = partial(metrics.clients.take, "producer")
    config = with_statistics(
        producer_config(settings, lease.name if exactly_once else None), statistics
    )

    def build() -> Publisher:
        if not exactly_once:
            return AtLeastOnce(config, names, patience)
        ready = lease.warmup.take(statistics) if lease.warmup is not None else None
        return ExactlyOnce(config, names, patience, ready)

    return build


def _context(
    given: WorkerInputs, admin: AdminClient, names: OutputTopics, publisher: Publisher
) -> KafkaRestoreContext:
    settings = given.settings
    topics = describe(admin, [settings.events.topic], configs=False)
    facts = TopicFacts(
        topics[settings.events.topic].partitions,
        topic_ids(admin, needed_topics(settings).values()),
        _max_bytes(settings, describe(admin, names)),
    )
    return KafkaRestoreContext(
        settings, given.build_learner, admin, reader_config(settings),
        publisher.epoch_log(), facts, given.metrics,
        lambda: new_store(settings.waiting.store, settings.waiting.directory),
    )  # fmt: skip


def _max_bytes(settings: Settings, topics: dict[str, TopicInfo]) -> int:
    """The largest message that every output topic accepts."""
    limits = [int(settings.kafka.get("message.max.bytes", DEFAULT_MAX_BYTES))]
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


def _snapshots(
    given: WorkerInputs, names: OutputTopics, context: KafkaRestoreContext
) -> SnapshotScheduler:
    settings = given.settings
    topic = ConfirmedWriter(producer_config(settings, None), names.models)
    store = settings.snapshots.store
    files = None if store is None else SnapshotFiles(store, settings.app)
    writer = SnapshotWriter(settings.snapshots, topic, files, given.build_learner)
    return SnapshotScheduler(settings.snapshots, context, writer, given.metrics)


def _consumer(stack: ExitStack, given: WorkerInputs, probe: BrokerProbe) -> GroupConsumer:
    new_consumer = given.new_consumer or partial(confluent_consumer, metrics=given.metrics)
    consumer = new_consumer(given.settings)

    def leave(
        raised: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        leave_group(consumer, bounded=raised is not None or probe.seconds > 0)

    stack.push(leave)
    return consumer


def confluent_consumer(settings: Settings, metrics: Metrics) -> Consumer:
    """The consumer of a worker that runs by itself."""
    statistics = partial(metrics.clients.take, "consumer")
    consumer = Consumer(with_statistics(consumer_config(settings), statistics))
    if settings.has_delayed_labels:
        # The topic is not subscribed to, and a partition whose leader is unknown when it is
        # assigned is fetched half a second later. Without an answer, it stays at that delay.
        with suppress(KafkaException):
            consumer.list_topics(str(settings.labels.topic), timeout=ADMIN_TIMEOUT_SECONDS)
    return consumer
