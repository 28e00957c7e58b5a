"""A scene: an app with its workers and its feed, to which faults are done, and what they left."""

import random
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from confluent_kafka import KafkaException

from millstream.artifacts.loader import learner_factory
from millstream.config.settings import load_settings
from millstream.core.models.interface.learner import Learner
from tests.faults.clusters import Cluster
from tests.faults.history import Group, History, Violation, read_history
from tests.faults.verify import verify
from tests.support.kafka.app import App, event_of
from tests.support.kafka.cluster import wait_until
from tests.support.kafka.feed import Feed
from tests.support.kafka.worker import WorkerProcess

_COMINGS_AND_GOINGS = re.compile(
    r"restored \(partition=(\d+)|partitions revoked \(partitions=\[([^]]*)\]"
)
Guarantee = Literal["exactly_once", "at_least_once"]
Protocol = Literal["classic", "consumer"]

SHORT_SESSION = 2.0
"""Seconds; in the classic protocol, workers say how long they may be silent."""
BROKERS_SESSION = 6.0
"""Seconds; in the new one the broker does, and the worker's transactions have its own default."""
DEFAULT_TRANSACTION = 10.0
OFTEN: dict[str, Any] = {"examples": 100}
NEVER: dict[str, Any] = {"enabled": False}
"""Of snapshots: restores begin from one in the runs of odd seeds, else they read whole logs."""
STORES = ("memory", "disk")
"""Where predictions wait: two seeds each, so that either is restored in both ways."""
KEYS = 16
SENTINEL = 1_000_000
"""Ids from here on are sentinels: sent last, to each partition."""
LONG = 180.0
"""Seconds until something that has to happen is given up on; a busy machine takes its time."""
WORK_OFF_SECONDS = 300.0
AT_ONCE = 3.0
"""I6: seconds until predictions flow again where nobody has to wait for the end of a session."""


class Variant(NamedTuple):
    """Under which settings a fault is staged."""

    late: bool
    guarantee: Guarantee
    protocol: Protocol = "classic"

    def __str__(self) -> str:
        labels = "delayed" if self.late else "inline"
        return f"{labels}, {self.guarantee.replace('_', ' ')}, {self.protocol}"


class Recovery(NamedTuple):
    """How long predictions did not flow."""

    after: str
    seconds: float
    within: float | None = None
    """What I6 allows, where it states a bound."""


