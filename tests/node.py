"""Node for tests: other people's clients, installed once from `tests/javascript`."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from .servers import PATIENCE, ROOT

FOLDER = ROOT / "tests" / "javascript"


def find_node() -> str:
    """Node's path, with the packages there; the test is skipped where either cannot be, but for CI.

    An installation is of the `package-lock.json` that npm has left in it.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return _do_without("node and npm are not on the PATH")
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            return _do_without(f"npm cannot install: {done.stderr}")
        installed.touch()
    return node


def _do_without(why: str) -> str:
    if os.environ.get("CI") == "true":
        raise FileNotFoundError(why)
    pytest.skip(why)


class Fault(Exception):
    """What a promise of the client was rejected with."""


class DcrfClient:
    """dcrf-client in a process of its own: its methods, and what it tells of."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    def start(self, method: str, *values: Any) -> "asyncio.Future[Any]":
        """Call a method of the client; the future is what its promise settles to."""
        self._number += 1
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        call = {"number": self._number, "method": method, "values": values}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(call).encode() + b"\n")
        return future

    async def call(self, method: str, *values: Any) -> Any:
        return await asyncio.wait_for(self.start(method, *values), PATIENCE)

    async def refusal(self, method: str, *values: Any) -> Any:
        """What the promise of a call is rejected with."""
        with pytest.raises(Fault) as raised:
            await self.call(method, *values)
        return raised.value.args[0]

    async def event(self) -> dict[str, Any]:
        """What it tells of next: that it is open or closed, or what a subscription has brought."""
        return await asyncio.wait_for(self._events.get(), PATIENCE)

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "event" in told:
                self._events.put_nowait(told)
            elif "fault" in told:
                self._waiting.pop(told["number"]).set_exception(Fault(told["fault"]))
            else:
                self._waiting.pop(told["number"]).set_result(told["value"])


@asynccontextmanager
async def dcrf_client(url: str, stream: str = "") -> AsyncIterator[DcrfClient]:
    """A client of a socket, whose frames are bare where a stream is given, ended at the end."""
    pipe = asyncio.subprocess.PIPE
    script = FOLDER / "dcrf_client.js"
    process = await asyncio.create_subprocess_exec(
        find_node(), str(script), url, *filter(None, [stream]), stdin=pipe, stdout=pipe
    )
    client = DcrfClient(process)
    try:
        yield client
    finally:
        await client.end()
