"""What this machine is, and what its processes use: Linux only."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROCESSORS = sorted(os.sched_getaffinity(0))
FOR_SERVERS, FOR_CLIENTS = PROCESSORS[0], PROCESSORS[-1]
"""Servers have a processor of their own, as far as there are two."""

PACKAGES = (
    "django",
    "channels",
    "channels-redis",
    "msgspec",
    "uvicorn",
    "uvloop",
    "websockets",
    "daphne",
    "redis",
    "djangochannelsrestframework",
    "chanx",
    "django-observable-socket",
    "python-socketio",
    "picows",
)


def pin(process: int, processor: int) -> None:
    """Have all threads of a process (0 is this one) run on one processor."""
    for thread in os.listdir(f"/proc/{process or 'self'}/task"):
        os.sched_setaffinity(int(thread), [processor])


def cpu_of(process: int) -> float:
    """CPU seconds that a process has used, in all its threads."""
    return time.clock_gettime((~process << 3) | 2)  # Linux' clock of another process


def memory_of(process: int, field: str = "VmRSS") -> int:
    """Bytes of memory that a process has; with `VmHWM` the most that it had."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, text = line.partition(":")
        if name == field:
            return int(text.split()[0]) * 1024
    raise LookupError(f"expected {field} of the process {process}, found none")


def forget_peak(process: int) -> None:
    """Let `VmHWM` begin anew."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


class Stretch:
    """Seconds on the clock, and of a process's CPU, since it was made."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._cpu, self._began = cpu_of(process), time.perf_counter()

    @property
    def cpu(self) -> float:
        return cpu_of(self._process) - self._cpu

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def describe() -> dict[str, str]:
    """The machine and what runs on it, for the head of a report."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "processor": f"{_processor()}, {len(PROCESSORS)} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": sys.version.split()[0],
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
