"""Sends numbered broadcasts steadily from a process without a server, as a worker would.

    python -m benchmarks.project.worker worker 50

Sends that many a second until its standard input ends, and prints when it sent each of them.
"""

import json
import sys
import threading
import time

import django

from ..peers import GROUP, TEXT


def send_until(ended, name, rate):
    from sockets import groups

    times = []
    while not ended.wait(1 / rate):
        times.append(time.monotonic())
        groups.send_json(GROUP, {"text": f"{TEXT} {name}", "n": len(times)})
    return times


def wait_for_end(ended):
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    django.setup()
    ended = threading.Event()
    threading.Thread(target=wait_for_end, args=[ended], daemon=True).start()
    print(json.dumps(send_until(ended, sys.argv[1], float(sys.argv[2]))))
