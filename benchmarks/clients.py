"""The clients: real WebSockets in this process, by picows on uvloop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .peers import TEXT
from .servers import Server
from .wires import Wire

Take = Callable[["Client", bytes], None]
EXPECTED = TEXT.encode()
AT_ONCE = 64
"""Handshakes that are under way at the same time."""


class Client(WSListener):
    """One connection, which hands its frames to `take` once it is ready."""

    def __init__(self, wire: Wire) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.take: Take = ignore
        self.closed = False
        self.fault = ""
        """What was wrong with a frame."""
        self._wire = wire
        self._greeting = wire.greeting

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if self._wire.ready is None:
            self.ready.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server closed the connection"))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self._receive(frame.get_payload_as_bytes())

    def _receive(self, data: bytes) -> None:
        if not self.ready.done():
            self._begin(data.decode())
        elif self._wire.ping is not None and data == self._wire.ping.encode():
            self.send((self._wire.pong or "").encode())
        else:
            self.take(self, data)

    def _begin(self, text: str) -> None:
        if self._greeting is not None:
            self.send(self._greeting.encode())
            self._greeting = None
        elif text.startswith(self._wire.ready or ""):
            self.ready.set_result(None)

    def send(self, data: bytes) -> None:
        self.transport.send(WSMsgType.TEXT, data)


def ignore(client: Client, data: bytes) -> None:
    """Take a frame and do nothing."""


def check(client: Client, data: bytes) -> None:
    """See that a frame is an answer: a peer that answers with errors must not win."""
    if EXPECTED not in data:
        client.fault = f"expected {TEXT!r} in an answer, got {data[:300]!r}"


@asynccontextmanager
async def crowd(server: Server, count: int, *, fan: bool = False) -> AsyncIterator[list[Client]]:
    """So many clients, connected; members of the group with `fan`."""
    url = server.url(server.wire.fan_path if fan else server.wire.path)
    gate = asyncio.Semaphore(AT_ONCE)
    clients: list[Client] = []

    async def connect() -> None:
        async with gate:
            _, client = await ws_connect(
                lambda: Client(server.wire),
                url,
                extra_headers=server.headers,
                websocket_handshake_timeout=60,
            )
            clients.append(client)
            await client.ready

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(connect())
        yield clients
        if faults := [client.fault for client in clients if client.fault]:
            raise ValueError(faults[0])
    finally:
        for client in clients:
            client.transport.disconnect()
