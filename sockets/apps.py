"""The Django application."""

from django.apps import AppConfig

from .checks import register_checks
from .receivers import connect_receivers


class SocketsConfig(AppConfig):
    name = "sockets"
    verbose_name = "Sockets"

    def ready(self) -> None:
        register_checks()
        connect_receivers()
