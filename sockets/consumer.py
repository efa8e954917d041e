"""Channels' asynchronous consumer, with the types that it lacks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class AsyncConsumer:
        """What a handler has of it."""

        channel_layer_alias: str
        channel_layer: Any
        channel_name: str

        @classmethod
        def as_asgi(cls, **initkwargs: Any) -> Any: ...

else:
    from channels.consumer import AsyncConsumer as AsyncConsumer
