"""Benchmarks that run, and a report that calculates: nothing here is about speed."""

import json
from pathlib import Path

import pytest

from benchmarks.check import check
from benchmarks.goals import GOALS, Goal, difference, of_ours, ratio, with_stalled
from benchmarks.records import Log, Records, spread
from benchmarks.report import lines
from benchmarks.subjects.alone import measure_apart
from benchmarks.tables import TABLES
from benchmarks.wires import TITLES, WIRES, title_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
BRIEFLY = 0.02


def records(subject, **figures):
    """What makes results of one subject's records; the figures of a peer are one a round."""
    found = Records(
        {"peer": peer, "round": number, "figure": value}
        for peer, values in figures.items()
        for number, value in enumerate(values)
    )
    return lambda asked: found if asked == subject else Records()


@pytest.mark.parametrize(
    ("spec", "route"),
    [
        ("raw_json", "r10"),
        ("raw_msgspec", "r10"),
        ("channels_async", "r10"),
        ("channels_sync", "sync"),
        ("ours", "r10"),
        ("ours:fields", "r10"),
        ("ours:typed", "r10"),
        ("ours:protocol=observable", "r10"),
        ("ours:routes=10", "s5"),
        ("ours:protocol=dcrf", "r10"),
        ("ours:regexes=10", "x5_1"),
        ("ours:protocol=replykey", "r3"),
    ],
)
def test_an_application_is_measured_alone(spec, route):
    assert measure_apart(spec, route, seconds=BRIEFLY) > 0


def test_a_peer_that_answers_with_errors_is_not_measured():
    with pytest.raises(OSError, match="expected an answer"):
        measure_apart("ours", "no_such_route", seconds=BRIEFLY)


def test_every_peer_has_a_wire_and_a_title():
    peers = {file.stem for file in (BENCHMARKS / "peers").glob("*.py")} - {"__init__"}
    assert peers == WIRES.keys() == TITLES.keys()


def test_every_subject_is_in_the_report():
    subjects = {file.stem for file in (BENCHMARKS / "subjects").glob("*.py")} - {"__init__"}
    assert subjects == {table.subject for table in TABLES}


def test_the_check_says_whether_the_goals_are_met(capsys):
    met = check(rounds=1, seconds=BRIEFLY)
    shown = capsys.readouterr().out
    assert met is ("not met" not in shown)
    assert "at most 1.7x [1.4x]: " in shown and "at most 0.08x: " in shown


def test_a_spec_is_read_with_its_options():
    assert title_of("ours:layer=core:session") == "**sockets**, layer=core, session"


def test_ratios_are_taken_within_a_round():
    results = records("echo", ours=[2, 30, 5], raw=[1, 10])
    assert ratio("echo", "figure", "ours", "raw")(results) == [2, 3]


def test_differences_are_taken_within_a_round():
    results = records("echo", ours=[5, 9, 8], raw=[4, 7])
    assert difference("echo", "figure", "ours", "raw")(results) == [1, 2]


def test_a_round_in_which_one_of_two_failed_has_no_ratio():
    found = Records(
        [
            {"peer": "ours", "round": 0, "ms": 8},
            {"peer": "raw", "round": 0, "failed": "TimeoutError()"},
            {"peer": "raw", "round": 1, "ms": 2},
            {"peer": "ours", "round": 1, "ms": 6},
        ]
    )
    assert found.ratios("ms", "ours", "raw") == [3]


def test_labels_choose_records():
    found = Records(
        {"peer": "ours", "round": 0, "server": s, "us": us} for us, s in enumerate("ab")
    )
    assert found.where(server="b").values("us", "ours") == [1]
    assert found.labels("server") == ["a", "b"]


def test_figures_are_shown_with_their_range():
    assert spread([3, 1, 2.5], 1, " µs") == "2.5 µs (1.0-3.0)"
    assert spread([1234.5], 0) == "1,234"
    assert spread([300, 300]) == "300.00"
    assert spread([]) == ""


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ([1.1, 9.0, 1.0], "met, and the moonshot"),
        ([1.2, 1.2], "met"),
        ([1.3, 1.26, 1.0], "not met"),
        ([], "not measured"),
    ],
)
def test_a_goal_is_met_by_the_median(figures, verdict):
    assert Goal("a ratio", 1.25, lambda results: figures, better=1.1).verdict(figures) == verdict


def test_a_goal_may_be_at_least():
    goal = Goal("kept", 0.95, lambda results: [], at_least=True)
    assert goal.verdict([0.96]) == "met"
    assert goal.verdict([0.94]) == "not met"


def test_flatness_takes_rounds_that_have_every_number_of_members():
    found = Records(
        {"peer": "ours", "round": number, "members": members, "cpu_us": cost}
        for number, members, cost in [(0, 100, 18), (0, 5000, 12), (1, 100, 20)]
    )
    flat = of_ours("fanout", "cpu_us", lambda values: max(values) / min(values), "members")
    assert flat(lambda subject: found) == [1.5]


def test_the_worst_of_several_troubles_counts():
    found = Records(
        {"peer": "ours:broker=redis", "round": 0, "trouble": trouble, "uncounted": number}
        for trouble, number in [("killed", 0), ("hangs", 3)]
    )
    worst = of_ours("restarts", "uncounted", max, "trouble", "ours:broker=redis")
    assert worst(lambda subject: found) == [3]


def test_a_client_that_does_not_read_is_compared_to_none():
    found = Records(
        {"peer": "ours", "stalled": stalled, "round": number, "peak_mib": mib}
        for stalled, number, mib in [(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 2.5)]
    )
    more = with_stalled("peak_mib", lambda stalled, plain: stalled - plain)
    assert more(lambda subject: found) == [2, 0.5]


def test_records_of_a_subject_take_the_place_of_its_earlier_ones(tmp_path, capsys):
    for cost in (1, 2):
        Log("echo", tmp_path).record(peer="ours", round=0, cpu_us=cost)
    Log("alone", tmp_path).record(peer="ours", round=0, cpu_us=3)
    assert Records.load("echo", tmp_path).values("cpu_us") == [2]
    assert json.loads((tmp_path / "alone.jsonl").read_text())["cpu_us"] == 3
    assert not Records.load("latency", tmp_path)


def test_the_report_judges_what_was_measured():
    alone = Records(
        {"peer": peer, "round": 0, "cpu_us": cost}
        for peer, cost in [("raw_msgspec", 2), ("channels_async", 50), ("ours", 3)]
    )
    text = "\n".join(lines(lambda subject: alone if subject == "alone" else Records()))
    first, second = GOALS[:2]
    assert f"| {first.what} | at most 1.7x [1.4x] | 1.500x | met |" in text
    assert f"| {second.what} | at most 0.08x | 0.060x | met |" in text
    assert text.count("not measured") == len(GOALS) - 2
    assert "| **sockets** | 3.00 | 0.06 | 1.50 |" in text


def test_the_report_tells_who_was_left_out_and_why():
    found = Records(
        [
            *(
                {
                    "peer": "ours:broker=redis",
                    "members": 100,
                    "round": number,
                    "left_out": "there is no redis-server",
                }
                for number in range(2)
            ),
            {"peer": "ours", "members": 100, "round": 0, "failed": "TimeoutError()"},
        ]
    )
    text = "\n".join(lines(lambda subject: found if subject == "fanout" else Records()))
    assert text.count("**sockets**, broker=redis: left out: `there is no redis-server`") == 1
    assert "**sockets**: failed in round 1: `TimeoutError()`" in text
    assert "| **sockets**" not in text
