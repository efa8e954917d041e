"""Redis as a carrier, by the package redis."""

from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode

from django.utils.crypto import salted_hmac

from .carriers import Carrier
from .exceptions import DeclarationError

try:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as fault:
    raise DeclarationError(
        "SOCKETS['BROKER'] is the URL of a Redis, which needs the package redis; "
        'pip install "django-socket-router[redis]"'
    ) from fault

TIMEOUT = 5.0
"""Seconds that Redis has to answer, or to bring anything at all to a process that listens."""


class RedisCarrier(Carrier):
    """Publish and subscribe, over one connection each.

    Redis numbers databases, but not what is published in them, and knows no projects. So the
    channels begin with a prefix that only processes with this `SECRET_KEY` and database have, or
    with the one that the URL gives as `prefix`.
    """

    def __init__(self, url: str) -> None:
        url, prefix = _split_prefix(url)
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),  # the broker does it, and counts
            )
        except ValueError:  # whose text may have parts of a password in it
            raise DeclarationError(
                "expected SOCKETS['BROKER'] to be a URL as redis://user:password@host:6379/0, "
                "got one that the package redis cannot read; percent-encode what is special in it"
            ) from None
        database = self._redis.connection_pool.connection_kwargs.get("db", 0)
        mark = salted_hmac("sockets", f"{database}", algorithm="sha256").hexdigest()[:16]
        self._prefix = prefix or f"sockets:{mark}"
        self._pubsub: PubSub | None = None

    async def join(self, addresses: Collection[str]) -> None:
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        await self._pubsub.subscribe(*map(self._channel, addresses))

    async def receive(self) -> object:
        assert self._pubsub is not None
        while (message := await self._pubsub.get_message(timeout=None)) is None:
            pass
        return message["data"]

    async def send(self, address: str, text: str) -> None:
        await self._redis.publish(self._channel(address), text)

    async def start_over(self) -> None:
        # Both connections: their server may have given its name to another one.
        await self.close()

    async def close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        try:
            if pubsub is not None:
                await pubsub.aclose()  # type: ignore[no-untyped-call]
        finally:
            await self._redis.connection_pool.disconnect()

    def _channel(self, address: str) -> str:
        return f"{self._prefix}:{address}"


def _split_prefix(url: str) -> tuple[str, str]:
    """The URL for redis, and the prefix that it gives."""
    address, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    prefix = options.pop("prefix", "")
    return f"{address}?{urlencode(options)}" if options else address, prefix
