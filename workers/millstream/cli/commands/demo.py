"""`millstream demo`: a worker on Phishing websites, within half a minute."""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import orjson
import typer
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from river import compose, datasets, evaluate, linear_model, metrics, optim, preprocessing

from millstream.artifacts.loader import learner_factory
from millstream.cli.commands.topics import create_topics, plan_topics
from millstream.cli.console import console
from millstream.cli.demo_screen import Score, screen
from millstream.cli.producer import CommandProducer
from millstream.config.sections import LogSettings
from millstream.config.settings import Settings
from millstream.errors import Stop
from millstream.kafka.admin import connect, list_topics
from millstream.kafka.client_config import reader_config
from millstream.kafka.topic_layout import needed_topics, require_topics
from millstream.observability import logs
from millstream.observability.health import Health
from millstream.observability.metrics import Metrics
from millstream.runners.confluent.worker import Worker
from millstream.sources.event_mapping import EventMapper, encode
from millstream.sources.readers import open_source

_MODEL: Final = (
    "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.005))"
)
# Of the whole time: to join the group (the in-memory broker takes three seconds) and to end.
_OVERHEAD_SECONDS: Final = 6.0
_PATIENCE_SECONDS: Final = 30.0


def demo(
    bootstrap: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Run on this Kafka, exactly once.  [default: none]"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="About how long it takes.")] = 18,
) -> None:
    """Predict and learn 1,250 Phishing websites, live, and compare the result with River alone.

    Needs nothing but Python: the broker lives in memory, unless --bootstrap names a real Kafka.
    """
    logs.configure(LogSettings(level="warning"), clients=False)
    with _broker(bootstrap) as address:
        settings = _settings(address, in_memory=bootstrap is None)
        _make_topics(settings, in_memory=bootstrap is None)
        _greet(settings, bootstrap)
        begin = time.monotonic()
        score = _run(settings, seconds)
        took = time.monotonic() - begin
    _sum_up(settings, score, took, bootstrap)


@contextmanager
def _broker(bootstrap: str | None) -> Iterator[str]:
    """The address of a broker: the given one, or one in the memory of this process."""
    if bootstrap is not None:
        yield bootstrap
        return
    logger = logging.getLogger("millstream.librdkafka")
    # librdkafka's mock cluster lives as long as the client that it belongs to.
    owner = Producer({"test.mock.num.brokers": 1, "logger": logger})
    yield ",".join(str(b).partition("/")[0] for b in owner.list_topics(timeout=10).brokers.values())
    owner.flush()


def _settings(address: str, *, in_memory: bool) -> Settings:
    name = "demo" if in_memory else f"millstream-demo-{secrets.token_hex(4)}"
    return Settings.model_validate(
        {
            "app": name,
            "processing_guarantee": "at_least_once" if in_memory else "exactly_once",
            "kafka": {"bootstrap.servers": address},
            "events": {"topic": f"{name}.websites", "id": "id", "label": "is_phishing"},
            "labels": {"from": "event"},
            "model": {"river": _MODEL},
            "http": {"enabled": False},
        }
    )


def _make_topics(settings: Settings, *, in_memory: bool) -> None:
    admin = connect(settings)
    if in_memory:
        # The mock cluster answers no CreateTopics; it makes a topic when a producer asks for it.
        asking = Producer({**settings.kafka, "allow.auto.create.topics": True})
        for name in needed_topics(settings).values():
            asking.list_topics(name, timeout=10)
    else:
        create_topics(admin, plan_topics(settings, list_topics(admin), partitions=1))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not set(needed_topics(settings).values()) <= list_topics(admin).keys():
        if time.monotonic() > deadline:
            require_topics(settings, admin)
        time.sleep(0.05)


def _greet(settings: Settings, bootstrap: str | None) -> None:
    where = (
        "a broker in this process's memory (at least once: it has no transactions)"
        if bootstrap is None
        else f"Kafka at {bootstrap} (exactly once; topics {settings.app}.*)"
    )
    console.print(
        f"1,250 websites, phishing or not, go to {where}. The worker predicts each one, then "
        "learns its label:\nStandardScaler | LogisticRegression, from nothing.",
        soft_wrap=True,
    )


