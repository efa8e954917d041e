"""django-observable-socket's synchronous router consumer.

What its documentation returns, a status and a payload, fails in 1.0.1, where `respond` takes one
argument: `result`. That is what the functions here return.
"""

import time

from django_observable_socket import SocketRouterConsumer

from ..project.mounting import mount
from . import NAP, ROUTES, work
from .observable_async import consumer, with_user


def on_route(self, data):
    return {"result": {"status": 200, "payload": work(data.payload)}}


def on_slow(self, data):
    time.sleep(NAP)
    return on_route(self, data)


functions = {**dict.fromkeys([*ROUTES, "sync"], on_route), "slow": on_slow}
application = mount(ws=with_user(consumer(SocketRouterConsumer, functions).as_asgi()))
