"""Real servers for tests: each a subprocess on a free port, its log kept in a file."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parent.parent
"""The repository, which servers import `sockets` and `tests` from."""

START = 30.0
"""Seconds that a server has to listen."""
PATIENCE = 8.0
"""Seconds until what a test waits for counts as missing: the package's bound for an ending."""

FAULTS = (
    "Traceback",
    "Exception inside application",
    "never awaited",
    "never retrieved",
    "took too long to shut down",
    "was destroyed but it is pending",
)
"""What no log of a healthy server holds."""


def command_of(kind: str, application: str, port: int, manage: tuple[str, ...]) -> list[str]:
    """The command line of a server, as people type it."""
    return {
        "runserver": [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"],
        "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", f"{port}", application],
        "uvicorn": [
            "-m",
            "uvicorn",
            f"--port={port}",
            "--timeout-graceful-shutdown=2",
            application,
        ],
    }[kind]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment for a child that has Django settings of its own."""
    inherited = {key: text for key, text in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


def run(*arguments: str, cwd: Path = ROOT, **variables: str) -> None:
    """Run Python to its end; a failure shows what it printed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@contextmanager
def serving(
    kind: str,
    application: str,
    log: Path,
    *,
    cwd: Path = ROOT,
    manage: tuple[str, ...] = ("-m", "django"),
    port: int | None = None,
    **variables: str,
) -> Iterator["Server"]:
    """A server of this kind, listening, on a free port unless told which; stopped at the end."""
    port = port or free_port()
    command = [sys.executable, *command_of(kind, application, port, manage)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(**variables), stdout=output, stderr=output
        )
    server = Server(kind, port, process, log)
    try:
        server.wait_until_listening()
        yield server
    finally:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a test may have stopped it
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serving_live(kind: str, folder: Path) -> AbstractContextManager["Server"]:
    """The live project on a server, with a database in the folder."""
    settings = live_settings(live_database(folder))
    return serving(kind, "tests.live_project.asgi:application", folder / f"{kind}.log", **settings)


def live_settings(database: str) -> dict[str, str]:
    """What the live project is told of itself."""
    return {"DJANGO_SETTINGS_MODULE": "tests.live_project.settings", "LIVE_DATABASE": database}


def live_database(folder: Path) -> str:
    """The path of a database for the live project, with its tables and no rows."""
    database = folder / "live.sqlite3"
    database.write_bytes(migrated_database())
    return str(database)


@cache
def migrated_database() -> bytes:
    """What `migrate` makes of the live project's SQLite file."""
    with TemporaryDirectory() as folder:
        database = Path(folder) / "migrated.sqlite3"
        run("-m", "django", "migrate", **live_settings(str(database)))
        return database.read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server: what it is asked over HTTP and WebSockets, and what it logged."""

    def __init__(self, kind: str, port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.kind = kind
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self._process = process
        self._log = log
        self._marked = 0

    @property
    def is_daphne(self) -> bool:
        return self.kind != "uvicorn"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory(self) -> int:
        """The bytes of memory that the process holds."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def wait_until_listening(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"{self._process.args} does not listen.\n{self.log}")

    def mark(self) -> None:
        """Let `log` and `faults` begin here."""
        self._marked = self._log.stat().st_size

    @property
    def log(self) -> str:
        return self._log.read_bytes()[self._marked :].decode(errors="replace")

    def faults(self) -> list[str]:
        """The lines of the log that tell of a fault nobody expected."""
        return [line for line in self.log.splitlines() if any(fault in line for fault in FAULTS)]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def has_ended(self) -> bool:
        return self._process.poll() is not None

    async def get(self, path: str, *, cookie: str = "") -> tuple[int, Mapping[str, str], str]:
        """The status, headers and text of a page."""
        return await asyncio.to_thread(self._request, "GET", path, cookie=cookie)

    async def post(self, path: str, content: Any) -> None:
        """Have a page take this content, as JSON."""
        status, _, text = await asyncio.to_thread(self._request, "POST", path, json.dumps(content))
        assert status == 200, text

    def _request(
        self, method: str, path: str, body: str | None = None, cookie: str = ""
    ) -> tuple[int, Mapping[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = {"Connection": "close", **({"Cookie": cookie} if cookie else {})}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    async def get_cookie(self, path: str, *, cookie: str = "") -> str:
        """The cookie of the session that a visit to this page leads to."""
        status, headers, text = await self.get(path, cookie=cookie)
        assert status == 200, text
        return headers["Set-Cookie"].partition(";")[0]

    async def get_json(self, path: str) -> Any:
        status, _, text = await self.get(path)
        assert status == 200, text
        return json.loads(text)

    @asynccontextmanager
    async def client(
        self, path: str, *, origin: str | None = None, cookie: str = "", **options: Any
    ) -> AsyncIterator["Client"]:
        """A client that shakes hands as a browser does, and is closed at the end."""
        settings = {"compression": None, "proxy": None, "max_size": None, "close_timeout": 2}
        async with connect(
            f"ws://127.0.0.1:{self.port}{path}",
            origin=origin or self.origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": cookie} if cookie else None,
            **settings | options,
        ) as connection:
            yield Client(connection)


class Client:
    """One WebSocket, speaking the native wire."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._refs = 0

    async def send(self, message: Any) -> None:
        """Send text and bytes as they are, anything else as JSON."""
        frame = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.connection.send(frame)

    async def receive(self) -> Any:
        """The next frame."""
        return json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE))

    async def tell(self, type: str, **fields: Any) -> Any:
        """Send a message without a ref and return the next frame."""
        await self.send({"type": type, **fields})
        return await self.receive()

    async def ask(self, type: str, **fields: Any) -> Any:
        """Send a message with a ref and return the next frame, which must answer it."""
        self._refs += 1
        await self.send({"type": type, "ref": self._refs, **fields})
        answer = await self.receive()
        assert answer.get("ref") == self._refs, answer
        return answer

    async def close_code(self) -> int | None:
        """The code with which the server closes; frames until then are skipped."""
        await asyncio.wait_for(self.connection.wait_closed(), PATIENCE)
        return self.connection.close_code

    def cut(self) -> None:
        """Vanish: no close frame, only the end of TCP."""
        self.connection.transport.abort()

    def stop_reading(self) -> None:
        self.connection.transport.pause_reading()

    def read_on(self) -> None:
        self.connection.transport.resume_reading()


async def eventually(probe: Callable[[], Any], accept: Callable[[Any], Any] = bool) -> Any:
    """The first acceptable value of `probe`, a coroutine function; fails when none comes."""
    deadline, pause = time.monotonic() + PATIENCE, 0.01
    while not accept(value := await probe()):
        assert time.monotonic() < deadline, f"after {PATIENCE:g} s still {value!r}"
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.1)
    return value