def _run(settings: Settings, seconds: float) -> Score:
    """Run the worker in a thread, send it the events, and score its predictions."""
    health = Health()
    worker = Worker(settings, learner_factory(settings), Metrics(), health)
    thread = _WorkerThread(worker)
    consumer = Consumer(reader_config(settings))
    consumer.assign([TopicPartition(settings.topic("predictions"), 0, OFFSET_BEGINNING)])
    thread.start()
    try:
        with console.status("the worker joins its group and restores its state"):
            thread.wait_until_ready(health)
        return _send_and_judge(settings, thread, consumer, max(seconds - _OVERHEAD_SECONDS, 1))
    finally:
        worker.stop()
        thread.join(_PATIENCE_SECONDS)
        consumer.close()


class _WorkerThread(threading.Thread):
    """Runs a worker in a thread, and keeps the error that ended it."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="worker", daemon=True)
        self._worker = worker
        self._ended_with: Stop | None = None

    def run(self) -> None:
        try:
            self._worker.run()
        except Stop as stop:
            self._ended_with = stop

    def require_alive(self) -> None:
        """Raise the error that ended the worker, if any."""
        if not self.is_alive():
            raise self._ended_with or Stop("the worker ended before its work was done")

    def wait_until_ready(self, health: Health) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not health.ready():
            self.require_alive()
            if time.monotonic() > deadline:
                raise Stop(f"the worker was not ready within {_PATIENCE_SECONDS:.0f} seconds")
            time.sleep(0.02)


def _send_and_judge(
    settings: Settings, thread: _WorkerThread, consumer: Consumer, seconds: float
) -> Score:
    mapper, publisher = EventMapper(settings), CommandProducer(settings)
    with open_source("river:Phishing") as source:
        rows = list(source.rows)
    score = Score(labels=[bool(row.label) for row in rows])
    sent = 0
    begin = time.monotonic()
    with screen(console, score) as show:
        while score.judged < len(rows):
            thread.require_alive()
            elapsed = time.monotonic() - begin
            if elapsed > seconds + _PATIENCE_SECONDS:
                raise Stop(f"only {score.judged} of {sent} events were predicted in time")
            due = min(len(rows), int(elapsed / seconds * len(rows)) + 1)
            for row in rows[sent:due]:
                message = mapper.message(row)
                topic, now = settings.events.topic, time.time_ns() // 1_000_000
                publisher.send(topic, message.key, encode(message.event), now, partition=0)
            sent = due
            for prediction in consumer.consume(1000, 0.05):
                if prediction.error() is None:
                    score.judge(orjson.loads(prediction.value() or b""))
            show(sent, elapsed)
    publisher.finish()
    return score


def _model() -> compose.Pipeline:
    """Build the model of `_MODEL` with River alone."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))


def _sum_up(settings: Settings, score: Score, took: float, bootstrap: str | None) -> None:
    alone = evaluate.progressive_val_score(datasets.Phishing(), _model(), metrics.Accuracy()).get()
    equal = alone == score.total.get()
    console.print(
        f"\n{score.judged:,} events predicted and learned in {took:.1f} s\n"
        f"accuracy, from the predictions topic  [bold]{score.total.get():.4%}[/]\n"
        f"accuracy, River alone on this data    [bold]{alone:.4%}[/]  "
        f"{'[green]equal[/]' if equal else '[bold red]NOT EQUAL[/]'}",
        soft_wrap=True,
    )
    if bootstrap is None:
        console.print(
            "This broker was in memory and is gone now, and the guarantee was at-least-once. The "
            "same on a real Kafka, exactly once: millstream demo --bootstrap HOST:PORT",
            soft_wrap=True,
        )
    else:
        names = ", ".join(needed_topics(settings).values())
        console.print(
            f"{score.repeated} predictions came twice. The topics stay: {names}", soft_wrap=True
        )
    if not equal:
        raise Stop("the worker's accuracy differs from River's own")
