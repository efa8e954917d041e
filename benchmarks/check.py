"""The application alone against its goals: half a minute, and nothing to install but for tests."""

from .goals import ALONE, CHANNELS, OURS, RAW, TYPED
from .records import Records, spread
from .subjects.alone import measure_apart

SECONDS = 0.6


def check(rounds: int, seconds: float = SECONDS) -> bool:
    """Measure and print the figures; whether all goals are met."""
    specs = [RAW, CHANNELS, OURS, TYPED]
    records = Records(
        {"peer": spec, "round": number, "cpu_us": measure_apart(spec, seconds=seconds)}
        for number in range(rounds)
        for spec in (specs if number % 2 == 0 else specs[::-1])
    )
    for spec in specs:
        print(f"{spec:16} {spread(records.values('cpu_us', spec), 2, ' µs')} CPU per message")
    met = True
    for goal in ALONE:
        figures = goal.figures(lambda subject: records)
        met = met and goal.meets(goal.limit, figures)
        print(f"{goal.what}: {goal.shown(figures)}, {goal}: {goal.verdict(figures)}")
    return met
