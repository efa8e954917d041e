"""A process that imports the application and ends."""

import compileall
import os
import subprocess
import sys

from ..bench import Bench
from ..machine import FOR_SERVERS, pin
from ..servers import ROOT, environment

ROUNDS = 7
PEERS = [
    "raw_msgspec",
    "channels_async",
    "dcrf",
    "chanx",
    "observable_async",
    "socketio",
    "ours",
    "ours:session",
]


def run(bench: Bench) -> None:
    for folder in ("sockets", "benchmarks"):  # as the peers are, since they were installed
        compileall.compile_dir(ROOT / folder, quiet=1)
    for number, spec in bench.turns(PEERS):
        bench.record(peer=spec, round=number, cpu_ms=measure(spec))


def measure(spec: str) -> float:
    """Milliseconds of CPU, with those that the interpreter takes."""
    command = [sys.executable, "-c", "import benchmarks.project.asgi"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(spec, {}), stdout=subprocess.DEVNULL
    )
    pin(process.pid, FOR_SERVERS)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OSError(f"importing {spec} failed")
    return (usage.ru_utime + usage.ru_stime) * 1e3
