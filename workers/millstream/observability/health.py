"""Liveness, readiness and metrics over HTTP."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final, Literal, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from millstream.config.sections import HttpSettings
from millstream.errors import Stop

STALL_AFTER_SECONDS: Final = 30.0
MOST_CONNECTIONS: Final = 64
"""Open at once; probes and Prometheus need a handful."""

_log = logging.getLogger(__name__)


class Health:
    """Whether the worker's loop makes progress, and whether its shards can work."""

    def __init__(
        self,
        stall_after: float = STALL_AFTER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_after = stall_after
        self._clock = clock
        self._last_beat = clock()
        # (seconds without a broker, when that was said) in one object, as below.
        self._outage: tuple[float, float] | None = None
        self._stall: str | None = None
        # (assigned, restored) in one object: the HTTP threads read it while the loop writes it.
        self._shards: tuple[int, int] | None = None

    def beat(self) -> None:
        """Say that the loop made a turn, with or without records; a restore beats as it reads."""
        self._last_beat = self._clock()

    def set_shards(self, assigned: int, restored: int) -> None:
        """Say that the worker is in its group, owns `assigned` shards and restored some of them."""
        self._shards = (assigned, restored)

    def set_outage(self, seconds: float) -> None:
        """Say for how long no broker has answered; 0: one does, or has until a moment ago."""
        if seconds:
            self._outage = (seconds, self._clock())
        elif self._outage is not None:
            self._outage = (0.0, self._outage[1])

    def set_stall(self, reason: str | None) -> None:
        """Say that records are there which nobody hands over; None: that is not so."""
        self._stall = reason

    def alive(self) -> bool:
        """Whether a beat came within the last `stall_after` seconds, and nothing is said to stall.

        A loop that waits for a broker that is away is not stuck, so an outage does not count: the
        loop has all that time again once a broker answers.
        """
        stalled = self.seconds_since_beat()
        if self._outage is not None:
            stalled = min(stalled, self._clock() - self._outage[1])
        return stalled <= self._stall_after and self._stall is None

    def ready(self) -> bool:
        """Whether nothing keeps the worker from working: see `why_not_ready`."""
        return self.why_not_ready() is None

    def why_not_ready(self) -> str | None:
        """What there is to wait for: a broker, the group, or shards that are being restored."""
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
        """How long ago the loop last made a turn."""
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


class Reports(Protocol):
    """Who can say how a worker is, or several."""

    def report(self) -> dict[str, object]:
        """Answer of /livez and /readyz, with the truth values `alive` and `ready`."""


class HealthServer:
    """Serves /metrics, /livez and /readyz from a thread of its own."""

    def __init__(self, http: HttpSettings, health: Reports, registry: CollectorRegistry) -> None:
        self._http = http
        self._health = health
        self._registry = registry
        self._server: ThreadingTCPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen; returns the address as `host:port`. Raises Stop where that is not possible."""
        host, port = self._http.host, self._http.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._server = _server_class(family)((host, port), self._handler())
        except (OSError, UnicodeError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or "no such host or port"
            raise Stop(
                f"cannot listen on {host}:{port} for /metrics and health ({why}): set "
                "http.host to an address of this machine, http.port to a free port (0 picks one), "
                "or http.enabled to false"
            ) from error
        # Polls for `stop` this often, in seconds.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="millstream-http", daemon=True
        )
        self._thread.start()
        address = f"{f'[{host}]' if ':' in host else host}:{self._server.server_address[1]}"
        _log.info("serving /metrics, /livez and /readyz", extra={"address": address})
        return address

    def stop(self) -> None:
        """Stop listening; does nothing where it never started."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        health, registry = self._health, self._registry

        class Handler(BaseHTTPRequestHandler):
            timeout = 10
            """Seconds that a client may take to send its request."""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    encode, content_type = _encoder(self.headers.get("Accept", ""))
                    self._answer(HTTPStatus.OK, content_type, encode(registry))
                elif path == "/livez":
                    self._answer_health("alive")
                elif path == "/readyz":
                    self._answer_health("ready")
                else:
                    body = b"/metrics, /livez or /readyz\n"
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", body)

            def do_HEAD(self) -> None:
                # The same without the body, as some load balancers ask.
                self.do_GET()

            def _answer_health(self, what: Literal["alive", "ready"]) -> None:
                report = health.report()
                status = HTTPStatus.OK if report[what] else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(report).encode())

            def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Probes come every few seconds: nothing to log."""

        return Handler


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The format that a client asks for; the plainest one where it names a version that is none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # it compares what is no number with numbers
        return choose_encoder("")


def _server_class(family: int) -> type[ThreadingTCPServer]:
    class Server(ThreadingTCPServer):
        address_family = family
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128
        """As many may knock at once; where more do, a probe waits a second for its next try."""

        def __init__(self, *args: Any) -> None:
            self._open: dict[Any, None] = {}  # oldest first
            self._changing = threading.Lock()
            super().__init__(*args)

        def process_request(self, request: Any, client_address: Any) -> None:
            """Let the oldest give way where there are too many.

            Each costs a thread and a descriptor, which the Kafka clients need too. Who is answered
            is gone in milliseconds, so the oldest is one that sends or reads slowly, or never.
            """
            with self._changing:
                self._open[request] = None
                oldest = next(iter(self._open)) if len(self._open) > MOST_CONNECTIONS else None
                self._open.pop(oldest, None)
                if oldest is not None:
                    with suppress(OSError):  # it has hung up by itself
                        oldest.shutdown(socket.SHUT_RDWR)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            """Forget it, before its descriptor is another's."""
            with self._changing:
                self._open.pop(request, None)
            super().shutdown_request(request)

        def handle_error(self, *_: object) -> None:
            """Log only: a client that hangs up in the middle is no error of ours."""
            _log.debug("a request to /metrics or a probe was broken off", exc_info=True)

    return Server
