"""Named points at which a test can kill the worker by SIGKILL, as a crash or the kernel would.

Off unless the variable `MILLSTREAM_FAILPOINT` names one: `before_commit:3` dies at the third time,
`before_commit:3:5` sleeps there for five seconds instead, while the Kafka clients' threads run.
Reached once per batch, per chunk of one, or per step of a restore, never per event.
"""

import logging
import os
import re
import signal
import time
from collections.abc import Callable
from typing import Final

from millstream.errors import SettingsError

NAMES: Final[dict[str, str]] = {
    "after_poll": "records were fetched, and nothing of them is processed",
    "after_learning": "a batch is processed, and (exactly once) written without being flushed",
    "mid_produce": "a part of a batch's outputs is at the broker",
    "before_offsets": "all outputs of a batch are at the broker, its offsets are not",
    "before_commit": "offsets are in the transaction, which is not committed; at least once: as "
    "before_offsets",
    "after_commit": "a commit has returned, and nobody knows of it yet",
    "mid_restore": "a step of a restore is done, and others are to come",
    "after_claim": "at least once, late labels: the claim of a new owner stands, and no offset is "
    "committed in its name",
    "mid_snapshot": "a part of a snapshot is stored",
    "before_pointer": "all of a snapshot is stored, and nothing points to it",
    "in_revoke": "partitions were taken away, and the group does not know that they are let go",
}
"""Every failpoint, with the work done and not done there."""

_log = logging.getLogger(__name__)
_armed: str | None = None
_times_left = 0
_pause = 0.0


def arm(failpoint: str | None) -> None:
    """Die at `NAME[:TIMES]`, or sleep at `NAME:TIMES:SECONDS`; None: nowhere.

    Raises `SettingsError` for anything else.
    """
    global _armed, _times_left, _pause  # noqa: PLW0603 - one per process, as its death is
    if failpoint is None:
        _armed = None
        return
    found = re.fullmatch(r"(\w+)(?::(\d+))?(?::(\d+(?:\.\d+)?))?", failpoint)
    if found is None or found[1] not in NAMES:
        raise SettingsError(
            f"MILLSTREAM_FAILPOINT is {failpoint!r}: write NAME, NAME:TIMES or NAME:TIMES:SECONDS, "
            f"and for NAME one of {', '.join(NAMES)}"
        )
    _armed, _times_left, _pause = found[1], int(found[2] or 1), float(found[3] or 0)
    _log.warning("a failpoint is armed", extra={"failpoint": failpoint})


def reach(name: str, last_act: Callable[[], object] | None = None) -> None:
    """Die here if this failpoint is armed and its time has come; calls `last_act` just before."""
    global _armed, _times_left  # noqa: PLW0603 - as above
    if name != _armed:
        return
    _times_left -= 1
    if _times_left > 0:
        return
    if last_act is not None:
        last_act()
    if not _pause:
        os.kill(os.getpid(), signal.SIGKILL)
    _armed = None
    _log.warning("sleeping at a failpoint", extra={"failpoint": name, "seconds": _pause})
    time.sleep(_pause)
