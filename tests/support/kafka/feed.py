"""A steady stream of events and labels while workers come and go, and what has to be true after."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from confluent_kafka import KafkaError, Producer

from millstream.core.models.interface.state_digest import digest
from tests.support.kafka.app import (
    PHISHING,
    App,
    event_of,
    label_of,
    released_digests,
    scaled_logistic,
)
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.worker import WorkerProcess

LABEL_DELAY_EVENTS = 25


class Feed:
    """Publishes websites one after the other, and their labels some events later, until it ends."""

    def __init__(
        self, kafka: Kafka, app: App, *, per_second: float = 400, keys: int | None = None
    ) -> None:
        """`keys`: how many different keys the messages have; None: each event has one."""
        self._app = app
        self._keys = keys
        self._pause = 1 / per_second
        self._ending = threading.Event()
        self._producer = Producer(
            {**kafka.config, "partitioner": "murmur2_random", "enable.idempotence": True,
             "linger.ms": 1, "on_delivery": self._delivered}
        )  # fmt: skip
        self._refused: list[KafkaError] = []
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop; every event that was sent gets its label first. Fails where not all arrived."""
        self._ending.set()
        self._thread.join()
        if self._raised:
            raise self._raised[0]
        assert not self._refused, (
            f"{len(self._refused)} messages were not taken: {self._refused[0]}"
        )

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._refused.append(error)

    def _run(self) -> None:
        try:
            self._feed()
        except BaseException as error:  # noqa: BLE001 - raised again, by whoever ends it
            self._raised.append(error)

    def _feed(self) -> None:
        while not self._ending.is_set():
            self._send(self._app.events, event_of(self.sent, label=not self._app.late))
            self.sent += 1
            if self.sent > LABEL_DELAY_EVENTS:
                self._label(self.sent - 1 - LABEL_DELAY_EVENTS)
            self._producer.poll(0)
            time.sleep(self._pause)
        for number in range(max(0, self.sent - LABEL_DELAY_EVENTS), self.sent):
            self._label(number)
        assert self._producer.flush(60) == 0

    def _label(self, number: int) -> None:
        if self._app.late:
            self._send(self._app.labels, label_of(number))

    def _send(self, topic: str, message: tuple[int, dict[str, object]]) -> None:
        number, document = message
        key = number if self._keys is None else number % self._keys
        self._producer.produce(topic, orjson.dumps(document), str(key).encode())


class Fed(NamedTuple):
    """A worker at work."""

    app: App
    worker: WorkerProcess
    feed: Feed

    def finish(self) -> dict[int, str]:
        """Let it work off all that is sent, and end it; gives the digests of what it learned."""
        self.feed.end()
        self.worker.wait_until(lambda: self.app.resolved() == self.feed.sent, timeout=120)
        assert self.worker.stop() == 0
        return released_digests(self.worker)


@contextmanager
def fed_workers(
    kafka: Kafka, folder: Path, *, per_second: float, **settings: Any
) -> Iterator[list[Fed]]:
    """A worker of each guarantee, both at work already.

    What befalls the brokers befalls both at once: an outage takes longer than all that is asked
    of a worker.
    """
    with ExitStack() as stack:
        fed = []
        for guarantee in ("exactly_once", "at_least_once"):
            app = App(kafka, folder, processing_guarantee=guarantee, **settings)
            worker = stack.enter_context(app.worker())
            fed.append(
                Fed(app, worker, stack.enter_context(Feed(kafka, app, per_second=per_second)))
            )
        for each in fed:
            each.worker.wait_until(lambda: each.app.handled() > 30)
        yield fed


def assert_nothing_is_lost(fed: Fed, digests: dict[int, str]) -> None:
    """Each event has its prediction, and the weights are those of a bare model."""
    repeats = fed.app.settings["processing_guarantee"] == "at_least_once"
    assert_each_event_has_one_prediction(fed.app, fed.feed.sent, repeats=repeats)
    assert digests == expected_digests(fed.app)


def expected_digests(app: App) -> dict[int, str]:
    """What the weights of each partition have to be: a bare River model over the same log."""
    digests = {}
    for partition in range(app.partitions):
        model = scaled_logistic()
        log = app.kafka.read(app.labels if app.late else app.events, partition=partition)
        for message in log:
            features, truth = PHISHING[message.json["id"] % len(PHISHING)]
            model.learn_one(features, truth)
        digests[partition] = digest(model)
    return digests


def assert_each_event_has_one_prediction(app: App, sent: int, *, repeats: bool) -> None:
    """Each event was predicted, once for a read_committed reader; or at least once."""
    counts = Counter(record["id"] for record in app.predictions())
    assert set(counts) == set(range(sent)), "events without a prediction, or of no event"
    if not repeats:
        twice = {name: count for name, count in counts.items() if count > 1}
        assert not twice, f"predicted more than once: {twice}"
    assert app.dead_letters() == []


def assert_each_event_was_learned_once(app: App, sent: int) -> None:
    """The training log holds each event once, and nothing else."""
    if app.late:
        learned = Counter(record["event"]["offset"] for record in app.examples("learned"))
        by_id = Counter(record["id"] for record in app.examples("learned"))
        assert set(by_id) == set(range(sent))
        if app.partitions == 1:
            assert max(learned.values()) == 1
        assert max(by_id.values()) == 1
