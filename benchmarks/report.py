"""Writes `RESULTS.md` from the records."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from . import plots
from .goals import GOALS, Results
from .records import FOLDER, Records
from .tables import TABLES, Table, line

HERE = Path(__file__).parent
REPORT = HERE / "RESULTS.md"


def write(folder: Path = FOLDER, report: Path = REPORT) -> Path:
    """Write the report and its plots, from whatever subjects have records."""

    @cache
    def results(subject: str) -> Records:
        return Records.load(subject, folder)

    plots.draw(results, report.parent / "plots")
    report.write_text("\n".join(lines(results)) + "\n")
    return report


def lines(results: Results) -> Iterator[str]:
    yield "# Results"
    yield ""
    yield "Written by `make bench`; [README.md](README.md) says what is measured and how. Figures"
    yield "are medians of the rounds with their range in brackets; ratios are taken within a round."
    yield ""
    yield from machine(results)
    yield from judged(results)
    for table in TABLES:
        if records := results(table.subject):
            yield from section(table, records)


def machine(results: Results) -> Iterator[str]:
    """Where and with what the last of the subjects was measured."""
    found = [one for table in TABLES for one in results(table.subject).values("machine")]
    if found:
        latest = max(found, key=lambda machine: machine["date"])
        yield line("machine", "")
        yield line("---", "---")
        yield from (line(*pair) for pair in latest.items())
        yield ""


def judged(results: Results) -> Iterator[str]:
    yield "## Against the goals"
    yield ""
    yield line("what", "goal", "figure", "")
    yield line("---", "---:", "---:", "---")
    for goal in GOALS:
        figures = goal.figures(results)
        yield line(goal.what, str(goal), goal.shown(figures), goal.verdict(figures))
    yield ""


def section(table: Table, records: Records) -> Iterator[str]:
    yield f"## {table.title}"
    yield ""
    yield table.text
    yield ""
    rounds = len(records.labels("round"))
    for made in records.values("machine"):
        yield f"Measured on {made['date']} at {made['commit']}, {rounds} rounds."
        yield ""
    if table.plot:
        yield f"![{table.title}](plots/{table.plot}.svg)"
        yield ""
    yield from table.lines(records)
