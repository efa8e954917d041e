"""Sends many broadcasts in a row from a process without a server, as a command would.

    python -m benchmarks.project.sender 5000

Prints how many seconds that took.
"""

import sys
import time

import django
from asgiref.sync import async_to_sync

from ..peers import GROUP, TEXT, option


def send_by_channels(count):
    from channels.layers import get_channel_layer

    async def send():
        layer = get_channel_layer()
        for number in range(count):
            payload = {"text": TEXT, "n": number}
            await layer.group_send(GROUP, {"type": "cast", "payload": payload})

    async_to_sync(send)()


def send_by_ours(count):
    from sockets import groups

    for number in range(count):
        groups.send_json(GROUP, {"text": TEXT, "n": number})


if __name__ == "__main__":
    django.setup()
    began = time.perf_counter()
    send = send_by_ours if option("peer") == "ours" else send_by_channels
    send(int(sys.argv[1]))
    print(time.perf_counter() - began)
