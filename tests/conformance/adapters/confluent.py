"""The main runner on a real Kafka: workers are threads of the tests, but for those to be killed.

A worker that is to die is a process of its own, which is killed at the moment asked for; before and
after it works one in a thread.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import yaml
from confluent_kafka import Producer

from millstream.config.settings import make_settings
from millstream.errors import MillstreamError
from millstream.worker import Worker
from tests.conformance.adapter import Ended, Role, Seen, Stage
from tests.conformance.logbook import Logbook
from tests.conformance.scenario import BEGIN_MS, Message, Moment
from tests.support.kafka.cluster import Kafka, wait_until
from tests.support.kafka.worker import WorkerProcess

SECONDS = 120
"""How long anything may take on a slow machine."""
_SESSION = {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 500}
"""For a worker that is to be killed, so that the group notices soon."""


class Adapter:
    """See `tests.conformance.adapter`."""

    needs_kafka: ClassVar[bool] = True
    guarantees: ClassVar[tuple[str, ...]] = ("exactly_once", "at_least_once")
    at_once: ClassVar[int] = 6

    @staticmethod
    def why_not() -> str | None:
        return None

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._kafka: Kafka = stage.kafka
        self._topics = {"events": f"{stage.name}.events", "labels": f"{stage.name}.labels"}
        self._late = stage.settings["labels"]["from"] == "topic"
        self._sent: Counter[tuple[str, int]] = Counter()
        self._log = Logbook()
        self._threads: list[Thread] = []
        self._started = 0
        self._counts: Counter[str] = Counter()
        outputs = ("predictions", "examples", "models", "dead-letters")
        self._kafka.create_topics(
            self._topics["events"],
            *([self._topics["labels"]] if self._late else []),
            *(f"{stage.name}.{role}" for role in outputs),
            partitions=stage.partitions,
        )
        self._producer = Producer(
            {**self._kafka.config, "enable.idempotence": True, "linger.ms": 0,
             "message.max.bytes": 10_000_000}
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.stop()
        self._log.close()

    # -- workers ----------------------------------------------------------------------------------

    def start(self, settings: Mapping[str, Any]) -> None:
        self._settings = {**settings, "kafka": self.kafka_settings()}
        self._begin()

    def kafka_settings(self) -> dict[str, Any]:
        """What the settings have under `kafka`; for another runner on Kafka to add to."""
        return {"bootstrap.servers": self._kafka.bootstrap}

    def _begin(self) -> None:
        self._started += 1
        name = f"{self._stage.name}/{self._started}"
        self._threads.append(self.new_thread(name, self._settings))

    def new_thread(self, name: str, settings: Mapping[str, Any]) -> "Thread":
        """A worker that has begun; for another runner on Kafka to replace."""
        return WorkerThread(name, settings, self._log)

    def stop(self) -> None:
        while self._threads:
            self._end(self._threads.pop())

    def _end(self, thread: "Thread") -> None:
        thread.stop()
        self._counts += thread.counts()

    def die(self, moment: Moment, messages: Sequence[Message]) -> None:
        self.stop()
        self.send(messages)
        known = {**self._settings, "kafka": {**self._settings["kafka"], **_SESSION}}
        file = self._stage.folder / f"{self._stage.name}.yaml"
        file.write_text(yaml.safe_dump(known, sort_keys=False))
        with WorkerProcess(file, env={"MILLSTREAM_FAILPOINT": moment}) as doomed:
            assert doomed.wait(SECONDS) == -9, doomed.log_text()
        self._begin()

    def join(self) -> None:
        self._begin()
        self._wait(lambda: all(thread.ready for thread in self._threads))

    def leave(self) -> None:
        self._end(self._threads.pop())

    def _wait(self, condition: Callable[[], object], message: str = "") -> None:
        def condition_while_working() -> object:
            for thread in self._threads:
                thread.raise_if_ended()
            return condition()

        wait_until(condition_while_working, SECONDS, message)

    # -- messages ---------------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> None:
        refused: list[object] = []

        def delivered(error: object, _: object) -> None:
            if error is not None:
                refused.append(error)

        for message in messages:
            self._sent[message.side, message.partition] += 1
            headers: Any = message.headers  # of another type of list, as mypy sees it
            self._producer.produce(
                self._topics[message.side], message.value, message.key,
                partition=message.partition, timestamp=BEGIN_MS + (message.at or 0),
                headers=headers, on_delivery=delivered,
            )  # fmt: skip
        assert self._producer.flush(SECONDS) == 0
        assert not refused, refused

    def settle(self) -> None:
        wanted = {
            (self._topics[side], partition): count
            for (side, partition), count in self._sent.items()
        }
        group = self._stage.name

        def committed() -> bool:
            return all(
                (self._kafka.committed(group, *place) or 0) == count
                for place, count in wanted.items()
            )

        self._wait(committed, f"{wanted} are worked off")

    def let_pass(self, duration: int, until: Callable[[], bool]) -> None:
        del duration  # it passes while we wait
        self._wait(until)

    def read(self, role: Role) -> list[Seen]:
        return [
            Seen(message.partition, message.key, message.value, message.headers)
            for message in self._kafka.read(f"{self._stage.name}.{role.replace('_', '-')}")
        ]

    # -- in the end -------------------------------------------------------------------------------

    def counts(self) -> Counter[str]:
        return self._counts

    def digests(self) -> dict[int, str]:
        return {n: fields["digest"] for n, fields in self._log.last("shard released").items()}

    def learned(self) -> dict[int, int]:
        return {n: fields["learned"] for n, fields in self._log.last("shard released").items()}

    def restored_from_snapshot(self) -> bool:
        return bool(self._log.last("restored")[0]["snapshot"])


class Thread(Protocol):
    """A worker that has begun."""

    @property
    def ready(self) -> bool:
        """Whether it has partitions, and all of them can be worked on."""

    def raise_if_ended(self) -> None:
        """Raise what ended it, if something did: `Ended` where it was a sentence for the user."""

    def stop(self) -> None:
        """End it in good order; what ended it before is not raised again."""

    def counts(self) -> Counter[str]:
        """What its metrics have counted."""


class WorkerThread:
    """A worker in a thread."""

    def __init__(self, name: str, settings: Mapping[str, Any], log: Logbook) -> None:
        self._worker = Worker(make_settings(settings))
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        log.follow(name)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:  # noqa: BLE001 - raised by who waits for the worker
            self._failure = error

    @property
    def ready(self) -> bool:
        """Whether it has partitions, and all of them can be worked on."""
        return self._worker.ready

    def raise_if_ended(self) -> None:
        """Raise what ended it, if something did: `Ended` where it was a sentence for the user."""
        if self._failure is None:
            assert self._thread.is_alive(), "the worker has ended without being asked to"
        elif isinstance(self._failure, MillstreamError):
            raise Ended(str(self._failure)) from self._failure
        else:
            raise self._failure

    def stop(self) -> None:
        """End it in good order; what ended it before is not raised again."""
        self._worker.stop()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the worker does not stop"

    def counts(self) -> Counter[str]:
        """What its metrics have counted."""
        return counts_in(self._worker.registry)


WHOSE = ("app", "topic")
"""Labels that say of which app and topic a counter is, and nothing of what was counted."""


def counts_in(registry: Any) -> Counter[str]:
    """The counters of a worker, as `skipped tombstone`."""
    found: Counter[str] = Counter()
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name.startswith("millstream_") and sample.name.endswith("_total"):
                name = sample.name.removeprefix("millstream_").removesuffix("_total")
                labels = [sample.labels[key] for key in sample.labels if key not in WHOSE]
                found[" ".join([name, *labels])] += int(sample.value)
    return found
