"""Quix Streams, as its documentation has it: a StreamingDataFrame of one `apply`, JSON to JSON.

    python -m benchmarks.peers.quix '{"bootstrap": ..., "group": ..., "events": ..., ...}'

`commit_seconds`: its `commit_interval`, which is 5 s unless one says otherwise.
"""

import sys
import tempfile
from typing import Any

import orjson
from quixstreams import Application, message_context

from benchmarks.peers.work import Work


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    guarantee: str,
    commit_seconds: float,
    model: str | None = None,
) -> None:
    """Work until the process is ended."""
    work = Work(events, model).on
    with tempfile.TemporaryDirectory(prefix="millstream-bench-") as folder:
        app = Application(
            broker_address=bootstrap,
            consumer_group=group,
            auto_offset_reset="earliest",
            processing_guarantee=guarantee,
            commit_interval=commit_seconds,
            state_dir=folder,
            loglevel="WARNING",
        )
        source = app.topic(events, value_deserializer="json", key_deserializer="bytes")
        target = app.topic(predictions, value_serializer="json", key_serializer="bytes")

        def answer(row: Any, _key: Any, timestamp: int, _headers: Any) -> Any:
            return work.document(row, message_context().offset, timestamp)

        app.dataframe(source).apply(answer, metadata=True).to_topic(target)
        app.run()


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
