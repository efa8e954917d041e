"""Delete the rows of processes that died."""

from typing import Any

from django.core.management.base import BaseCommand

from ...lease import Lease


class Command(BaseCommand):
    """`manage.py prune_sockets`, for projects where no server runs that would do it."""

    help = "Deletes the rows of connections whose process has died."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{Lease().reap()} rows deleted.")
