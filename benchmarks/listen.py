"""A read_committed reader that notes when each prediction came, by the number in its key.

    python -m benchmarks.listen '{"bootstrap": ..., "topic": ..., "count": 10000, "path": ...}'

Does as little as it can: the times are worked out by the harness afterwards.
"""

import gc
import time
from array import array

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from benchmarks.child import answer

PATIENCE_SECONDS = 60.0


def listen(bootstrap: str, topic: str, count: int, path: str) -> int:
    """Note `count` predictions: event number and time in ns, alternately, into the file `path`."""
    gc.disable()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-listen",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    noted = array("q")
    give_up = time.monotonic() + PATIENCE_SECONDS
    while len(noted) < 2 * count and time.monotonic() < give_up:
        first = consumer.poll(1.0)
        if first is None:
            continue
        give_up = time.monotonic() + PATIENCE_SECONDS
        messages = [first, *consumer.consume(1000, 0)]
        now = time.time_ns()
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            noted.append(int(message.key() or b""))
            noted.append(now)
    consumer.close()
    with open(path, "wb") as file:  # noqa: PTH123 - array writes to open files only
        noted.tofile(file)
    return len(noted) // 2


if __name__ == "__main__":
    answer(listen)
