"""What the whole suite shares."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import SimpleTestCase

from sockets import RoutedSocketHandler
from sockets.hub import Hub


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--with-database", action="store_true", help="only tests that have one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, where it is asked for, the tests that are the same on every database."""
    if config.getoption("--with-database"):
        without = [item for item in items if not has_database(item)]
        config.hook.pytest_deselected(items=without)
        items[:] = filter(has_database, items)


def has_database(item: pytest.Item) -> bool:
    return bool(
        item.get_closest_marker("django_db")
        or item.get_closest_marker("tracked")
        or {"transactional_db", "django_db_setup"}.intersection(item.fixturenames)
        or issubclass(item.cls or object, SimpleTestCase)
    )


def pytest_collection_finish() -> None:
    """Let garbage collections pass over all modules and tests: many of the tests ask for one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a thread of the lanes or a hub behind."""
    yield
    for thread in threading.enumerate():
        if "sockets-lane" in thread.name:
            thread.join(timeout=1.0)  # it has told that it ends
            assert not thread.is_alive()
    assert not Hub._by_loop


@pytest.fixture(autouse=True)
def rows_where_a_test_has_a_database(request, monkeypatch) -> None:
    """Connections of tests without a database are not tracked."""
    if not has_database(request.node):
        monkeypatch.setattr(RoutedSocketHandler, "tracked", False)


@pytest.fixture
async def closing_connections() -> AsyncIterator[None]:
    """What a test opened with `sync_to_async` is closed, so that the database can be dropped."""
    yield
    await sync_to_async(connections.close_all)()


async def until(condition, timeout: float = 2.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)
