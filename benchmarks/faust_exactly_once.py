"""What Faust's own "exactly_once" keeps: `python -m benchmarks.faust_exactly_once`, a minute.

A bare Faust app, without Millstream, copies a topic under that guarantee; it is killed once by
SIGKILL in the middle and started again. Then a `read_committed` reader counts what is there twice,
or not. docs/faust.md says what follows from it.
"""

import sys
import tempfile
import time
from collections import Counter
from typing import Any

import orjson
from tests.support.kafka.cluster import Kafka, wait_until

from benchmarks import child
from benchmarks.stage import open_stage

EVENTS = 12_000
KILL_AT = 4_000
QUIET_SECONDS = 15.0
"""Longer than Faust's commit interval: what was to come has come."""


def copy(bootstrap: str, group: str, source: str, target: str) -> None:
    """Be the app, until SIGTERM."""
    import faust  # noqa: PLC0415 - the measuring process does without

    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        app = faust.App(
            group, broker=f"kafka://{bootstrap}", datadir=folder, store="memory://",
            web_enabled=False, topic_disable_leader=True, topic_allow_declare=False,
            processing_guarantee="exactly_once",
        )  # fmt: skip
        raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw",
                               "key_type": bytes, "value_type": bytes}  # fmt: skip
        out = app.topic(target, **raw)

        async def agent(stream: Any) -> None:
            async for event in stream.events():
                await out.send(key=event.key, value=event.value, partition=0)

        app.agent(app.topic(source, **raw), name="copy")(agent)
        worker = faust.Worker(app, quiet=True, redirect_stdouts=False, loglevel="WARN")
        worker.execute_from_commandline()


def published(kafka: Kafka, topic: str) -> int:
    """How many messages a reader of either kind could see."""
    return sum(kafka.end_offsets(topic).values())


def main() -> None:
    """Kill it once, and count."""
    with open_stage() as stage:
        kafka = stage.kafka
        name = kafka.unique("faust-eos")
        source, target = f"{name}.source", f"{name}.target"
        kafka.create_topics(source, target)
        kafka.produce(source, ((str(i), str(i), None, None, 0) for i in range(EVENTS)))
        app = child.Loop(
            "faust_exactly_once", stage.folder / "copy.log", bootstrap=kafka.bootstrap, group=name,
            source=source, target=target,
        )  # fmt: skip
        with app:
            app.wait_until(lambda: published(kafka, target) > KILL_AT, 120, "it copies")
            app.sigkill()
            app.start()
            wait_until(lambda: published(kafka, target) >= EVENTS, 180, "it has copied all")
            time.sleep(QUIET_SECONDS)
        read = kafka.read(target)
        copies = Counter(int(message.value or b"-1") for message in read)
        twice = sum(count > 1 for count in copies.values())
        markers = published(kafka, target) - len(read)
        print(
            f"of {EVENTS:,} events, read_committed: {twice:,} are there more than once, "
            f"{EVENTS - len(copies):,} are not there; transaction markers: {markers:,}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        copy(**orjson.loads(sys.argv[1]))
    else:
        main()
