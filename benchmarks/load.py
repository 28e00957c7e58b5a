"""Open-loop load: event i is sent when it is due, however slow the answers are.

    python -m benchmarks.load '{"bootstrap": ..., "topic": ..., "rate": 2000, "count": 10000}'

All events are made before the first is due, so that sending is all that is left to do. Prints
when event 0 was due and how late the load itself was: what it adds to every latency measured.
"""

import gc
import time
from itertools import islice
from typing import Any

from confluent_kafka import Producer

from benchmarks.child import answer
from benchmarks.workloads import learning

TICK_NS = 1_000_000
"""Events that are due within a tick of each other are sent together."""


def send(
    bootstrap: str, topic: str, rate: float, count: int, linger_ms: float = 0
) -> dict[str, Any]:
    """Send `count` events, `rate` a second; the key is the number of the event.

    `linger_ms`: how long the client may wait for more events to send with one.
    """
    events = learning().events(count)
    messages = iter([{"value": raw, "key": str(i).encode()} for i, raw in enumerate(events)])
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": linger_ms})
    producer.list_topics(topic, timeout=10)
    # Nothing made below lasts, and a collection would stop the clockwork.
    gc.collect()
    gc.disable()
    gap = 1e9 / rate
    start = time.time_ns() + 500_000_000
    sent, lateness = 0, []
    while sent < count:
        now = time.time_ns()
        due = min(count, int((now - start) / gap) + 1) if now >= start else 0
        if due > sent:
            lateness.append(now - start - int(sent * gap))
            producer.produce_batch(topic, list(islice(messages, due - sent)), 0)
            sent = due
        producer.poll(0)
        ahead = start + int(sent * gap) - time.time_ns()
        time.sleep(max(ahead, TICK_NS) / 1e9)
    if left := producer.flush(30):
        raise RuntimeError(f"{left} events were not delivered")
    lateness.sort()
    return {"start_ns": start, "late_p99_ms": lateness[int(len(lateness) * 0.99)] / 1e6}


if __name__ == "__main__":
    answer(send)
