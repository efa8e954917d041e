"""The Django application."""

from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register

from .receivers import connect_receivers


class SocketsConfig(AppConfig):
    name = "sockets"
    verbose_name = "Sockets"

    def ready(self) -> None:
        register(check_sockets, "sockets")
        register(check_deployment, "sockets", deploy=True)
        connect_receivers()


def check_sockets(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """What is wrong with the sockets at the project's URLs, and with the settings for them."""
    from .checks import check_sockets

    return check_sockets()


def check_deployment(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """What `manage.py check --deploy` adds."""
    from .checks import check_deployment

    return check_deployment()
