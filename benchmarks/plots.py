"""Draws the figures that are easier to see than to read, for light and dark pages alike."""

from pathlib import Path
from statistics import median
from typing import Any

from .goals import Results
from .records import Records
from .wires import title_of

OURS, TEXT, GRID = "#e8590c", "#808890", "#80889040"
OTHERS = ("#868e96", "#339af0", "#7950f2", "#12b886", "#f08c00")
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.transparent": True,
    "axes.edgecolor": GRID,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "text.color": TEXT,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "font.family": "sans-serif",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",
}


def draw(results: Results, folder: Path) -> None:
    """Draw what there are records of."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    folder.mkdir(exist_ok=True)
    with pyplot.rc_context(STYLE):
        for name, (subject, draw_one) in PLOTS.items():
            if not (records := results(subject)):
                continue
            figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
            draw_one(axes, records)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            pyplot.close(figure)


def draw_peers(axes: Any, records: Records) -> None:
    """The peers side by side: a bar for each."""
    costs = medians(records.where(server="uvicorn"), "cpu_us")
    peers = sorted(costs, key=lambda peer: -costs[peer])
    colours = [OURS if peer == "ours" else OTHERS[1] for peer in peers]
    bars = axes.barh([name_of(peer) for peer in peers], [costs[p] for p in peers], color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=4, color=TEXT)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("CPU µs per message, on uvicorn")


def draw_fanout(axes: Any, records: Records) -> None:
    """A line for each peer, over the number of members."""
    colours = iter(OTHERS)
    for peer in records.labels("peer"):
        times = [
            (members, median(found))
            for members in records.labels("members")
            if (found := records.where(members=members).values("ms", peer))
        ]
        if times:
            ours = peer.startswith("ours")
            dashes = "-" if peer == "ours" or not ours else ":"
            colour = OURS if ours else next(colours)
            axes.plot(
                *zip(*times, strict=True), dashes, marker="o", color=colour, label=name_of(peer)
            )
    axes.set(yscale="log", xlabel="members", ylabel="ms until the last has it")
    axes.yaxis.set_major_formatter("{x:g}")
    scale(axes, records.labels("members"))
    axes.legend(fontsize=8)


def draw_routes(axes: Any, records: Records) -> None:
    """A line for each kind of keys, over the number of routes."""
    colours = iter((OURS, *OTHERS[1:]))
    for keys in ("strings", "regexes", "regexes, new keys"):
        costs = medians(records.where(what=keys), "cpu_us")
        numbers = [int(peer.rpartition("=")[2]) for peer in costs]
        axes.plot(numbers, list(costs.values()), marker="o", color=next(colours), label=keys)
        scale(axes, numbers)
    axes.set(xlabel="routes", ylabel="CPU µs per message, the application alone")
    axes.set_ylim(bottom=0)
    axes.legend()


def scale(axes: Any, numbers: list[int]) -> None:
    """Mark these numbers, and no others, on a logarithmic axis."""
    axes.set_xscale("log")
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.set_xticks([], minor=True)


def medians(records: Records, field: str) -> dict[str, float]:
    """The figure of each peer that has one."""
    found = {peer: records.values(field, peer) for peer in records.labels("peer")}
    return {peer: median(values) for peer, values in found.items() if values}


def name_of(peer: str) -> str:
    return title_of(peer).replace("*", "")


PLOTS = {
    "peers": ("echo", draw_peers),
    "fanout": ("fanout", draw_fanout),
    "routes": ("growth", draw_routes),
}
"""Each with the subject whose records it shows."""
