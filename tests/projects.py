"""The live project, with a database and a carrier of its own for as long as a test runs."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from .servers import Server, live_database, live_settings, run, serving
from .test_databases import connect_to_postgresql

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")

Pair = tuple[Server, Server]


class Site:
    """A project whose processes share a database and, where one is named, a carrier."""

    def __init__(
        self, folder: Path, database: str, carrier: str, redis_url: str, lease: float
    ) -> None:
        self.prefix = f"{uuid.uuid4().hex}:"
        self._folder = folder
        self._variables = {
            **live_settings(database),
            "LIVE_CARRIER": carrier,
            "LIVE_LEASE": str(lease),
            "LIVE_PREFIX": self.prefix,
            "LIVE_REDIS": redis_url,
        }

    @contextmanager
    def serving(self, name: str, **variables: str) -> Iterator[Server]:
        """A server with a log of this name, in which nothing unusual may be at the end."""
        application, log = "tests.live_project.asgi:application", self._folder / f"{name}.log"
        with serving("uvicorn", application, log, **self._variables, **variables) as server:
            yield server
            check_log(server)

    @contextmanager
    def pair(self) -> Iterator[Pair]:
        """Two servers."""
        with self.serving("a") as a, self.serving("b") as b:
            yield a, b

    def manage(self, *arguments: str) -> None:
        """Run a management command, which must end by itself and without a fault."""
        run("-m", "django", *arguments, **self._variables)


@contextmanager
def site_of(
    folder: Path,
    *,
    database: str = "sqlite",
    carrier: str = "",
    redis_url: str = REDIS,
    lease: float = 15.0,
) -> Iterator[Site]:
    """A project with an empty database, of which nothing is left at the end."""
    with ExitStack() as stack:
        if database == "postgresql":
            database = f"postgresql:{stack.enter_context(postgresql_database())}"
        else:
            database = live_database(folder)
        site = Site(folder, database, carrier, redis_url, lease)
        if carrier:
            stack.enter_context(redis_keys(redis_url, site.prefix))
        if database.startswith("postgresql:"):
            site.manage("migrate", "--verbosity=0")
        yield site


@contextmanager
def postgresql_database() -> Iterator[str]:
    name = f"live_{uuid.uuid4().hex}"
    with service(connect_to_postgresql) as connection:
        connection.autocommit = True
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def redis_keys(url: str, prefix: str) -> Iterator[None]:
    """Delete, at the end, what begins with this prefix."""
    with service(partial(connect_to_redis, url)) as connection:
        try:
            yield
        finally:
            for key in connection.scan_iter(f"{prefix}*"):
                connection.delete(key)


def connect_to_redis(url: str) -> Any:
    connection = redis.Redis.from_url(url)
    connection.ping()
    return connection


@contextmanager
def service(connect: Callable[[], Any]) -> Iterator[Any]:
    """A connection to a service; the test is skipped where there is none, but for CI."""
    try:
        connection = connect()
    except (psycopg.OperationalError, redis.ConnectionError) as fault:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"a service is not there: {fault}")
    with connection:
        yield connection


def check_log(server: Server) -> None:
    """Show the log, and fail where it tells of more than people who come and go."""
    print(server.log)
    assert [line for line in server.log.splitlines() if not line.startswith("INFO: ")] == []
