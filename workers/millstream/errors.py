"""The errors of Millstream; the class says what is done about one.

- `DeadLetter`: this record cannot be worked on. It goes to the dead-letters topic, the next one
  follows.
- `StateInvalid`: the shard's state in memory can no longer be trusted. The transaction is aborted,
the
  shard restored from its logs, and the same records come again.
- `Stop`: nothing here can mend it. The worker ends with one sentence and a non-zero exit code.
"""

from typing import Final

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""As a shell reports Ctrl-C."""


class Terminated(SystemExit):
    """SIGTERM has come to a short command; other than a `sys.exit` in code of the user's."""


class MillstreamError(Exception):
    """Any error that Millstream raises on purpose."""


class DeadLetter(MillstreamError):
    """One record that ends in the dead-letters topic.

    `reason` is a short word from `core.records.REASONS` (a metric label and a header);
    `detail` says more for a person, and never holds a value from the payload.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class StateInvalid(MillstreamError):
    """The shard must be restored before it goes on: see `core.processor`.

    `skip` is the reason under which the record at `offset` of `side` is left out next time.
    """

    def __init__(self, side: str, offset: int, skip: DeadLetter) -> None:
        super().__init__(f"{side} at offset {offset}: {skip}")
        self.side = side
        self.offset = offset
        self.skip = skip


class Stop(MillstreamError):
    """The worker cannot go on; the message is one sentence: what, where, what to do."""

    exit_code: int = EXIT_FAILURE


class SettingsError(Stop):
    """The user's settings are wrong; the message names the setting and what would be right."""

    exit_code = EXIT_USAGE
