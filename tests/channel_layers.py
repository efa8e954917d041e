"""Brokers that use a real Redis, which may be a test's own, by channel layers or without."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError

from sockets.brokers import LocalBroker, make_broker
from sockets.ledger import Batch

from .servers import free_port

SHARED = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
BACKENDS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
START = 10.0
"""Seconds that a server has to listen."""


def layers(kind: str, address: str, name: str) -> dict[str, Any]:
    """CHANNEL_LAYERS with keys and connections that bear this name."""
    config = {"hosts": [{"address": address, "client_name": name}], "prefix": name}
    return {"default": {"BACKEND": BACKENDS[kind], "CONFIG": config}}


KINDS = ("core", "pubsub", "redis")
"""What carries to other processes: the layers of channels_redis, and Redis itself."""


def use_carrier(settings: Any, kind: str, address: str, name: str) -> None:
    """Have brokers use this Redis, by keys, channels and connections that bear this name."""
    if kind == "redis":
        url = f"{address}{'&' if '?' in address else '?'}prefix={name}&client_name={name}"
        settings.SOCKETS = {"BROKER": url}
    else:
        settings.CHANNEL_LAYERS = layers(kind, address, name)


def unique_name() -> str:
    return f"tests-{uuid.uuid4().hex}"


@contextmanager
def shared_redis() -> Iterator["Redis"]:
    """The machine's Redis; where there is none the test is skipped, and fails in CI."""
    with Redis.from_url(SHARED) as redis:
        try:
            redis.ping()
        except ConnectionError as fault:
            give_up(f"Redis is not there: {fault}")
        yield redis


def give_up(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class OwnRedis:
    """A server that only this test uses, on a port that it keeps. It forgets all when stopped."""

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            give_up("redis-server is not installed")
        self.port = free_port()
        self.address = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", f"{self.port}", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START
        while not self.answers():
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.01)

    def answers(self) -> bool:
        try:
            return bool(self.ask("ping"))
        except ConnectionError:
            return False

    def ask(self, command: str, *arguments: Any) -> Any:
        """What the server answers to a method of redis-py's client."""
        with Redis.from_url(self.address) as redis:
            return getattr(redis, command)(*arguments)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        """Let it take connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.resume()
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Ear:
    """A broker that listens, and what came to it."""

    def __init__(self, broker: LocalBroker) -> None:
        self.broker = broker
        self.texts: list[str] = []
        self.joins = 0

    def on_joined(self) -> None:
        self.joins += 1


@asynccontextmanager
async def hearing(address: str) -> AsyncIterator[Ear]:
    """An ear at this address of the layer that the settings name."""
    ear = Ear(make_broker())
    await ear.broker.listen(address, ear.texts.append, ear.on_joined)
    try:
        yield ear
    finally:
        await ear.broker.stop()


class Mouth:
    """A broker that only sends, as slowly as it may, and the batches that it sent."""

    def __init__(self, broker: Any) -> None:
        self.broker = broker
        self.publish = broker.publish
        self.sent: list[tuple[str, Batch]] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.drops = False
        """Whether what is sent gets lost without a word."""
        self.fails_afterwards = False
        """Whether what is sent the first time arrives, and is said not to have."""
        self._carry = broker._carrier.send
        broker._carrier.send = self._send

    @property
    def lost(self) -> int:
        return int(self.broker.lost)

    async def _send(self, address: str, text: str) -> None:
        await self.may_send.wait()
        is_first = (address, Batch.unpack(text)) not in self.sent
        self.sent.append((address, Batch.unpack(text)))
        if not self.drops:
            await self._carry(address, text)
        if self.fails_afterwards and is_first:
            raise ConnectionError("the connection was cut")

    async def carry(self, address: str, text: str) -> None:
        """Send any text, past the broker."""
        await self._carry(address, text)

    @property
    def batches(self) -> list[tuple[str, list[str]]]:
        """The texts that were sent together."""
        return [(address, batch.texts) for address, batch in self.sent if batch.texts]


@asynccontextmanager
async def sending() -> AsyncIterator[Mouth]:
    mouth = Mouth(make_broker())
    try:
        yield mouth
    finally:
        await mouth.broker.stop()
