"""The statements that write rows under a process's lease."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from sockets.lease import Lease
from sockets.models import Process, Socket
from sockets.signals import connections_lost

pytestmark = pytest.mark.django_db


def row_of(process, **fields):
    return Socket.objects.create(process=process, path="/", **fields)


@pytest.fixture
def dead():
    return Process.objects.create(expires=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def alive():
    return Process.objects.create(expires=timezone.now() + timedelta(minutes=1))


def test_online_means_active_and_of_a_living_process(dead, alive):
    row_of(dead)
    row_of(alive, active=False)
    expected = row_of(alive)
    assert list(Socket.objects.online()) == [expected]


def test_any_process_reaps_the_dead(dead, alive):
    row_of(dead)
    kept = row_of(alive)
    assert Lease().reap() == 1
    assert list(Socket.objects.all()) == [kept]
    assert not Process.objects.filter(pk=dead.pk).exists()


@pytest.fixture
def told():
    """What receivers of `connections_lost` are given."""
    told = []

    def on_lost(sender, rows, **kwargs):
        told.append((sender, rows))

    connections_lost.connect(on_lost)
    yield told
    connections_lost.disconnect(on_lost)


def test_whose_connections_are_lost_is_told_after_the_commit(
    dead, alive, told, django_capture_on_commit_callbacks
):
    lost = row_of(dead)
    row_of(alive)
    with django_capture_on_commit_callbacks() as callbacks:
        Lease().reap()
    assert told == []
    callbacks[0]()
    assert told == [(Socket, [lost])]
    with django_capture_on_commit_callbacks() as callbacks:
        Lease().reap()
    assert callbacks == []


def test_a_receiver_that_fails_is_logged(dead, told, caplog, django_capture_on_commit_callbacks):
    def fail(**kwargs):
        raise ValueError("of no use")

    lost = row_of(dead)
    connections_lost.connect(fail)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            Lease().reap()
    finally:
        connections_lost.disconnect(fail)
    assert told == [(Socket, [lost])]
    assert "of no use" in caplog.text


def test_rows_without_any_lease_are_reaped(dead):
    row_of(dead)
    dead.delete()
    assert Lease().reap() == 1


def test_a_lease_that_ran_out_but_was_not_reaped_is_kept():
    lease = Lease()
    assert lease.renew()
    Process.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert not lease.renew()


def test_a_lost_lease_is_taken_anew():
    lease = Lease()
    lease.renew()
    Process.objects.all().delete()
    assert lease.renew()
    assert Process.objects.get().pk == lease.process_id


def test_rows_that_are_there_under_a_lost_lease_are_taken_over(dead):
    row = row_of(dead)
    lease = Lease()
    lease.renew()
    row_again = Socket(pk=row.pk, path="/")
    assert lease.insert([row_again]) == []
    assert Socket.objects.get().process_id == lease.process_id


def test_a_value_that_no_driver_takes_harms_no_other_row(caplog):
    lease = Lease()
    lease.renew()
    good, bad = Socket(path="/good/"), Socket(path="/bad/", user_id="no number")
    assert lease.insert([good, bad]) == [bad]
    assert Socket.objects.get().path == "/good/"
    assert "'/bad/' cannot be written" in caplog.text


def test_what_changes_while_a_connection_lives_is_written(alive):
    row, now = row_of(alive), timezone.now()
    row.session_key, row.last_ping, row.active = "new", now, False
    Lease().update([row])
    written = Socket.objects.get()
    assert (written.session_key, written.last_ping) == ("new", now)
    assert written.active


def test_the_end_of_a_process_takes_its_rows(alive):
    kept = row_of(alive)
    lease = Lease()
    lease.renew()
    lease.insert([Socket(path="/")])
    lease.end()
    assert list(Socket.objects.all()) == [kept]
    assert list(Process.objects.all()) == [alive]


def test_rows_may_be_marked(alive):
    row_of(alive)
    assert Socket.objects.mark_inactive() == 1
    assert not Socket.objects.online()
    assert Socket.objects.mark_active() == 1
    assert Socket.objects.online()


def test_a_command_reaps_where_no_server_does(dead, alive, capsys):
    row_of(dead)
    row_of(alive)
    call_command("prune_sockets")
    assert capsys.readouterr().out == "1 rows deleted.\n"
    assert Socket.objects.count() == 1


def test_no_migration_is_missing(settings):
    for field in ("AutoField", "BigAutoField", "SmallAutoField"):
        settings.DEFAULT_AUTO_FIELD = f"django.db.models.{field}"
        call_command("makemigrations", "sockets", check=True, dry_run=True, verbosity=0)
