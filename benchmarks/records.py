"""What was measured: records of figures, kept as lines of JSON, one file for each subject."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

FOLDER = Path(__file__).parent / "results"

Record = dict[str, Any]
"""A `peer`, a `round`, labels and figures; or why a peer has none."""


class Records:
    """The records of a subject, or those of them that have some labels."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records = list(records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __bool__(self) -> bool:
        return bool(self._records)

    @classmethod
    def load(cls, subject: str, folder: Path = FOLDER) -> "Records":
        file = folder / f"{subject}.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return cls(map(json.loads, lines))

    def where(self, **labels: Any) -> "Records":
        return Records(
            record
            for record in self
            if all(record.get(name) == value for name, value in labels.items())
        )

    def labels(self, name: str) -> list[Any]:
        """The values of a label, each once, in the order in which they came."""
        return list(dict.fromkeys(record[name] for record in self if name in record))

    def values(self, field: str, peer: str | None = None) -> list[float]:
        """A figure of each round."""
        mine = self if peer is None else self.where(peer=peer)
        return [record[field] for record in mine if field in record]

    def by_round(self, field: str, peer: str) -> dict[int, float]:
        return {
            record["round"]: record[field] for record in self.where(peer=peer) if field in record
        }

    def ratios(self, field: str, mine: str, other: str) -> list[float]:
        """One peer's figure over another's, of each round that has both."""
        others = self.by_round(field, other)
        return [
            value / others[number]
            for number, value in self.by_round(field, mine).items()
            if others.get(number)
        ]


class Log:
    """Takes the records of one subject, in the place of its earlier ones."""

    def __init__(self, subject: str, folder: Path = FOLDER) -> None:
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{subject}.jsonl"
        self._file.write_text("")

    def record(self, **record: Any) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(record) + "\n")
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in record.items()}
        print(self._file.stem, *(f"{name}={value}" for name, value in shown.items()), flush=True)


def spread(values: Iterable[float], digits: int = 2, unit: str = "") -> str:
    """The median, and in brackets the range where there is one."""
    ordered = sorted(values)
    if not ordered:
        return ""
    low, middle, high = (f"{v:,.{digits}f}" for v in (ordered[0], median(ordered), ordered[-1]))
    return f"{middle}{unit} ({low}-{high})" if low != high else f"{middle}{unit}"
