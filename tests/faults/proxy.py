"""A TCP proxy before a broker, whose connections can be cut, reset, delayed and silenced."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

OFFSET_COMMIT: Final = 8
END_TRANSACTION: Final = 26
"""Kafka's keys of the requests that a commit is made of, at least once and exactly once."""
LIST_OFFSETS: Final = 2
"""Kafka's key of the request for a log's beginning or end."""


class Proxy:
    """Forwards `port` of this host to a broker; a context manager with a thread of its own."""

    def __init__(self, port: int, upstream: tuple[str, int]) -> None:
        self._port = port
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self.delay = 0.0
        """Seconds by which each piece is late, in both directions."""
        self.silent = False
        """Nothing passes, and nobody is told: half-open connections."""
        self.swallow: int | None = None
        """Key of a request: the next answer to one is lost, and its connection with it."""
        self.swallowed = 0
        self.late: dict[int, float] = {}
        """Key of a request to the seconds by which its answers are late."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.heal()
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self._port}"

    def down(self) -> None:
        """Refuse new connections and cut those that there are."""
        self._call(self._close())

    def up(self) -> None:
        """Take connections again."""
        self._call(self._listen())

    def cut(self) -> None:
        """End every connection in good order; new ones are taken."""
        self._call(self._end(lambda connection: connection.close()))

    def reset(self) -> None:
        """End every connection with a reset (RST); new ones are taken."""
        self._call(self._end(lambda connection: connection.abort()))

    def heal(self) -> None:
        """No delay, no silence; connections that were silenced are reset."""
        self.delay, self.swallow, self.late = 0.0, None, {}
        if self.silent:
            self.silent = False
            self.reset()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._end(lambda connection: connection.close())

    async def _end(self, how: "Callable[[_Connection], None]") -> None:
        for connection in list(self._connections):
            how(connection)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_broker = await asyncio.open_connection(*self._upstream)
        except OSError:  # the broker is away: so is this connection
            writer.close()
            return
        connection = _Connection(self, (reader, writer), to_broker)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


class _Connection:
    """One client's connection, forwarded frame by frame (a frame is a size and so many bytes)."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client, self._broker = client, broker
        self._watched: set[int] = set()
        """Correlation ids of requests whose answer is to be lost."""
        self._slow: dict[int, float] = {}
        """Correlation ids of requests whose answer is to be late, by so many seconds."""

    async def run(self) -> None:
        """Forward until either end closes."""
        ways = [
            asyncio.create_task(self._forward(self._client[0], self._broker[1], self._request)),
            asyncio.create_task(self._forward(self._broker[0], self._client[1], self._answer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self.close()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        passes: Callable[[bytes], bool],
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = await source.readexactly(4)
                frame = await source.readexactly(struct.unpack(">i", size)[0])
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                if not passes(frame):
                    return
                if passes == self._answer:
                    await asyncio.sleep(self._slow.pop(struct.unpack_from(">i", frame)[0], 0))
                while self._proxy.silent:
                    await asyncio.sleep(0.05)
                sink.write(size + frame)
                await sink.drain()

    def _request(self, frame: bytes) -> bool:
        key, _version, correlation = struct.unpack_from(">hhi", frame)
        if key == self._proxy.swallow:
            self._watched.add(correlation)
        if key in self._proxy.late:
            self._slow[correlation] = self._proxy.late[key]
        return True

    def _answer(self, frame: bytes) -> bool:
        (correlation,) = struct.unpack_from(">i", frame)
        if correlation not in self._watched or self._proxy.swallow is None:
            return True
        self._proxy.swallow = None
        self._proxy.swallowed += 1
        return False

    def close(self) -> None:
        """End both sides in good order."""
        for _, writer in (self._client, self._broker):
            writer.close()

    def abort(self) -> None:
        """End both sides with a reset."""
        for _, writer in (self._client, self._broker):
            end: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it has ended by itself meanwhile
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
