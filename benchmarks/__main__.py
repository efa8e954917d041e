"""Measures this package beside its peers, and writes the report.

    python -m benchmarks                        everything, about 35 minutes, and the report
    python -m benchmarks echo fanout            these subjects, and the report
    python -m benchmarks echo --rounds 9 --peers ours channels_async
    python -m benchmarks report                 the report of what was measured last
    python -m benchmarks check                  the application alone, against its goals

The records of a subject take the place of its earlier ones.
"""

import argparse
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from . import report
from .bench import Bench
from .check import check
from .machine import FOR_CLIENTS, describe, pin
from .records import Log
from .redis_server import redis_server
from .subjects import NAMES


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, help="instead of the subject's own number")
    parser.add_argument("--peers", nargs="+", default=[], help="only these; their names are files")
    options = parser.parse_args()
    if unknown := set(options.subjects) - {*NAMES, "report", "check"}:
        parser.error(f"expected subjects out of {', '.join(NAMES)}, got {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # servers are stopped then
    if options.subjects == ["check"]:
        sys.exit(not check(options.rounds or 7))
    if options.subjects != ["report"]:
        measure(options.subjects or NAMES, options.rounds, options.peers)
    print(f"The report is in {report.write()}.")


def measure(subjects: list[str], rounds: int | None, peers: list[str]) -> None:
    pin(0, FOR_CLIENTS)
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
        for name in subjects:
            began = time.monotonic()
            module = import_module(f"benchmarks.subjects.{name}")
            log = Log(name)
            log.record(machine=describe())
            bench = Bench(
                log,
                rounds=rounds or module.ROUNDS,
                only=peers,
                folder=Path(folder),
                redis=redis.url if redis else "",
            )
            module.run(bench)
            log.record(took=time.monotonic() - began)


if __name__ == "__main__":
    main()
