"""The tutorial is followed as a reader would: what it shows happens, and the demo is built."""

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from .servers import ROOT, Client, Server, environment, eventually, serving

TEXT = (ROOT / "docs" / "tutorial.md").read_text()
STEPS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(?:#|<!--) ([\w/.]+)(?:, (.+?))?(?: -->)?$")
PATHS = {"6": "/"}
"""Where the frames of a step are exchanged, if not at the table."""

# Somebody with a known name comes in, and tells the cookie of their session.
COME_IN = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
user, _ = get_user_model().objects.get_or_create(username="Merry Otter")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(f"sessionid={session.session_key}")
"""


def run_line(line: str, folder: Path) -> str:
    """Run a line of the shell with this Python; returns what it printed."""
    program, *arguments = shlex.split(line)
    programs = {"python": [], "django-admin": ["-m", "django"]}
    done = subprocess.run(
        [sys.executable, *programs[program], *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def write(block: str, folder: Path) -> None:
    """Put a block where its first line says: a file as a whole, or a part of one."""
    first, _, code = block.partition("\n")
    name, where = PLACE.match(first).groups()
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text() if where else ""
    if where == "at the top":
        docstring, _, rest = before.partition('"""\n\n')
        text = f'{docstring}"""\n\n{code}{rest}'
    elif where and where.startswith("above "):
        mark = f"class {where.removeprefix('above ')}("
        assert before.count(mark) == 1
        text = before.replace(mark, f"{code}\n\n{mark}")
    else:
        assert where in (None, "at the end")
        text = f"{before}\n{code}" if where else code
    file.write_text(text)


def tidy(folder: Path) -> None:
    """Sort the imports and set the blank lines, as an editor does."""
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), str(folder)]
    subprocess.run([*ruff, "check", "--quiet", "--select=I", "--fix", *config], check=True)
    subprocess.run([*ruff, "format", "--quiet", *config], check=True)


def agrees(shown: str, frame: object) -> bool:
    """Whether a frame is the one shown, but for what `…` leaves out."""
    if "[…]" in shown:
        return agrees(shown.replace("[…]", "[]"), {**frame, "tables": []})
    expected = json.loads(re.sub(r"(, )?…", "", shown))
    if "…" in shown:
        frame = {name: value for name, value in frame.items() if name in expected}
    return expected == frame


async def exchange(frames: str, server: Server, path: str, cookie: str) -> None:
    lines = [re.match(r"(guest )?([<>]) (.*)", line).groups() for line in frames.splitlines()]
    guest = any(line[0] for line in lines)
    async with server.client(path, cookie=cookie if guest else "") as client:
        if lines[0][1] == ">":  # as it goes on from the step before
            await client.receive()
        for _, sender, shown in lines:
            await follow(client, sender, shown)


async def follow(client: Client, sender: str, shown: str) -> None:
    if sender == ">":
        await client.send(shown)
    else:
        frame = await client.receive()
        assert agrees(shown, frame), f"expected {shown}\ngot      {json.dumps(frame)}"


async def follow_on_server(exchanges: list[str], folder: Path, path: str) -> None:
    cookie = run_line(f"python manage.py shell -v0 -c {shlex.quote(COME_IN)}", folder).strip()

    async def everybody_is_gone() -> bool:
        with closing(sqlite3.connect(folder / "db.sqlite3")) as database:
            return database.execute("SELECT count(*) FROM sockets_socket").fetchone() == (0,)

    log, manage = folder / "server.log", ("manage.py",)
    with serving("runserver", "", log, cwd=folder, manage=manage) as server:
        for shown in exchanges:
            await exchange(shown, server, path, cookie)
            await eventually(everybody_is_gone)
        assert server.faults() == []


async def test_every_step_works_as_it_is_shown(tmp_path):
    for step in STEPS:
        frames = []
        for language, block in BLOCK.findall(step):
            if language == "sh":
                for line in block.splitlines():
                    if not line.startswith("pip "):
                        run_line(line, tmp_path)
            elif language == "text":
                frames.append(block)
            else:
                write(block, tmp_path)
        number = step.partition(".")[0]
        if "python manage.py" in step or frames:
            run_line("python manage.py check --fail-level WARNING", tmp_path)
        if frames:
            await follow_on_server(frames, tmp_path, PATHS.get(number, "/tables/1/"))
    tidy(tmp_path / "parlour")
    for name in ("game.py", "models.py", "views.py", "urls.py"):
        built = (tmp_path / "parlour" / name).read_text()
        assert built == (ROOT / "demo" / name).read_text(), name


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert links
    for link in links:
        assert (ROOT / "docs" / link).is_file(), link
