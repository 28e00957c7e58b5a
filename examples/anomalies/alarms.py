"""Reads predictions, and raises an alarm for each whose score is above a threshold."""

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer


def alarms(predictions: Iterable[dict[str, Any]], threshold: float) -> Iterator[str]:
    """A line for each prediction that is worth one."""
    for prediction in predictions:
        if prediction["score"] > threshold:
            yield f"payment {prediction['id']}: {prediction['score']:.3f} {prediction['features']}"


def consumed(consumer: Consumer, *, idle_polls: int | None) -> Iterator[dict[str, Any]]:
    """Predictions as they come; ends after so many seconds without one (None: never)."""
    idle = 0
    while idle_polls is None or idle < idle_polls:
        message = consumer.poll(1.0)
        if message is None or message.error():
            idle += 1
            continue
        idle = 0
        yield json.loads(message.value())


def main() -> None:
    """Print alarms until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threshold", type=float, default=0.95)
    parser.add_argument("--bootstrap", default="localhost:9092")
    parser.add_argument("--topic", default="odd-payments.predictions")
    parser.add_argument("--until-idle", type=int, help="end after so many seconds without one")
    options = parser.parse_args()
    consumer = Consumer({
        "bootstrap.servers": options.bootstrap,
        "group.id": f"{options.topic}-alarms",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    })  # fmt: skip
    consumer.subscribe([options.topic])
    try:
        for line in alarms(consumed(consumer, idle_polls=options.until_idle), options.threshold):
            print(line, flush=True)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
