"""Makes and drops the database that the settings name.

python -m benchmarks.project.database make      prints the cookie of a user who is logged in
python -m benchmarks.project.database drop
"""

import sys
from datetime import timedelta
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from ..peers import option

DATABASE = settings.DATABASES["default"]
AT_ONCE = 5_000


def make():
    if is_server():
        execute("CREATE DATABASE {}")
    call_command("migrate", verbosity=0)
    add_rows(int(option("others", "0")))
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_user("ann"))
    print(f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}")


def add_rows(count):
    """Rows of other connections, whose process lives for as long as the benchmarks do."""
    from sockets.models import Process, Socket

    process = Process.objects.create(expires=timezone.now() + timedelta(days=1))
    rows = (
        Socket(path=f"/room/{number % 1000}/", session_key=f"{number}", process=process)
        for number in range(count)
    )
    Socket.objects.bulk_create(rows, batch_size=AT_ONCE)


def drop():
    if is_server():
        execute("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    else:
        Path(DATABASE["NAME"]).unlink(missing_ok=True)


def is_server():
    return "sqlite3" not in DATABASE["ENGINE"]


def execute(statement):
    import psycopg

    place = {"host": DATABASE["HOST"], "user": DATABASE["USER"], "password": DATABASE["PASSWORD"]}
    with psycopg.connect(dbname="postgres", autocommit=True, connect_timeout=3, **place) as server:
        server.execute(statement.format(DATABASE["NAME"]))


if __name__ == "__main__":
    django.setup()
    {"make": make, "drop": drop}[sys.argv[1]]()
