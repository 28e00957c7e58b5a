"""Structured logs on stderr.

Log calls are constant sentences with fields in `extra`; none of them may hold a payload. Values
of secret settings, and parts of them, are removed from every line, in case a library puts one into
its message; `without_secrets` does the same for the output of a command.
"""

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from millstream.config.kafka_properties import HIDDEN, is_secret
from millstream.config.sections import LogSettings

_IN_A_URL: Final = re.compile(r"://[^/@\s]*?:([^/@\s]+)@")
"""A password in an address, such as that of an OAuth token endpoint, which librdkafka quotes."""
_SHORTEST_PART: Final = 4
"""Of a secret, in characters: hiding shorter ones would make sentences unreadable."""
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(
    log: LogSettings, kafka: Mapping[str, object] | None = None, *, clients: bool = True
) -> None:
    """Send every log of this process to stderr, formatted and filtered as the settings say.

    `kafka` are the connection properties; their secrets are removed from every line.
    `clients` is false for a short command, which reports errors of the Kafka clients itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    shape = _JsonFormatter if log.format == "json" else _TextFormatter
    handler.setFormatter(shape(secret_values(kafka or {})))
    handler.addFilter(split_librdkafka)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("millstream").setLevel(log.level.upper())
    logging.getLogger("millstream.librdkafka").setLevel(
        logging.NOTSET if clients else logging.CRITICAL
    )


def name_worker(number: int) -> None:
    """Put the number of this worker into every line, where several write to one stream."""

    def named(record: logging.LogRecord) -> bool:
        vars(record).setdefault("worker", number)
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(named)


def secret_values(kafka: Mapping[str, object]) -> tuple[str, ...]:
    """Secret values among librdkafka properties, and their parts, longest first.

    librdkafka parses some of them (`sasl.oauthbearer.config`), and quotes the part that is wrong.
    """
    secrets = {str(value) for name, value in kafka.items() if value and is_secret(name)}
    secrets |= {found for value in kafka.values() for found in _IN_A_URL.findall(str(value))}
    words = {word for secret in secrets for word in secret.split()}
    parts = words | {word.partition("=")[2] for word in words}
    parts = {part for part in parts if len(part) >= _SHORTEST_PART}
    return tuple(sorted(secrets | parts, key=len, reverse=True))


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """Replace the secrets in a text."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def without_secrets(text: str) -> str:
    """Replace the secrets that `configure` was given in a text for a user."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Formatter):
            text = hide(text, handler.formatter.secrets)
    return text


def split_librdkafka(record: logging.LogRecord) -> bool:
    """Turn a log line of a Kafka client into a sentence and fields.

    confluent-kafka logs with the arguments (facility, client's instance, message); the message
    begins with the thread, such as `[thrd:main]: `.
    """
    args = record.args
    if record.name.endswith("librdkafka") and isinstance(args, tuple) and len(args) == 3:
        facility, client, message = map(str, args)
        if facility == "CONFWARN" and "property and will be ignored" in message:
            return False  # the user's properties go to consumers and producers alike
        thread, found, rest = message.partition("]: ")
        if found and thread.startswith("[thrd:"):
            vars(record)["client_thread"] = thread.removeprefix("[thrd:")
            message = rest
        record.msg, record.args = message.strip(), ()
        vars(record).update(facility=facility, client=client)
    return True


class _Formatter(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        # With quotes or line ends in it, a secret looks different inside of a quoted string.
        shown = {form for secret in secrets for form in (secret, repr(secret)[1:-1])}
        quoted = {orjson.dumps(form).decode()[1:-1] for form in shown}
        self.secrets = tuple(sorted(shown | quoted, key=len, reverse=True))

    def format(self, record: logging.LogRecord) -> str:
        fields = {k: v for k, v in vars(record).items() if k not in _STANDARD_FIELDS}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = self.line(time.replace("+00:00", "Z"), record, fields)
        return hide(line, self.secrets)

    def line(self, time: str, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        raise NotImplementedError


class _TextFormatter(_Formatter):
    """`2026-01-31T12:00:00.000Z info    millstream.cli.run: sentence (field=value)`."""

    def line(self, time: str, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        exception = fields.pop("exception", None)
        shown = " ".join(f"{name}={value}" for name, value in fields.items())
        return (
            f"{time} {record.levelname.lower():7} {record.name}: {record.getMessage()}"
            + (f" ({shown})" if shown else "")
            + (f"\n{exception}" if exception else "")
        )


class _JsonFormatter(_Formatter):
    """One JSON object a line: time, level, logger, message, and the fields."""

    def line(self, time: str, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        entry = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
