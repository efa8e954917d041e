"""The part of the threads that one connection's concurrent messages may hold at once."""

from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from .lanes import Call, Lanes

if TYPE_CHECKING:
    from .lane import Lane

PART = 2
"""One of so many threads is what a connection's concurrent messages may hold of them."""


class Share:
    """Lends threads to lanes that have so many among them, however many there are.

    What they call beyond that waits for one of their own, without the time limit of who waits
    for others. So the threads that are left serve other connections.
    """

    __slots__ = ("_lanes", "_lent", "_size", "_waiting")

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._size = max(1, lanes.size // PART)
        self._lent: set[Lane] = set()
        self._waiting: deque[Call] = deque()

    def lend(self, call: Call) -> None:
        """Run the call on a free thread, once fewer than the share are lent."""
        with self._lanes.lock:
            free = len(self._lent) < self._size
            if free:
                self._lent.add(call.lane)
            else:
                self._waiting.append(call)
        if free:
            self._lanes.lend(call)
        else:
            call.future.add_done_callback(partial(self._withdraw, call))

    def take_back(self, lane: "Lane") -> None:
        """Lend the thread that the lane had, if it had one, to the call that has waited longest."""
        following = None
        with self._lanes.lock:
            self._lent.discard(lane)
            if self._waiting and len(self._lent) < self._size:
                following = self._waiting.popleft()
                self._lent.add(following.lane)
        if following is not None:
            self._lanes.lend(following)

    def _withdraw(self, call: Call, future: Future[Any]) -> None:
        """Take out a call that was cancelled while it waited for a thread."""
        if future.cancelled():
            with self._lanes.lock:
                if call not in self._waiting:
                    return
                self._waiting.remove(call)
            call.lane.ended()
