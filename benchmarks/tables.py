"""What the report shows of each subject: which figures, and what they are compared to."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from .records import Record, Records, spread
from .wires import title_of


@dataclass(frozen=True)
class Column:
    title: str
    field: str
    digits: int = 1
    of: str = ""
    """The peer whose figure of the same round this one is divided by."""

    def cell(self, records: Records, peer: str) -> str:
        if not self.of:
            return spread(records.values(self.field, peer), self.digits)
        ratios = records.ratios(self.field, peer, self.of)
        return f"{median(ratios):.{self.digits}f}" if ratios else ""


@dataclass(frozen=True)
class Table:
    """A subject's peers, with a table of their own for each value of the label `by`."""

    subject: str
    title: str
    text: str
    columns: tuple[Column, ...]
    by: str = ""
    plot: str = ""

    def lines(self, records: Records) -> Iterator[str]:
        if not self.by:
            yield from self._lines(records)
            return
        for value in records.labels(self.by):
            yield f"{self.by}: {value:,}\n" if isinstance(value, int) else f"{self.by}: {value}\n"
            yield from self._lines(records.where(**{self.by: value}))

    def _lines(self, records: Records) -> Iterator[str]:
        shown = [column for column in self.columns if records.values(column.field)]
        fields = {column.field for column in shown}
        peers = Records(record for record in records if fields & record.keys()).labels("peer")
        yield line("peer", *(column.title for column in shown))
        yield line("---", *("---:" for _ in shown))
        for peer in peers:
            yield line(title_of(peer), *(column.cell(records, peer) for column in shown))
        yield ""
        yield from self._gaps(records)

    def _gaps(self, records: Records) -> Iterator[str]:
        """Which peers were left out, or failed, and why."""
        gaps = (gap(record) for record in records if "left_out" in record or "failed" in record)
        yield from dict.fromkeys(gaps)


def gap(record: Record) -> str:
    what = "left out" if "left_out" in record else f"failed in round {record['round'] + 1}"
    why = record.get("left_out") or record.get("failed")
    return f"{title_of(record['peer'])}: {what}: `{why}`\n"


def line(*cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


CPU = Column("CPU µs per message", "cpu_us", 1)
CPU_OF_CHANNELS = Column("of Channels", "cpu_us", 2, of="channels_async")
CPU_OF_RAW = Column("of raw msgspec", "cpu_us", 2, of="raw_msgspec")

TABLES = (
    Table(
        "alone",
        "Routed echo, the application alone",
        "In process, without a server; 20 routes, messages of 100 bytes.",
        (Column("CPU µs per message", "cpu_us", 2), CPU_OF_CHANNELS, CPU_OF_RAW),
    ),
    Table(
        "echo",
        "Routed echo on a server",
        "20 routes, messages of 100 bytes; 50 connections with 4 messages under way each.",
        (CPU, CPU_OF_CHANNELS, CPU_OF_RAW, Column("messages per second", "rate", 0)),
        by="server",
        plot="peers",
    ),
    Table(
        "latency",
        "One connection",
        "On uvicorn, one message after another: the time until the answer.",
        (
            Column("p50 µs", "p50_us", 0),
            Column("of Channels", "p50_us", 2, of="channels_async"),
            Column("p99 µs", "p99_us", 0),
        ),
    ),
    Table(
        "sync",
        "Through a synchronous function",
        "As the routed echo on uvicorn, answered by a `def`.",
        (
            CPU,
            Column("of Channels, sync", "cpu_us", 2, of="channels_sync"),
            Column("messages per second", "rate", 0),
        ),
    ),
    Table(
        "beside",
        "Beside a synchronous function of 0.1 s",
        "One client's calls, while another calls a `def` that takes 0.1 s, again and again.",
        (
            Column("p50 µs, alone", "alone_us", 0),
            Column("p50 µs, beside", "beside_us", 0),
            Column("p99 µs, beside", "beside_p99_us", 0),
            Column("throughput kept", "kept", 3),
        ),
        by="handler",
    ),
    Table(
        "fanout",
        "Fan-out",
        "One broadcast to all members of a group in one process, on uvicorn.",
        (
            Column("ms until the last has it", "ms", 1),
            Column("of raw sends", "ms", 2, of="raw_msgspec"),
            Column("of Channels, memory", "ms", 3, of="channels_async:layer=memory"),
            Column("CPU µs per delivery", "cpu_us", 1),
            Column("lost", "lost", 0),
        ),
        by="members",
        plot="fanout",
    ),
    Table(
        "burst",
        "Bursts",
        "300 broadcasts in one handler to 100 members; 5,000 in a row from a process without a "
        "server, as a command would send them, to 10 members.",
        (
            Column("sent", "sent", 0),
            Column("lost", "lost", 1),
            Column("of them counted", "counted", 1),
            Column("seconds", "seconds", 2),
            Column("CPU µs per delivery", "cpu_us", 1),
        ),
        by="sender",
    ),
    Table(
        "restarts",
        "A Redis that fails",
        "Two servers with ten members each and a worker send 50 broadcasts a second each, while "
        "Redis is killed and back after 2 s, hangs for 8 s, or cuts all connections. Lost is what "
        "a server should have had of the others and had not, counted what the warnings in its log "
        "say of that. Silent is a server that in the end does not hear all others.",
        (
            Column("sent", "sent", 0),
            Column("lost", "lost", 0),
            Column("of them counted", "counted", 0),
            Column("uncounted", "uncounted", 0),
            Column("seconds until nothing is lost any more", "resumed_s", 2),
            Column("silent", "silent", 0),
        ),
        by="trouble",
    ),
    Table(
        "stalled",
        "A client that stops reading",
        "200 MB are broadcast to three readers, with none or one member who does not read.",
        (
            Column("MiB more at the peak", "peak_mib", 1),
            Column("p50 µs until the readers have it", "p50_us", 0),
            Column("p99 µs", "p99_us", 0),
        ),
        by="stalled",
    ),
    Table(
        "connects",
        "Connecting",
        "500 clients arrive at once and leave. With `session` their session and user are read, "
        "with `rows` each has a row in the database.",
        (
            Column("CPU µs per accept", "accept_us", 0),
            Column("of Channels", "accept_us", 2, of="channels_async"),
            Column("CPU µs per visit", "visit_us", 0),
            Column("accepts per second", "rate", 0),
        ),
    ),
    Table(
        "memory",
        "Idle connections",
        "2,000 clients who are silent.",
        (
            Column("KiB per connection", "kib", 1),
            Column("of Channels", "kib", 2, of="channels_async"),
        ),
    ),
    Table(
        "growth",
        "With more routes, groups and rows",
        "A message for a route in the middle, the application alone; a broadcast to 100 members, "
        "each in so many more groups; accepts, and sending to a selection of rows, with so many "
        "rows of others in the table.",
        (
            Column("CPU µs", "cpu_us", 2),
            Column("ms until the last has it", "ms", 2),
            Column("CPU µs per accept", "accept_us", 0),
            Column("p50 µs of a send to a selection", "tell_us", 0),
        ),
        by="what",
        plot="routes",
    ),
    Table(
        "imports",
        "Import",
        "A process that imports the application and ends, the interpreter included.",
        (
            Column("CPU ms", "cpu_ms", 0),
            Column("of Channels", "cpu_ms", 2, of="channels_async"),
        ),
    ),
)
