"""A worker's settings under a supervisor, and its connection to it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from millstream.config.sections import HttpSettings
from millstream.config.settings import Settings
from millstream.errors import SettingsError

_STATIC_MEMBER: Final = "group.instance.id"


def numbered(settings: Settings, number: int) -> Settings:
    """The settings of worker `number`: names of its own, and an address for the supervisor alone.

    Without `instance` in the settings its name comes from the host and a lock file, as ever.
    """
    changes: dict[str, object] = {
        "http": HttpSettings(enabled=settings.http.enabled, host="127.0.0.1", port=0)
    }
    if settings.instance is not None:
        changes["instance"] = f"{settings.instance}-{number}"
    if _STATIC_MEMBER in settings.kafka:
        member = f"{settings.kafka[_STATIC_MEMBER]}-{number}"
        changes["kafka"] = {**settings.kafka, _STATIC_MEMBER: member}
    return settings.model_copy(update=changes)


class ControlChannel:
    """The connection to the supervisor; it breaks when either of the two is gone."""

    def __init__(self, descriptor: int) -> None:
        """Raises `SettingsError` where `descriptor` is no socket, as a supervisor's child has."""
        try:
            self._socket = socket.socket(fileno=descriptor)
        except OSError as error:
            raise SettingsError(
                f"--line {descriptor} is what `run --workers` starts its workers with: leave it out"
            ) from error

    def tell(self, address: str) -> None:
        """Send the address of this worker's metrics; does nothing where the supervisor is gone."""
        with suppress(ConnectionError):
            self._socket.sendall(f"{address}\n".encode())

    def when_broken(self, stop: Callable[[], None]) -> None:
        """Call `stop`, from another thread, when the supervisor is gone, however it went."""
        threading.Thread(
            target=self._wait, args=(stop,), name="millstream-line", daemon=True
        ).start()

    def _wait(self, stop: Callable[[], None]) -> None:
        with suppress(ConnectionError):
            while self._socket.recv(64):
                pass
        stop()
