"""aiokafka, as its documentation has it: "Transactional Consume-Process-Produce", or without.

    python -m benchmarks.peers.aiokafka_loop '{"bootstrap": ..., "group": ..., "events": ..., ...}'

What one `getmany` returns is answered and committed together, in a transaction or after a flush.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.work import Work

POLL_MS = 100


async def loop(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    model: str | None = None,
    *,
    transactional: bool,
) -> None:
    """Work until the process is ended."""
    work = Work(events, model)
    consumer = AIOKafkaConsumer(
        events,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, **({"transactional_id": group} if transactional else {})
    )
    await consumer.start()
    await producer.start()
    while True:
        found = await consumer.getmany(timeout_ms=POLL_MS)
        for place, messages in found.items():
            answers = work.many(
                [message.value for message in messages],
                [message.offset for message in messages],
                [message.timestamp for message in messages],
            )
            async with AsyncExitStack() as stack:
                if transactional:
                    await stack.enter_async_context(producer.transaction())
                for message, answer in zip(messages, answers, strict=True):
                    await producer.send(predictions, answer, key=message.key)
                if transactional:
                    offsets = {place: messages[-1].offset + 1}
                    await producer.send_offsets_to_transaction(offsets, group)
            if not transactional:
                await producer.flush()
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(loop(**orjson.loads(sys.argv[1])))
