"""What the whole suite shares."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import SimpleTestCase

from sockets import RoutedSocketHandler
from sockets.hub import Hub


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
    has_database = (
        request.node.get_closest_marker("django_db")
        or request.node.get_closest_marker("tracked")
        or "transactional_db" in request.fixturenames
        or issubclass(request.cls or object, SimpleTestCase)
    )
    if not has_database:
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
