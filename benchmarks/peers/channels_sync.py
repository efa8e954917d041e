"""Channels' synchronous JSON consumer, with a dict of routes."""

import time

from channels.generic.websocket import JsonWebsocketConsumer

from ..project.mounting import mount
from . import NAP, ROUTES, work


class Echo(JsonWebsocketConsumer):
    def receive_json(self, content):
        handle = self.routes.get(content["route"])
        if handle is None:
            self.send_json({"id": content["id"], "error": "no such route"})
        else:
            self.send_json({"id": content["id"], "payload": handle(self, content["payload"])})

    def on_route(self, payload):
        return work(payload)

    def on_slow(self, payload):
        time.sleep(NAP)
        return work(payload)

    routes = {**dict.fromkeys([*ROUTES, "sync"], on_route), "slow": on_slow}  # noqa: RUF012


application = mount(ws=Echo.as_asgi())