class Scene:
    """As a context manager: at its end no worker and no feed is left, however it ended."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        variant: Variant,
        *,
        seed: int = 1,
        partitions: int = 2,
        session: float = SHORT_SESSION,
        through_proxy: bool = False,
        per_second: float = 100,
        labels: Mapping[str, Any] | None = None,
        kafka: Mapping[str, Any] | None = None,
        fresh: bool = False,
        **settings: Any,
    ) -> None:
        """`session`: seconds, of a session and a transaction where the worker says how long.

        `labels`: of late ones; `kafka`: more properties; `fresh`: see `WorkerProcess`; `settings`:
        more of the worker's.
        """
        self.cluster, self.variant = cluster, variant
        self.kafka = cluster.kafka
        self.random = random.Random(seed)
        self._fresh = fresh
        classic = variant.protocol == "classic"
        self.session = session if classic else BROKERS_SESSION
        self.transaction = session if classic else DEFAULT_TRANSACTION
        late = {"from": "topic", "wait": "1h", **(labels or {})}
        properties: dict[str, Any] = {
            "bootstrap.servers": (
                cluster.network.address if through_proxy else self.kafka.bootstrap
            ),
            "reconnect.backoff.max.ms": 500,
        }
        if classic:
            properties |= {
                "session.timeout.ms": int(self.session * 1000), "heartbeat.interval.ms": 500,
            }  # fmt: skip
        else:
            properties["group.protocol"] = "consumer"
        self.app = App(
            self.kafka, folder, name="faults", partitions=partitions,
            labels=late if variant.late else None,
            processing_guarantee=variant.guarantee,
            **{
                "batch": {"max_records": 50},
                "snapshots": OFTEN if seed % 2 else NEVER,
                "waiting": {"store": STORES[seed // 2 % 2]},
                **settings,
            },
        )  # fmt: skip
        self.app.write_settings(kafka={**properties, **(kafka or {})})
        self._group = Group(self.kafka, self.app.name)
        self.feed = Feed(self.kafka, self.app, per_second=per_second, keys=KEYS)
        self.workers: dict[int, WorkerProcess] = {}
        self.recoveries: list[Recovery] = []
        self.violations: list[Violation] = []
        self.story: list[str] = []
        """What was done by chance, for the report of a failure."""
        self.answers_may_differ = False
        """See `History`; nothing to exactly once, where what was not committed is not there."""
        self.over = False
        """Set by a fault after which no worker can go on, and all is verified already."""
        self._feeding = False
        self._begun_at: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.workers.values():
            worker.end()
        self.end_feed()
        self._group.close()

    @property
    def after_a_kill(self) -> float:
        """I6: seconds until predictions flow again when a worker was killed."""
        return self.session + AT_ONCE

    # -- what faults are made of --------------------------------------------------------------

    def begin_feed(self) -> None:
        """Send events, and their labels some events later, until `end_feed`."""
        self._feeding = True
        self.feed.__enter__()

    def end_feed(self) -> None:
        """Send the last labels and stop."""
        if self._feeding:
            self.feed.end()
            self._feeding = False

    def start(
        self, number: int = 0, *, failpoint: str | None = None, env: Mapping[str, str] | None = None
    ) -> WorkerProcess:
        """Start a worker, which may be to die at a failpoint; it takes the place of a dead one."""
        extra = {"MILLSTREAM_FAILPOINT": failpoint} if failpoint else {}
        log = self.app.file.with_suffix(f".{number}.log")
        worker = WorkerProcess(
            self.app.file, env={**extra, **(env or {})}, log=log, fresh=self._fresh
        )
        before = self.workers.get(number)
        assert before is None or not before.running, f"worker {number} runs"
        self._begun_at[number] = len(worker.log_text())
        worker.start()
        self.workers[number] = worker
        return worker

    def alive(self) -> list[WorkerProcess]:
        """The workers that run."""
        return [worker for worker in self.workers.values() if worker.running]

    def staying(self) -> list[WorkerProcess]:
        """The workers that run and were not told to end."""
        return [worker for worker in self.alive() if not worker.leaving]

    def log_text(self, number: int) -> str:
        """What a worker has logged since it was started last."""
        return self.workers[number].log_text()[self._begun_at[number] :]

    def owns(self, number: int) -> bool:
        """Whether a worker has a partition, and has restored it."""
        log = self.log_text(number)
        owned: set[str] = set()
        for restored, revoked in _COMINGS_AND_GOINGS.findall(log):
            owned |= {restored} - {""}
            owned -= set(re.findall(r"\d+", revoked))
        return bool(owned)

    def wait_until(self, condition: Callable[[], bool], message: str) -> None:
        """Wait for something that no worker's log tells."""
        wait_until(condition, LONG, message)

    def await_death(self, worker: WorkerProcess, timeout: float = LONG) -> None:
        """Wait until a worker was killed at its failpoint."""
        code = worker.wait(timeout)
        assert code == -9, f"it was to die at a failpoint, and ended with {code}"

    def progress(
        self,
        *,
        timeout: float = LONG,
        partitions: int | None = None,
        tend: Callable[[], None] | None = None,
    ) -> float:
        """Wait until events sent from now on are worked off, on every partition; seconds it took.

        `partitions`: on so many at least; `tend`: called again and again meanwhile, in place of a
        look at whether the first worker still runs.
        """
        since = time.monotonic()
        ends = wait_until(self.ends, timeout, "the broker tells the ends of events") or {}
        wanted = len(ends) if partitions is None else partitions

        def flows() -> bool:
            if tend is not None:
                tend()
            now = self.positions("events")
            return sum(now.get(number, 0) > end for number, end in ends.items()) >= wanted

        for worker in self.staying()[:1] if tend is None else []:
            worker.wait_until(flows, timeout, f"events after {ends} are worked off")
            return time.monotonic() - since
        wait_until(flows, timeout, f"events after {ends} are worked off")
        return time.monotonic() - since

    def recover(
        self,
        after: str,
        *,
        within: float | None = None,
        timeout: float = LONG,
        tend: Callable[[], None] | None = None,
    ) -> None:
        """Measure how long it takes until predictions flow again on every partition.

        `within`: the seconds that I6 allows.
        """
        seconds = self.progress(timeout=timeout, tend=tend)
        self.recoveries.append(Recovery(after, seconds, within))

    def told(self, what: str) -> None:
        """Note what is done next, where chance has it."""
        self.story.append(what)

    def coordinator(self) -> int:
        """The broker that coordinates the app's group."""
        asked = self.kafka.admin.describe_consumer_groups([self.app.name])
        return int(asked[self.app.name].result().coordinator.id)

    def ends(self) -> dict[int, int] | None:
        """Where events end; None while no broker tells."""
        try:
            return self.kafka.end_offsets(self.app.events)
        except (KafkaException, AssertionError):
            return None  # the broker is away or has just come back

    def positions(self, side: str) -> dict[int, int]:
        """Partition to committed offset; empty while no broker tells."""
        topic = self.app.events if side == "events" else self.app.labels
        try:
            known = self._group.offsets([topic], self.app.partitions)
        except KafkaException:
            return {}
        return {number: where.offset for (_, number), where in known.items()}

    # -- what is checked ----------------------------------------------------------------------

    def build_learner(self) -> Learner:
        """A fresh learner of this app's model."""
        return learner_factory(load_settings(self.app.file))()

    def check_for_hanging_transactions(self, seconds: float) -> None:
        """I4: within so many seconds every topic can be read to its end."""
        for role in ("predictions", "dead-letters", "models", "examples"):
            topic = self.app.topic(role)
            try:
                wait_until(
                    lambda: (
                        self.kafka.end_offsets(topic)
                        == self.kafka.end_offsets(topic, committed=True)
                    ),
                    timeout=seconds,
                )
            except AssertionError:
                self.violations.append(Violation("I4", -1, f"a transaction hangs on {topic}"))

    def verify_at_death(self) -> None:
        """No worker is alive: what stands is what a reader sees for good; check it as it is."""
        assert not self.alive()
        self.check_for_hanging_transactions(self.transaction + 3)
        history = self.read_history()
        found = verify(history, self.build_learner, complete=False)
        self.violations += [v._replace(text=f"when no worker was alive, {v.text}") for v in found]

    def read_history(self) -> History:
        """What the topics say."""
        history = read_history(self.app, self.kafka)
        history.answers_may_differ = self.answers_may_differ and not history.exactly_once
        return history

    def finish(self) -> None:
        """Let one worker work everything off, sentinels last, and verify what came of it all."""
        self.end_feed()
        for worker in self.alive():
            if worker.leaving:
                worker.wait(60)
        last, *others = self.staying() or [self.start()]
        for worker in others:
            assert worker.stop() == 0
        self._send_sentinels()
        last.wait_until(self._all_worked_off, WORK_OFF_SECONDS, "everything is worked off")
        self._read_sentinels()
        self.settle(last)
        code = last.stop()
        assert code == 0, f"the last worker ended with {code}"
        self.check_for_hanging_transactions(self.transaction + 3)
        history = self.read_history()
        number = next(n for n, worker in self.workers.items() if worker is last)
        digests = digests_in(self.log_text(number))
        self.violations += verify(history, self.build_learner, digests)

    def settle(self, last: WorkerProcess) -> None:
        """What else has to have happened before the last worker may stop; for faults to replace."""

    def _send_sentinels(self) -> None:
        for partition in range(self.app.partitions):
            _, document = event_of(SENTINEL + partition, label=not self.variant.late)
            document["id"] = SENTINEL + partition
            self.app.send(self.app.events, [("sentinel", document)], partition=partition)

    def _read_sentinels(self) -> None:
        """I4: the last word of each partition can be read."""
        wanted = set(range(SENTINEL, SENTINEL + self.app.partitions))
        try:
            wait_until(
                lambda: wanted <= {m.json["id"] for m in self.app.read("predictions")},
                timeout=self.transaction + 10,
            )
        except AssertionError:
            self.violations.append(Violation("I4", -1, "a sentinel's prediction cannot be read"))

    def _all_worked_off(self) -> bool:
        sides = ["events", "labels"] if self.variant.late else ["events"]
        for side in sides:
            topic = self.app.events if side == "events" else self.app.labels
            positions = self.positions(side)
            ends = self.kafka.end_offsets(topic)
            if any(positions.get(number, 0) < end for number, end in ends.items()):
                return False
        return True


def digests_in(log: str) -> dict[int, str]:
    """Partition to the digest that a worker gave when it let go of the shard last."""
    found = re.findall(r"shard released.*?partition=(\d+).*?digest=([0-9a-f]+)", log)
    return {int(partition): digest for partition, digest in found}
