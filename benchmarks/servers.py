"""The servers that are measured: each a process, asleep but while it is its turn."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from .machine import FOR_CLIENTS, FOR_SERVERS, pin
from .wires import wire_of

ROOT = Path(__file__).resolve().parent.parent
START = 30.0
"""Seconds that a server has to listen."""
COMMANDS = {
    "uvicorn": [
        "uvicorn",
        "--log-level=error",
        "--no-access-log",
        "--timeout-graceful-shutdown=1",
        "--port={port}",
        "benchmarks.project.asgi:application",
    ],
    "daphne": [
        "daphne",
        "--verbosity=0",
        "--bind=127.0.0.1",
        "--port={port}",
        "benchmarks.project.asgi:application",
    ],
}


class Unavailable(Exception):
    """A peer cannot be measured here, and why."""


class Server:
    """A running server with the application of one peer."""

    def __init__(self, spec: str, kind: str, variables: dict[str, str], log: Path) -> None:
        self.spec = spec
        self.kind = kind
        self.wire = wire_of(spec)
        self.variables = environment(spec, variables)
        self.port = free_port()
        self.headers: dict[str, str] = {}
        self._log = log
        command = [sys.executable, "-m", *COMMANDS[kind]]
        self._process = start(
            [part.format(port=self.port) for part in command], self.variables, log
        )
        try:
            wait_until_listening(self.port, self._process, log)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def asleep(self) -> "Callable[[], AbstractContextManager[Server]]":
        """Stop it, but while a context of what this returns is entered."""
        self._process.send_signal(signal.SIGSTOP)
        return self._awake

    @contextmanager
    def _awake(self) -> Iterator["Server"]:
        self._process.send_signal(signal.SIGCONT)
        try:
            yield self
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        stop(self._process)


def environment(spec: str, variables: dict[str, str]) -> dict[str, str]:
    """The environment of a process with this peer, `ours:layer=core:session` for one."""
    peer, *options = spec.split(":")
    given = dict((option if "=" in option else f"{option}=1").split("=") for option in options)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
        "PYTHONPATH": str(ROOT),
        "BENCH_PEER": peer,
        **variables,
        **{f"BENCH_{name.upper()}": value for name, value in given.items()},
    }


def start(
    command: list[str], variables: dict[str, str], log: Path, processor: int = FOR_SERVERS
) -> "subprocess.Popen[bytes]":
    """A process on a processor, what it prints appended to a log."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=output)
    with suppress(ProcessLookupError, FileNotFoundError):  # it has ended already
        pin(process.pid, processor)
    return process


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(last_line(log))
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise Unavailable(f"it did not listen within {START:g} s")


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it ended without a word")


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The URL of a Redis of our own, beside the clients; "" where none is installed."""
    if (found := shutil.which("redis-server")) is None:
        yield ""
        return
    port, log = free_port(), folder / "redis.log"
    options = [f"--port {port}", "--bind 127.0.0.1", '--save ""', "--appendonly no"]
    process = start([found, *" ".join(options).split(" ")], dict(os.environ), log, FOR_CLIENTS)
    try:
        wait_until_listening(port, process, log)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        stop(process)
