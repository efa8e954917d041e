"""Channels' asynchronous JSON consumer, with a dict of routes."""

import time

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from ..project.mounting import mount
from . import GROUP, NAP, ROUTES, work


class Echo(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content):
        handle = self.routes.get(content["route"])
        if handle is None:
            await self.send_json({"id": content["id"], "error": "no such route"})
        elif (payload := await handle(self, content["payload"])) is not None:
            await self.send_json({"id": content["id"], "payload": payload})

    async def on_route(self, payload):
        return work(payload)

    async def on_sync(self, payload):
        return await database_sync_to_async(work)(payload)

    async def on_slow(self, payload):
        await database_sync_to_async(time.sleep)(NAP)
        return work(payload)

    async def on_cast(self, payload):
        await self.channel_layer.group_send(GROUP, {"type": "cast", "payload": payload})

    async def on_burst(self, payload):
        for _ in range(payload["n"]):
            await self.on_cast(payload)

    async def cast(self, event):
        await self.send_json(event["payload"])

    routes = {  # noqa: RUF012
        **dict.fromkeys(ROUTES, on_route),
        "sync": on_sync,
        "slow": on_slow,
        "cast": on_cast,
        "burst": on_burst,
    }


class Fan(Echo):
    groups = [GROUP]  # noqa: RUF012


application = mount(ws=Echo.as_asgi(), fan=Fan.as_asgi())
