"""The faults of one client, counted until they are too many."""

FORGIVEN = 60.0
"""Seconds without a fault after which a client's strikes are forgotten."""


class Strikes:
    """Counts up to `limit`; a client that makes no fault for a while begins anew."""

    __slots__ = ("_count", "_latest", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._latest = 0.0

    def add(self, now: float) -> bool:
        """Count a fault; whether that was the last one."""
        self._count = self._count + 1 if now - self._latest < FORGIVEN else 1
        self._latest = now
        return self._count >= self._limit
