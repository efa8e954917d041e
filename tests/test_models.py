"""Live connections as rows."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from sockets.models import Process, Socket

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    process = Process.objects.create(expires=timezone.now() + timedelta(minutes=1))
    return Socket.objects.create(process=process, path="/table/7/")


def test_rows_are_marked_in_either_colour(row):
    assert async_to_sync(Socket.objects.filter(path="/table/7/").amark_inactive)() == 1
    assert not Socket.objects.online().exists()
    assert async_to_sync(Socket.objects.all().amark_active)() == 1
    assert Socket.objects.online().get() == row


def test_what_rows_are_called(row):
    assert str(row) == "/table/7/ (anonymous)"
    assert str(row.process) == str(row.process_id)
