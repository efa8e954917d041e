"""What a user installs is the whole package: no file of the tree stays behind."""

import shutil
import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "sockets")

# Files of every kind that the package may hold, whether it does today or not.
MARKERS = (
    "static/sockets/marker.js",
    "templates/sockets/marker.html",
    "migrations/marker.py",
)


def run(*arguments, cwd):
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_sources(folder):
    for name in SOURCES:
        if (ROOT / name).is_dir():
            caches = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=caches)
        else:
            shutil.copy(ROOT / name, folder / name)
    for marker in MARKERS:
        file = folder / "sockets" / marker
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def files_in(package):
    return {
        file.relative_to(package).as_posix()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The sources with the markers."""
    folder = tmp_path_factory.mktemp("tree")
    copy_sources(folder)
    return folder


@pytest.fixture(scope="module")
def installed(tree, tmp_path_factory):
    """Where the wheel, built from the source distribution, was installed."""
    dist, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    run("-m", "build", "--no-isolation", "--outdir", str(dist), cwd=tree)
    [wheel] = dist.glob("*.whl")
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-compile")
    run(*pip, "--target", str(target), str(wheel), cwd=tree)
    return target


def test_the_wheel_holds_every_file_of_the_package(tree, installed):
    files = files_in(tree / "sockets")
    assert {*MARKERS, "py.typed", "handlers.py", "protocols/native.py"} <= files
    assert files_in(installed / "sockets") == files


def test_the_wheel_holds_nothing_but_the_package(installed):
    assert {path.name for path in installed.iterdir()} == {
        "sockets",
        f"django_socket_router-{PROJECT['version']}.dist-info",
    }


def test_the_metadata_names_the_distribution_and_what_it_needs(installed):
    [info] = installed.glob("*.dist-info")
    metadata = Parser().parsestr((info / "METADATA").read_text())
    needs = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert metadata["Name"] == "django-socket-router"
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == "MIT"
    assert (info / "licenses" / "LICENSE").is_file()
    assert {name_in(line) for line in needs} == {"asgiref", "channels", "django", "msgspec"}


def name_in(requirement):
    return requirement.partition(">")[0].strip()
