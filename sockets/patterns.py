"""Which regexes may take exponential time, found by how they are written."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from itertools import product
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any, TypeVar

from msgspec import Struct

Node = TypeVar("Node", bound=Hashable)
Pair = tuple[int, int]

MANY = 10
"""A repeat that may go on this often counts as one without an end."""
LARGEST = 300
"""Characters of a regex above which it is taken for harmless: the check must be fast."""

# Characters of every kind that a class such as \w tells apart.
ALPHABET = frozenset(map(chr, range(128))) | frozenset("é٣中\u00a0😀")

SINGLE = {_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY}
REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT}
LOOKAROUNDS = {_constants.ASSERT, _constants.ASSERT_NOT}


class Part(Struct, frozen=True):
    """A piece of a regex: whether it may match nothing, and where its matches begin and end."""

    optional: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


NOTHING = Part(optional=True)
BARRIER = Part(optional=False)
"""What no match is followed through: anchors, back references and what never backtracks."""


def is_exponential(pattern: re.Pattern[str]) -> bool:
    """Whether a repeat of the regex can match the same text in ever more ways.

    A text that does not match in the end then takes time that doubles with each character.
    """
    steps = _Steps(pattern)
    if len(steps.characters) > LARGEST:
        return False
    following: dict[int, set[int]] = {node: set() for node in range(len(steps.characters))}
    for source, target in steps.edges:
        following[source].add(target)
    for (source, target), ways in steps.edges.items():
        if ways > 1 and source in _reachable(following, {target}):
            return True
    return _diverges(following, steps.characters)


class _Steps:
    """A regex as the positions of its single characters and which may follow which.

    An edge is counted once for each way to take it: `(a+)+` goes from a to a in two ways.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.characters: list[frozenset[str]] = []
        self.edges: Counter[Pair] = Counter()
        self._flags = pattern.flags & ~re.DEBUG
        self._alphabet = ALPHABET | frozenset(pattern.pattern)
        tree = _parser.parse(pattern.pattern, self._flags)
        self._state = tree.state
        self._sequence(tree)

    def _sequence(self, items: Iterable[tuple[Any, Any]]) -> Part:
        whole = NOTHING
        for operation, value in items if len(self.characters) <= LARGEST else ():
            whole = self._then(whole, self._part(operation, value))
        return whole

    def _part(self, operation: Any, value: Any) -> Part:
        if operation in SINGLE:
            return self._character((operation, value))
        if operation in REPEATS:
            return self._repeat(*value)
        if operation is _constants.SUBPATTERN:
            return self._sequence(value[-1])
        if operation is _constants.BRANCH:
            return self._either(value[1])
        if operation is _constants.GROUPREF_EXISTS:
            return self._either([value[1], value[2] or ()])
        if operation in LOOKAROUNDS:
            self._sequence(value[1])
            return NOTHING
        return BARRIER

    def _character(self, item: tuple[Any, Any]) -> Part:
        single = _compiler.compile(_parser.SubPattern(self._state, [item]), self._flags)
        self.characters.append(frozenset(filter(single.fullmatch, self._alphabet)))
        position = (len(self.characters) - 1,)
        return Part(False, position, position)

    def _then(self, left: Part, right: Part) -> Part:
        self.edges.update(product(left.last, right.first))
        return Part(
            left.optional and right.optional,
            left.first + right.first if left.optional else left.first,
            left.last + right.last if right.optional else right.last,
        )

    def _either(self, branches: Iterable[Any]) -> Part:
        parts = [self._sequence(branch) for branch in branches]
        return Part(
            any(part.optional for part in parts),
            tuple(position for part in parts for position in part.first),
            tuple(position for part in parts for position in part.last),
        )

    def _repeat(self, least: int, most: int, body: Any) -> Part:
        # Two of many copies suffice to see whether they can be told apart.
        if most >= MANY and most != least:
            copies, rest = least - 1, self._loop(least, body)
        else:
            copies, rest = least, self._at_most(min(most - least, 2), body)
        for _ in range(min(copies, 2)):
            rest = self._then(self._sequence(body), rest)
        return rest

    def _loop(self, least: int, body: Any) -> Part:
        part = self._sequence(body)
        self.edges.update(product(part.last, part.first))
        return Part(part.optional or not least, part.first, part.last)

    def _at_most(self, times: int, body: Any) -> Part:
        rest = NOTHING
        for _ in range(times):
            part = self._then(self._sequence(body), rest)
            rest = Part(True, part.first, part.last)
        return rest


def _diverges(following: Mapping[int, set[int]], characters: list[frozenset[str]]) -> bool:
    """Whether two different ways lead from a position back to it with the same text."""
    loops = {node for node in following if node in _reachable(following, following[node])}
    pairs = _pairs(following, characters, loops)
    before: dict[Pair, set[Pair]] = {pair: set() for pair in pairs}
    for pair, after in pairs.items():
        for other in after:
            before[other].add(pair)
    while loops and pairs:
        node = loops.pop()
        start: set[Pair] = {(node, node)}
        ahead, behind = _reachable(pairs, start), _reachable(before, start)
        around = ahead & behind
        if any(one != other for one, other in around):
            return True
        loops -= {one for one, _ in around}
    return False


def _pairs(
    following: Mapping[int, set[int]], characters: list[frozenset[str]], loops: set[int]
) -> dict[Pair, set[Pair]]:
    """Where two ways through the regex may be after the same text; nothing if too much."""
    pairs: dict[Pair, set[Pair]] = {}
    waiting: list[Pair] = [(node, node) for node in loops]
    while waiting:
        pair = waiting.pop()
        if len(waiting) > LARGEST * 100:
            return {}
        if pair not in pairs:
            pairs[pair] = {
                (one, other)
                for one, other in product(following[pair[0]], following[pair[1]])
                if characters[one] & characters[other]
            }
            waiting += pairs[pair]
    return pairs


def _reachable(following: Mapping[Node, set[Node]], start: set[Node]) -> set[Node]:
    """The nodes of `start` and all that may come after them."""
    found: set[Node] = set()
    waiting = list(start)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += following[node]
    return found
