"""Liveness and readiness of a worker."""

import time
from collections.abc import Callable
from typing import Final

STALL_AFTER_SECONDS: Final = 30.0


class Health:
    """Progress of the worker's loop, and readiness of its partitions."""

    def __init__(
        self,
        stall_after: float = STALL_AFTER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_after = stall_after
        self._clock = clock
        self._last_beat = clock()
        # (seconds without a broker, when that was set) in one object, as below.
        self._outage: tuple[float, float] | None = None
        self._stall: str | None = None
        # (assigned, restored) in one object: the HTTP threads read it while the loop writes it.
        self._shards: tuple[int, int] | None = None

    def beat(self) -> None:
        """Record a turn of the loop, with or without records; a restore beats as it reads."""
        self._last_beat = self._clock()

    def set_shards(self, assigned: int, restored: int) -> None:
        """Record how many partitions the worker owns in its group, and has restored."""
        self._shards = (assigned, restored)

    def set_outage(self, seconds: float) -> None:
        """Record for how many seconds no broker has answered; 0: one does."""
        if seconds:
            self._outage = (seconds, self._clock())
        elif self._outage is not None:
            self._outage = (0.0, self._outage[1])

    def set_stall(self, reason: str | None) -> None:
        """Record why available records are not being delivered; None: they are."""
        self._stall = reason

    def alive(self) -> bool:
        """Whether the loop made a turn within the last `stall_after` seconds, and nothing stalls.

        A loop that waits for brokers is not stuck, so an outage does not count: the time begins
        anew once a broker answers.
        """
        stalled = self.seconds_since_beat()
        if self._outage is not None:
            stalled = min(stalled, self._clock() - self._outage[1])
        return stalled <= self._stall_after and self._stall is None

    def ready(self) -> bool:
        """Whether all of the worker's partitions are being processed: see `why_not_ready`."""
        return self.why_not_ready() is None

    def why_not_ready(self) -> str | None:
        """Reason for not being ready (no broker, no group, a stall, a restore); None: it is."""
        if self._outage is not None and self._outage[0]:
            return f"no broker has answered for {self._outage[0]:.0f} s"
        if self._stall is not None:
            return self._stall
        if self._shards is None:
            return "the worker has not joined its group yet"
        assigned, restored = self._shards
        if assigned != restored:
            return f"{restored} of {assigned} shards are restored"
        return None

    def seconds_since_beat(self) -> float:
        """Seconds since the loop last made a turn."""
        return self._clock() - self._last_beat

    def report(self) -> dict[str, object]:
        """Answer of /livez and /readyz."""
        assigned, restored = self._shards or (0, 0)
        return {
            "alive": self.alive(),
            "ready": self.ready(),
            "reason": self.why_not_ready(),
            "joined": self._shards is not None,
            "shards_assigned": assigned,
            "shards_restored": restored,
            "seconds_since_progress": round(self.seconds_since_beat(), 3),
        }
