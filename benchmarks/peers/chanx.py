"""chanx: a method with `@ws_handler`, and a class of messages, for each route."""

import time
from typing import Literal

from asgiref.sync import sync_to_async
from chanx.channels.websocket import AsyncJsonWebsocketConsumer
from chanx.core.decorators import ws_handler
from chanx.messages.base import BaseMessage
from pydantic import BaseModel

from ..project.mounting import mount
from . import NAP, ROUTES, work


class Payload(BaseModel):
    text: str
    n: int


class Reply(BaseMessage):
    action: Literal["reply"] = "reply"
    payload: Payload


def reply_to(message):
    return Reply(payload=Payload(**work({"text": message.payload.text, "n": message.payload.n})))


async def on_route(self, message):
    return reply_to(message)


async def on_sync(self, message):
    return await sync_to_async(reply_to)(message)


async def on_slow(self, message):
    await sync_to_async(time.sleep)(NAP)
    return reply_to(message)


def handler(name, function):
    """What `@ws_handler` makes of a method whose message has this name as its action."""

    async def handle(self, message):
        return await function(self, message)

    handle.__name__ = f"on_{name}"
    handle.__qualname__ = f"Echo.on_{name}"
    fields = {"action": Literal[name], "payload": Payload}
    body = {"__module__": __name__, "__annotations__": fields, "action": name}
    message = type(f"Message_{name}", (BaseMessage,), body)
    return ws_handler(handle, input_type=message, output_type=Reply)


functions = {**dict.fromkeys(ROUTES, on_route), "sync": on_sync, "slow": on_slow}
handlers = {f"on_{name}": handler(name, function) for name, function in functions.items()}
Echo = type("Echo", (AsyncJsonWebsocketConsumer,), handlers)

application = mount(ws=Echo.as_asgi())
