"""PyFlink, as its documentation has it: a table over Kafka, a vectorised function, a table again.

    python -m benchmarks.peers.flink_job '{"bootstrap": ..., "group": ..., "events": ..., ...}'

The Table API, since only that tells a Python function the offset and the time of an event. One task
with one Python worker, so the model, which the function opens, sees all events in turn.
`guarantee`: of Kafka's sink; `checkpoint_ms`: how often it commits.
"""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import orjson
import pandas as pd
from pyflink.common import Configuration
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from benchmarks.peers.work import Work

JARS = Path(sys.prefix) / "jars"
MOST_MS = 900_000
"""Of an open transaction: what brokers allow by default; Flink would ask for an hour."""


class Answer(ScalarFunction):  # type: ignore[misc] # not installed where this is checked
    """Events in, predictions out, a pandas Series at a time."""

    def __init__(self, topic: str, model: str | None) -> None:
        self._named = topic, model

    def open(self, _context: FunctionContext) -> None:
        """Make the model where it is used."""
        self._work = Work(*self._named)

    def is_deterministic(self) -> bool:
        """It learns."""
        return False

    def eval(self, values: Any, offsets: Any, times: Any) -> Any:
        """Answer what came together."""
        milliseconds = times.dt.tz_localize(None).astype("datetime64[ms]").astype("int64").tolist()
        return pd.Series(self._work.many(values.tolist(), offsets.tolist(), milliseconds))


def run(
    bootstrap: str,
    group: str,
    events: str,
    predictions: str,
    guarantee: str,
    checkpoint_ms: int,
    folder: str,
    model: str | None = None,
) -> None:
    """Work until the process is ended."""
    work_folder = mkdtemp(prefix="flink-", dir=folder)
    os.environ["FLINK_LOG_DIR"] = work_folder
    os.environ["JAVA_TOOL_OPTIONS"] = f"-Djava.io.tmpdir={work_folder}"
    settings = {
        "parallelism.default": "1",
        "python.executable": sys.executable,
        "pipeline.jars": ";".join(path.as_uri() for path in JARS.glob("*.jar")),
        "execution.checkpointing.interval": f"{checkpoint_ms} ms",
        "execution.checkpointing.dir": Path(work_folder).as_uri(),
        "io.tmp.dirs": work_folder,
        "table.local-time-zone": "UTC",
    }
    configuration = Configuration()
    for name, value in settings.items():
        configuration.set_string(name, value)
    tables = TableEnvironment.create(
        EnvironmentSettings.new_instance()
        .in_streaming_mode()
        .with_configuration(configuration)
        .build()
    )
    answer = udf(Answer(events, model), result_type=DataTypes.BYTES(), func_type="pandas")
    tables.create_temporary_system_function("answer", answer)
    both = f"""
        'connector' = 'kafka', 'properties.bootstrap.servers' = '{bootstrap}',
        'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'raw',
        'value.fields-include' = 'EXCEPT_KEY'
    """
    tables.execute_sql(f"""
        CREATE TABLE events (
            k BYTES, v BYTES, `offset` BIGINT METADATA VIRTUAL,
            `timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL
        ) WITH (
            {both}, 'topic' = '{events}', 'properties.group.id' = '{group}',
            'scan.startup.mode' = 'earliest-offset'
        )
    """)
    tables.execute_sql(f"""
        CREATE TABLE predictions (k BYTES, v BYTES) WITH (
            {both}, 'topic' = '{predictions}', 'sink.delivery-guarantee' = '{guarantee}',
            'sink.transactional-id-prefix' = '{group}',
            'properties.transaction.timeout.ms' = '{MOST_MS}'
        )
    """)
    tables.execute_sql(
        "INSERT INTO predictions SELECT k, answer(v, `offset`, `timestamp`) FROM events"
    ).wait()


if __name__ == "__main__":
    run(**orjson.loads(sys.argv[1]))
