"""What one would write by hand: consume, predict, produce, with confluent-kafka alone.

    python -m benchmarks.peers.confluent_loop '{"bootstrap": ..., "group": ..., "events": ..., ...}'

At least once: waits for the acknowledgements every second, and only then commits. With
`transaction_ms`: consumed offsets and predictions in one transaction, which is committed so long
after it began. A static model is called once for what one `consume` returns. Nothing is checked,
counted, dead-lettered or restored. `backoff_ms` sets `fetch.queue.backoff.ms`, which the worker
tunes, and which few know of; None leaves librdkafka's default of a second.
"""

import sys
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from benchmarks.peers.work import Work

BATCH = 1000
COMMIT_SECONDS = 1.0


class Loop:
    """The clients, and what is open between them."""

    def __init__(
        self, bootstrap: str, group: str, backoff_ms: int | None, transaction_ms: int | None
    ) -> None:
        tuned = {} if backoff_ms is None else {"fetch.queue.backoff.ms": backoff_ms}
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                **tuned,
            }
        )
        transactional = {} if transaction_ms is None else {"transactional.id": group}
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
                "on_delivery": on_delivery,
                "delivery.report.only.error": True,
                **transactional,
            }
        )
        self._transactional = transaction_ms is not None
        self.every = COMMIT_SECONDS if transaction_ms is None else transaction_ms / 1000
        self.due = 0.0
        self.open = False
        if self._transactional:
            self.producer.init_transactions()

    def begin(self) -> None:
        """What comes next is committed together."""
        if self._transactional:
            self.producer.begin_transaction()
        self.open, self.due = True, time.monotonic() + self.every

    def commit(self) -> None:
        """Commit what was produced, and that it was."""
        if self._transactional:
            places: list[TopicPartition] = self.consumer.position(self.consumer.assignment())
            self.producer.send_offsets_to_transaction(
                places, self.consumer.consumer_group_metadata()
            )
            self.producer.commit_transaction()
        else:
            self.producer.flush()
            self.consumer.commit(asynchronous=False)
        self.open = False

    def messages(self) -> list[Message]:
        """What is there; waits for the first until something has to be committed."""
        patience = max(0.0, self.due - time.monotonic()) if self.open else 0.1
        first = self.consumer.poll(min(patience, 0.1))
        found = [] if first is None else [first, *self.consumer.consume(BATCH - 1, 0)]
        for message in found:
            if message.error() is not None:
                raise KafkaException(message.error())
        return found


def on_delivery(error: Any, _message: Message) -> None:
    """Stop at the first output that was not delivered."""
    if error is not None:
        raise KafkaException(error)


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    model: str | None = None,
    backoff_ms: int | None = None,
    transaction_ms: int | None = None,
) -> None:
    """Work until the process is ended."""
    work = Work(events, model)
    loop = Loop(bootstrap, group, backoff_ms, transaction_ms)
    loop.consumer.subscribe([events])
    while True:
        messages = loop.messages()
        if messages:
            if not loop.open:
                loop.begin()
            answers = work.many(
                [message.value() or b"" for message in messages],
                [message.offset() or 0 for message in messages],
                [message.timestamp()[1] for message in messages],
            )
            for message, answer in zip(messages, answers, strict=True):
                loop.producer.produce(predictions, answer, message.key())
        loop.producer.poll(0)
        if loop.open and time.monotonic() >= loop.due:
            loop.commit()


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
