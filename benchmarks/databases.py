"""The databases of those peers that ask for sessions or rows, each of its own."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .servers import ROOT, Unavailable, environment

NEEDED_BY = {"session", "rows", "others", "engine"}


@dataclass(frozen=True)
class Database:
    variables: dict[str, str] = field(default_factory=dict)
    """What its servers need in their environment."""
    headers: dict[str, str] = field(default_factory=dict)
    """What a client sends to be logged in, where the peer has sessions."""


@contextmanager
def database_for(spec: str, file: Path) -> Iterator[Database]:
    """An empty database with one user who is logged in, or none where the peer needs none."""
    options = {option.partition("=")[0] for option in spec.split(":")[1:]}
    if not options & NEEDED_BY:
        yield Database()
        return
    name = f"benchmarks_{uuid.uuid4().hex}" if "engine" in options else str(file)
    variables = {"BENCH_DATABASE": name}
    try:
        cookie = manage("make", spec, variables)
        headers = {"Cookie": cookie} if "session" in options else {}
        yield Database(variables, headers)
    finally:
        manage("drop", spec, variables)


def manage(deed: str, spec: str, variables: dict[str, str]) -> str:
    """Have a process with the peer's settings do something with its database."""
    peer = ["ours", *spec.split(":")[1:]]
    command = [sys.executable, "-m", "benchmarks.project.database", deed]
    given = environment(":".join(peer), {**variables})
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()
