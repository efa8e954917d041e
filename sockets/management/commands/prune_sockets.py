"""Delete the rows of processes that died, and the tickets that have expired."""

from typing import Any

from django.core.management.base import BaseCommand

from ...lease import Lease
from ...tokens import prune_tickets


class Command(BaseCommand):
    """`manage.py prune_sockets`, for projects where no server runs that would do it."""

    help = "Deletes the rows of connections whose process has died, and expired tickets."

    def handle(self, *args: Any, **options: Any) -> None:
        deleted = Lease().reap() + sum(iter(prune_tickets, 0))
        self.stdout.write(f"{deleted} rows deleted.")
