"""The tests that use the database, on the servers that projects run."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pymysql
import pytest

from .settings import MARIADB, POSTGRESQL

MODULES = (
    "asgi",
    "django",
    "groups",
    "identity",
    "lanes",
    "lease",
    "models",
    "receivers",
    "registry",
    "senders",
    "sessions",
    "tokens",
    "watch",
)
FILES = [f"tests/test_{name}.py" for name in MODULES]


def connect_to_postgresql():
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    settings = {name: POSTGRESQL[setting] for name, setting in names.items()}
    return psycopg.connect(dbname=POSTGRESQL["NAME"], connect_timeout=3, **settings)


def connect_to_mariadb():
    settings = {name: MARIADB[name.upper()] for name in ("host", "user", "password")}
    return pymysql.connect(port=int(MARIADB["PORT"]), connect_timeout=3, **settings)


@pytest.mark.parametrize(
    ("database", "connect"),
    [("postgresql", connect_to_postgresql), ("mariadb", connect_to_mariadb)],
    ids=["postgresql", "mariadb"],
)
def test_handlers_and_rows_on(database, connect):
    try:
        connect().close()
    except (psycopg.OperationalError, pymysql.OperationalError) as fault:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{database} is not there: {fault}")
    # Dropping the test database at the end fails where a connection to it was left open.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--with-database", *FILES],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TEST_DATABASE": database},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
