"""The errors of Millstream; the class says who acts, and how.

- `DeadLetter`: the processor writes the record to the dead-letters topic and continues with the
  next one.
- `StateInvalid`: the runner aborts the transaction, restores the partition from its logs, and
  processes the same records again.
- `Stop`: the worker ends with one sentence and a non-zero exit code; the user acts.
- `SettingsError`: the same, over a setting that the user has to change.
"""

from typing import Final

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""Exit code of Ctrl-C, as shells have it."""


class Terminated(SystemExit):
    """SIGTERM ended a short command; told from a `sys.exit` in user code by its class."""


class MillstreamError(Exception):
    """Base class of the errors that Millstream raises on purpose."""


class DeadLetter(MillstreamError):
    """A record that cannot be processed: the processor writes it to the dead-letters topic.

    `reason` is a key of `core.records.record.REASONS` (a metric label and a header);
    `detail` explains it to a person, and never has a value from the payload.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class StateInvalid(MillstreamError):
    """State in memory that cannot be trusted: the runner restores the partition from its logs.

    The record at `offset` of the input `side` is rejected with the reason `skip` the next time.
    """

    def __init__(self, side: str, offset: int, skip: DeadLetter) -> None:
        super().__init__(f"{side} at offset {offset}: {skip}")
        self.side = side
        self.offset = offset
        self.skip = skip


class Stop(MillstreamError):
    """The worker ends, and the user acts; the message is one sentence: what, where, what to do."""

    exit_code: int = EXIT_FAILURE


class SettingsError(Stop):
    """A wrong setting, which the user changes; the message names it and what would be right."""

    exit_code = EXIT_USAGE
