"""A stable transactional id per worker slot, so that a restart fences only its predecessor.

The transactional id is app + host + the first free slot on this host. A slot is a lock on a file,
which the kernel releases however its holder dies; the file itself stays and means nothing.
"""

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import IO

from millstream.delivery.producer_warmup import ProducerWarmup
from millstream.errors import Stop

MAX_SLOTS = 1_000


def host_folder() -> Path:
    """Return the folder that this user's workers on this host share; it need not exist yet."""
    return Path(tempfile.gettempdir()) / f"millstream-{os.getuid()}"


class TransactionalIdLease:
    """Leases a slot of this host until `release` or the end of the process."""

    def __init__(self, app: str, instance: str | None, folder: Path | None = None) -> None:
        """`instance`: a name that the user keeps unique; it needs no lock. Raises `Stop`."""
        self._lock: IO[str] | None = None
        self.warmup: ProducerWarmup | None = None
        """The first producer of this id, if it was started before the worker."""
        if instance is not None:
            self.name = f"{app}-{instance}"
            return
        self.name = f"{app}-{socket.gethostname()}-{self._take(app, folder)}"

    def _take(self, app: str, folder: Path | None) -> int:
        folder = folder or host_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for slot in range(MAX_SLOTS):
                lock = (folder / f"{app}.{slot}.lock").open("w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.close()
                    continue
                self._lock = lock
                return slot
        except OSError as error:
            raise Stop(
                f"no lock file can be made in {folder} ({error.strerror}): make the folder "
                "writable, set TMPDIR, or name this worker with the setting instance"
            ) from error
        raise Stop(f"{MAX_SLOTS} workers of app {app} run on this host already")

    def release(self) -> None:
        """Release the slot."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
