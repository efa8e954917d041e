"""What the figures shall be, and whether they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .records import Records, spread

Results = Callable[[str], Records]
"""The records of a subject, by its name."""
Figures = Callable[[Results], Sequence[float]]
"""One figure a round."""


@dataclass(frozen=True)
class Goal:
    what: str
    limit: float
    figures: Figures
    unit: str = "x"
    at_least: bool = False
    better: float | None = None
    """What would be better still."""

    def __str__(self) -> str:
        limit = f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"
        return limit if self.better is None else f"{limit} [{self.better:g}{self.unit}]"

    def shown(self, figures: Sequence[float]) -> str:
        return spread(figures, 3 if self.unit == "x" else 1, self.unit)

    def meets(self, limit: float, figures: Sequence[float]) -> bool:
        """Whether the median of the rounds does."""
        return median(figures) >= limit if self.at_least else median(figures) <= limit

    def verdict(self, figures: Sequence[float]) -> str:
        if not figures:
            return "not measured"
        if self.better is not None and self.meets(self.better, figures):
            return "met, and the moonshot"
        return "met" if self.meets(self.limit, figures) else "not met"


def ratio(subject: str, field: str, mine: str, other: str, **labels: Any) -> Figures:
    """One peer's figure over another's of the same round."""
    return lambda results: results(subject).where(**labels).ratios(field, mine, other)


def figure(subject: str, field: str, peer: str, **labels: Any) -> Figures:
    return lambda results: results(subject).where(**labels).values(field, peer)


def difference(subject: str, field: str, mine: str, other: str) -> Figures:
    """One peer's figure less another's of the same round."""

    def figures(results: Results) -> list[float]:
        mines, others = (results(subject).by_round(field, peer) for peer in (mine, other))
        return [mines[number] - others[number] for number in mines.keys() & others.keys()]

    return figures


def of_ours(
    subject: str, field: str, over: Callable[[list[float]], float], by: str, peer: str = "ours"
) -> Figures:
    """What is made, round by round, of our figures for the values of a label."""

    def figures(results: Results) -> list[float]:
        mine = results(subject).where(peer=peer)
        rounds = [mine.where(round=number).values(field) for number in mine.labels("round")]
        many = len(mine.labels(by))
        return [over(values) for values in rounds if len(values) == many > 1]

    return figures


def with_stalled(field: str, compare: Callable[[float, float], float]) -> Figures:
    """Our figure with a client that does not read, compared to that without."""

    def figures(results: Results) -> list[float]:
        records = results("stalled")
        plain, stalled = (records.where(stalled=n).by_round(field, "ours") for n in (0, 1))
        return [compare(stalled[n], plain[n]) for n in stalled if n in plain]

    return figures


RAW, CHANNELS, OURS, TYPED = "raw_msgspec", "channels_async", "ours", "ours:typed"
BROKERS = {
    "in one process": (OURS, "memory"),
    "over core": ("ours:layer=core", "core"),
    "over pubsub": ("ours:layer=pubsub", "pubsub"),
    "over Redis": ("ours:broker=redis", "pubsub"),
}
"""What carries broadcasts: for ours, and the layer of Channels that it is compared to."""

ALONE = [
    Goal(
        "routed echo, app alone: CPU per message over raw msgspec",
        1.7,
        ratio("alone", "cpu_us", OURS, RAW),
        better=1.4,
    ),
    Goal(
        "routed echo, app alone: CPU per message over Channels",
        0.08,
        ratio("alone", "cpu_us", OURS, CHANNELS),
    ),
    Goal(
        "typed route, app alone: CPU per message over an untyped one",
        1.5,
        difference("alone", "cpu_us", TYPED, OURS),
        unit=" µs",
    ),
]
GOALS = [
    *ALONE,
    Goal(
        "routed echo on uvicorn: CPU per message over raw msgspec",
        1.25,
        ratio("echo", "cpu_us", OURS, RAW, server="uvicorn"),
        better=1.12,
    ),
    Goal(
        "routed echo on uvicorn: CPU per message over Channels",
        0.25,
        ratio("echo", "cpu_us", OURS, CHANNELS, server="uvicorn"),
    ),
    Goal(
        "routed echo on daphne: CPU per message over raw msgspec",
        1.10,
        ratio("echo", "cpu_us", OURS, RAW, server="daphne"),
    ),
    Goal(
        "routed echo on daphne: CPU per message over Channels",
        0.30,
        ratio("echo", "cpu_us", OURS, CHANNELS, server="daphne"),
    ),
    Goal(
        "through a sync handler: CPU per message over Channels, sync",
        0.7,
        ratio("sync", "cpu_us", OURS, "channels_sync"),
    ),
    Goal(
        "one connection: p50 over Channels",
        0.55,
        ratio("latency", "p50_us", OURS, CHANNELS),
    ),
    *(
        Goal(
            f"fan-out to 1,000, {name}: last client's time over a raw set of sends",
            1.25,
            ratio("fanout", "ms", spec, RAW, members=1_000),
            better=1.1,
        )
        for name, (spec, _) in BROKERS.items()
    ),
    *(
        Goal(
            f"fan-out to {members:,}, {name}: last client's time over Channels, {layer}",
            limit,
            ratio("fanout", "ms", spec, f"{CHANNELS}:layer={layer}", members=members),
        )
        for members, limit in ((1_000, 0.07), (5_000, 0.04))
        for name, (spec, layer) in BROKERS.items()
    ),
    Goal(
        "CPU per delivery, 100 to 5,000 members: the most",
        18,
        of_ours("fanout", "cpu_us", max, "members"),
        unit=" µs",
    ),
    Goal(
        "CPU per delivery, 100 to 5,000 members: the most over the least",
        1.2,
        of_ours("fanout", "cpu_us", lambda values: max(values) / min(values), "members"),
    ),
    *(
        Goal(
            f"300 broadcasts in one handler to 100 members, {name}: lost",
            0,
            figure("burst", "lost", spec, sender="handler"),
            unit="",
        )
        for name, (spec, _) in BROKERS.items()
    ),
    *(
        Goal(
            f"5,000 broadcasts of another process, {name}: {what}",
            0,
            figure("burst", what.split()[-1], BROKERS[name][0], sender="process"),
            unit="",
        )
        for name, what in (
            ("over Redis", "lost"),
            ("over pubsub", "lost"),
            ("over core", "lost and uncounted"),
        )
    ),
    *(
        Goal(
            f"Redis is killed, hangs, cuts connections; {name}: {what}",
            limit,
            of_ours("restarts", field, max, "trouble", BROKERS[name][0]),
            unit=unit,
        )
        for name in ("over Redis", "over pubsub", "over core")
        for what, field, limit, unit in (
            ("until nothing is lost any more", "resumed_s", 5, " s"),
            ("lost and uncounted", "uncounted", 0, ""),
            ("processes that fall silent", "silent", 0, ""),
        )
    ),
    *(
        Goal(
            f"{handler} handlers beside one that sits in a sync handler: throughput kept",
            0.95,
            figure("beside", "kept", OURS, handler=handler),
            at_least=True,
        )
        for handler in ("async", "sync")
    ),
    Goal("memory per idle connection over Channels", 0.85, ratio("memory", "kib", OURS, CHANNELS)),
    Goal(
        "CPU per accept without session over Channels",
        0.55,
        ratio("connects", "accept_us", OURS, CHANNELS),
    ),
    Goal(
        "a client that does not read 200 MB: more memory at the peak",
        3,
        with_stalled("peak_mib", lambda stalled, plain: stalled - plain),
        unit=" MiB",
    ),
    Goal(
        "a client that does not read 200 MB: p99 of the others over that without it",
        1.2,
        with_stalled("p99_us", lambda stalled, plain: stalled / plain),
    ),
    Goal("import: CPU over Channels", 1.15, ratio("imports", "cpu_ms", OURS, CHANNELS)),
]
