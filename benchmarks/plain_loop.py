"""What one would write by hand: consume, predict, produce; at least once; confluent-kafka alone.

    python -m benchmarks.plain_loop '{"bootstrap": ..., "group": ..., "events": ..., ...}'

A static scikit-learn model is called once for what one `consume` returns. It publishes the
document that the worker publishes, waits for the acknowledgements once a second, and only then
commits: what is lost in a crash is done again. `fetch.queue.backoff.ms` is tuned as the worker
tunes it; nothing is checked, counted or dead-lettered. It works until SIGTERM.
"""

import signal
import sys
import time
from typing import Any

import joblib
import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaException, Message, Producer

BATCH = 1000
COMMIT_SECONDS = 1.0


def documents(model: Any, source: str, messages: list[Message]) -> list[bytes]:
    """Predict on a batch."""
    rows = [orjson.loads(message.value() or b"") for message in messages]
    identities = [row.pop("id") for row in rows]
    answers = model.predict_proba(np.array([list(row.values()) for row in rows], np.float64))
    classes = model.classes_.tolist()
    best = answers.argmax(axis=1).tolist()
    now = time.time_ns() // 1_000_000
    return [
        orjson.dumps(
            {
                "id": identity,
                "prediction": classes[winner],
                "probabilities": dict(zip(classes, probabilities, strict=True)),
                "model": {"name": "plain", "version": "0123456789ab", "learned": 0},
                "event_time": message.timestamp()[1],
                "predicted_at": now,
                "source": {"topic": source, "partition": 0, "offset": message.offset()},
                "features": row,
            },
            option=orjson.OPT_NON_STR_KEYS,
        )
        for message, row, identity, winner, probabilities in zip(
            messages, rows, identities, best, answers.tolist(), strict=True
        )
    ]


def on_delivery(error: Any, _message: Message) -> None:
    """Stop at the first output that was not delivered."""
    if error is not None:
        raise KafkaException(error)


def run(bootstrap: str, group: str, events: str, predictions: str, model: str) -> None:
    """Consume, predict, produce."""
    loaded = joblib.load(model)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "on_delivery": on_delivery,
            "delivery.report.only.error": True,
        }
    )
    consumer.subscribe([events])
    commit_at, uncommitted = time.monotonic() + COMMIT_SECONDS, False
    while True:
        messages = consumer.consume(BATCH, 0.05)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        if messages:
            for message, value in zip(messages, documents(loaded, events, messages), strict=True):
                producer.produce(predictions, value, message.key())
            uncommitted = True
        producer.poll(0)
        if uncommitted and time.monotonic() >= commit_at:
            producer.flush()
            consumer.commit(asynchronous=False)
            commit_at, uncommitted = time.monotonic() + COMMIT_SECONDS, False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run(**orjson.loads(sys.argv[1]))
