"""The reference and the picture of the house name what is there, with its true defaults."""

import ast
import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from sockets import CloseCode, RoutedSocketHandler
from sockets.arguments import DISCONNECT_WORDS, ROUTE_WORDS
from sockets.attributes import attributes_of
from sockets.conf import Settings
from sockets.routes import RouteOptions

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def table(heading):
    """The rows of the first table under a heading: the first cell's names, and the second cell."""
    section = REFERENCE.partition(f"\n{heading}\n")[2]
    lines = re.search(r"^\|[\s-]*\|.*\n((?:\|.*\n)+)", section, re.MULTILINE)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: row[1] for row in rows for name in row[0].replace("`", "").split(", ")}


def number_in(text):
    return float(re.match(r"[\d.,]+", text)[0].replace(",", ""))


@pytest.mark.tracked
def test_every_attribute_of_a_handler_is_listed_with_its_default():
    listed = table("## Handler attributes")
    assert listed.keys() == {"routes", "group_rules", *attributes_of(RoutedSocketHandler)}
    for name, default in listed.items():
        value = getattr(RoutedSocketHandler, name)
        if name == "protocols":
            assert [type(protocol).__name__ for protocol in value] == ["Native", "MessagePack"]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            assert number_in(default) == value, name
        else:
            assert default.strip("`") == str(value) or default.strip('`"') == value, name


def test_every_setting_is_listed_with_its_default():
    listed = table("## Settings")
    defaults = {field.name: field.default for field in fields(Settings)}
    assert listed.keys() == defaults.keys()
    for name, default in defaults.items():
        shown = listed[name].strip('`"') if isinstance(default, str) else number_in(listed[name])
        assert shown == default, name


def test_every_route_option_is_listed():
    assert table("## Routes").keys() == RouteOptions.__annotations__.keys()


def test_every_reserved_argument_is_listed():
    assert table("### Arguments").keys() == ROUTE_WORDS.keys() | DISCONNECT_WORDS.keys()


def test_close_codes_bear_their_names():
    for code, name in table("## Close codes").items():
        assert CloseCode[name.strip("`")] == int(code)


@pytest.mark.parametrize("package", ["sockets", "sockets/protocols", "sockets/compat"])
def test_every_module_is_in_the_picture(package):
    for module in (ROOT / package).glob("*.py"):
        if package == "sockets" or module.stem != "__init__":
            names = (f"`{module.name}`", f"`{module.parent.name}/{module.name}`")
            assert any(name in ARCHITECTURE for name in names), module.name


def test_the_picture_says_of_a_module_what_it_says_itself():
    for name, sentence in re.findall(
        r"^\|[^|]*\| `([\w/]+\.py)` \| ([^|]*) \|$", ARCHITECTURE, re.M
    ):
        module = ast.parse((ROOT / "sockets" / name).read_text())
        said = (ast.get_docstring(module) or "").partition("\n\n")[0].replace("\n", " ")
        assert sentence.strip() == said, name


def test_every_file_in_the_picture_exists():
    for name in re.findall(r"`([\w/]+\.py)`", ARCHITECTURE):
        assert list((ROOT / "sockets").rglob(name)), name
