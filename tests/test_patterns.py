"""Which regexes may take exponential time."""

import re
import time

import pytest

from sockets.patterns import is_exponential


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+",
        r"(a*)*",
        r"(a+?)+$",
        r"((ab)+)*",
        r"(a|aa)+",
        r"(a|b|ab)+",
        r"(é|éé)+",
        r"(\w+\s?)*$",
        r"(\w+_)*",
        r"(\w+\d)*",
        r"(.*,)*",
        r"(\d{1,3})+",
        r"(\d{2,})*",
        r"(a+){1,20}$",
        r"(?i)(A+b?)+",
        r"(?=(a+)+$)",
        r"(x)?(?(1)(a+)+|b)$",
        r"X_(?:\s*\w+\s*)*$",
    ],
)
def test_a_repeat_that_can_be_divided_in_many_ways(pattern):
    assert is_exponential(re.compile(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        r"",
        r"GAME_ACTION_(?P<move>.+)$",
        r"(\d+,)*",
        r"(,\d+)*",
        r"(\d{1,3},)*",
        r"(\d{4})*",
        r"((\d+,)+;)*",
        r"[A-Z]+(_[A-Z]+)*$",
        r"(ab|ac)+",
        r"(\w|\d)+",
        r"(\w+,\W*)*",
        r"(\w+\b\s*)*",
        r"(a+)\1+",
        r"(?>a+)+",
        r"(a++)+",
        r"(?:(?!--).)*",
        r"\w*\d*\s*",
        r'"(?:[^"\\]|\\.)*"',
    ],
)
def test_repeats_that_end_in_one_place_only(pattern):
    assert not is_exponential(re.compile(pattern))


def test_the_slow_regexes_are_slow():
    begun = time.perf_counter()
    assert not re.match(r"(\w+\s?)*$", "a" * 18 + "!")
    assert time.perf_counter() - begun > 0.005


@pytest.mark.parametrize(
    "pattern",
    [
        "|".join(f"word{number}" for number in range(500)),
        f"({'|'.join(f'word{number}' for number in range(50))})+",
        f"(?:{'|'.join(f'[^{chr(65 + number)}]y' for number in range(50))})*",
        "(?:" * 14 + "a" + "{2,5}b)" * 14 + "*",
    ],
)
def test_a_large_regex_is_given_up_quickly(pattern):
    begun = time.perf_counter()
    assert not is_exponential(re.compile(pattern))
    assert time.perf_counter() - begun < 1.0
