"""djangochannelsrestframework: a method with `@action` for each route."""

import time

from djangochannelsrestframework.consumers import AsyncAPIConsumer
from djangochannelsrestframework.decorators import action

from ..project.mounting import mount
from . import NAP, ROUTES, work


def on_route():
    @action()
    async def handle(self, text, n, **kwargs):
        return work({"text": text, "n": n}), 200

    return handle


@action()
def on_sync(self, text, n, **kwargs):
    return work({"text": text, "n": n}), 200


@action()
def on_slow(self, text, n, **kwargs):
    time.sleep(NAP)
    return work({"text": text, "n": n}), 200


actions = {**{name: on_route() for name in ROUTES}, "sync": on_sync, "slow": on_slow}
Echo = type(AsyncAPIConsumer)("Echo", (AsyncAPIConsumer,), {**actions, "permission_classes": []})

application = mount(ws=Echo.as_asgi())
