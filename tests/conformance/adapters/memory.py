"""The runner without a broker. Time is what it is told, so nothing is ever waited for."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Self

from millstream.artifacts.loader import learner_factory
from millstream.config.arguments import NOWHERE
from millstream.config.settings import make_settings
from millstream.core.processing.processor import PartitionProcessor
from millstream.errors import Stop
from millstream.runners.memory.broker import MemoryLogs
from millstream.runners.memory.worker import MemoryWorker
from tests.conformance.adapter import CLOCK_MS, Ended, Role, Seen, Stage
from tests.conformance.scenario import BEGIN_MS, Message, Moment


class _Killed(Exception):
    """The worker is gone in the middle of a commit."""


class Adapter:
    """See `tests.conformance.adapter`."""

    needs_kafka: ClassVar[bool] = False
    guarantees: ClassVar[tuple[str, ...]] = ("exactly_once", "at_least_once")
    at_once: ClassVar[int] = 1

    @staticmethod
    def why_not() -> str | None:
        return None

    def __init__(self, stage: Stage) -> None:
        self._partitions = stage.partitions
        self._logs = MemoryLogs(stage.partitions)
        self._now = CLOCK_MS
        self._counts: Counter[str] = Counter()
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, settings: Mapping[str, Any]) -> None:
        self._settings = make_settings({"kafka": NOWHERE, **settings})
        self._worker = MemoryWorker(self._settings, learner_factory(self._settings), self._logs)

    def stop(self) -> None:
        if self._settings.snapshots.enabled and not self._ended:
            for number in range(self._partitions):
                self._worker.snapshot(number)
        for name, amount in self._worker.counts.items():
            self._counts[" ".join(name)] += amount

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._worker.send(
                message.side, message.value, key=message.key, partition=message.partition,
                timestamp=BEGIN_MS + (message.at or 0), headers=message.headers,
            )  # fmt: skip

    def settle(self) -> None:
        self._now += 1
        try:
            self._worker.work(self._now)
        except Stop as stop:
            self._ended = True
            raise Ended(str(stop)) from stop

    def die(self, moment: Moment, messages: Sequence[Message]) -> None:
        def killed(where: str) -> None:
            if where == moment:
                raise _Killed

        self._worker.reach = killed
        self.send(messages)
        try:
            self._worker.work(self._now)
        except _Killed:
            self._begin_again()
        else:
            _never(moment)

    def _begin_again(self) -> None:
        self._worker = MemoryWorker(self._settings, learner_factory(self._settings), self._logs)

    def join(self) -> None:
        """Nobody can join; what a hand-over does to a shard is that it is restored."""
        self.stop()
        self._begin_again()

    def leave(self) -> None:
        self.join()

    def let_pass(self, duration: int, until: Callable[[], bool]) -> None:
        del until
        self._now += duration

    def read(self, role: Role) -> list[Seen]:
        topic = self._settings.topic(role)
        return [
            Seen(number, record.key, record.value, list(record.headers or ()))
            for number in range(self._partitions)
            for record in self._logs.records(topic, number)
        ]

    def counts(self) -> Counter[str]:
        return self._counts

    def digests(self) -> dict[int, str]:
        return {n: processor.learner.digest() for n, processor in self._shards()}

    def learned(self) -> dict[int, int]:
        return {n: processor.learned for n, processor in self._shards()}

    def _shards(self) -> Iterator[tuple[int, PartitionProcessor]]:
        """None of a worker that could not go on."""
        for number in range(0 if self._ended else self._partitions):
            yield number, self._worker.processor(number)

    def restored_from_snapshot(self) -> bool:
        return not self._ended and self._worker.restored_from(0) > 0


def _never(moment: Moment) -> NoReturn:
    raise AssertionError(f"nothing was committed, so nobody died at {moment}")
