"""Who is connected in one event loop, found by what a broadcast may name."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from .broadcasts import Broadcast, LogOut, Place, Target

if TYPE_CHECKING:
    from .member import Member

REMEMBERED = 20.0
"""Seconds in which who was logged out cannot come in: a handshake that had read the session before
takes less."""


class Members:
    """The connections of one event loop, by id, group, path, session and user."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._by_id: dict[uuid.UUID, Member] = {}
        self._by_place: dict[Place, dict[uuid.UUID, Member]] = {}
        self._logged_out: dict[Place, float] = {}

    def __iter__(self) -> "Iterator[Member]":
        return iter(tuple(self._by_id.values()))

    def add(self, member: "Member") -> None:
        self._by_id[member.id] = member
        for place in member.places:
            self._by_place.setdefault(place, {})[member.id] = member

    def remove(self, member: "Member") -> None:
        if self._by_id.pop(member.id, None) is not None:
            for place in member.places:
                self.leave(member, place)

    def enter(self, member: "Member", place: Place) -> None:
        """Put a connection in one more place, unless it has ended."""
        if member.id in self._by_id:
            self._by_place.setdefault(place, {})[member.id] = member

    def leave(self, member: "Member", place: Place) -> None:
        """Take a connection out of one of its places."""
        there = self._by_place.get(place, {})
        if there.pop(member.id, None) is not None and not there:
            del self._by_place[place]

    def has_logged_out(self, member: "Member") -> bool:
        """Whether a logout overtook this connection on its way in."""
        if not self._logged_out:
            return False
        now = self._loop.time()
        return any(now < self._logged_out.get(place, 0.0) for place in member.places)

    def has(self, target: Target) -> bool:
        """Whether any connection here is meant."""
        if target.kind == "ids":
            return not self._by_id.keys().isdisjoint(target.ids)
        return (target.kind, target.name) in self._by_place

    def find(self, target: Target) -> "list[Member]":
        """The connections that are meant, in the order in which they came."""
        if target.kind == "ids":
            return [self._by_id[id] for id in target.ids if id in self._by_id]
        return list(self._by_place.get((target.kind, target.name), {}).values())

    def deliver(self, broadcast: Broadcast) -> None:
        """Do the broadcast's deed to whom it concerns here, now or after its delay."""
        if broadcast.delay:
            later = msgspec.structs.replace(broadcast, delay=0.0)
            self._loop.call_later(broadcast.delay, self.deliver, later)
            return
        target, deed = broadcast.target, broadcast.deed
        if type(deed) is LogOut and deed.remembered:
            self._remember((target.kind, target.name))
        found = self.find(target)
        if excluded := set(broadcast.exclude):
            found = [member for member in found if member.id not in excluded]
        if found:
            deed.apply(found)

    def _remember(self, place: Place) -> None:
        now = self._loop.time()
        self._logged_out.pop(place, None)
        self._logged_out[place] = now + REMEMBERED
        while self._logged_out[first := next(iter(self._logged_out))] <= now:
            del self._logged_out[first]
