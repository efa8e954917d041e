"""A Redis of our own, which can be told to fail."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from .machine import FOR_CLIENTS
from .servers import free_port, start, stop, wait_until_listening


class RedisServer:
    """A Redis beside the clients, on a port that it keeps; it forgets all when it ends."""

    def __init__(self, command: str, folder: Path) -> None:
        self._port, self._log = free_port(), folder / "redis.log"
        options = f'--port {self._port} --bind 127.0.0.1 --save "" --appendonly no'
        self._command = [command, *options.split(" ")]
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self._process: subprocess.Popen[bytes] = start(
            self._command, dict(os.environ), self._log, FOR_CLIENTS
        )
        wait_until_listening(self._port, self._process, self._log)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        """Let it take connections, and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Cut all connections, of those who listen and of the others."""
        with Redis.from_url(self.url) as redis:
            for kind in ("pubsub", "normal"):
                redis.client_kill_filter(_type=kind)

    def stop(self) -> None:
        stop(self._process)


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer | None]:
    """A Redis of our own; None where none is installed."""
    if (found := shutil.which("redis-server")) is None:
        yield None
        return
    redis = RedisServer(found, folder)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
