"""What comes before and after a route's function, in its order, and how it is run."""

import inspect
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from msgspec import Struct
from msgspec.structs import replace

from .arguments import ROUTE_WORDS, Call, Getter, Words, bind, readers
from .content import Cleaning, check_fields, cleaned
from .exceptions import DeclarationError, InvalidContent, LoginRequired
from .functions import Function, innermost, is_generator, name_of, takes
from .guards import Guard, is_pass
from .messages import Message, Reply, answer_of
from .schemas import Errors, Validate
from .stages import NO_STAGES, STAGE_WORDS, Stages

if TYPE_CHECKING:
    from .handlers import RoutedSocketHandler


def compose(
    function: Function,
    stages: Stages,
    groups: frozenset[str],
    cleaning: Cleaning | None,
    access: Iterable[Guard] = (),
) -> Call:
    """An awaitable call of the function after all that may refuse it; `access` is asked first.

    Where there is nothing of that kind it is the plain call, of cleaned content.
    """
    if stages == NO_STAGES and not access:
        call = bind(function, ROUTE_WORDS, groups)
        if cleaning is None:
            return call
        check_fields(function, cleaning.schema)
        return cleaned(call, cleaning)
    return Pipeline(function, stages, groups, cleaning, tuple(access))


def admission(access: Iterable[Guard], where: str) -> Call | None:
    """An awaitable call of the guards of a handler, which no message concerns yet."""
    guards = [guard.bound(Stage.of) for guard in access]
    for guard in guards:
        for stage in guard.functions():
            if stage.validate is not None or stage.takes_obj:
                raise DeclarationError(
                    f"{where}: the guard {guard} asks for the content of messages, but a handler's "
                    "guards are asked before the first one; give it to the routes"
                )
    return partial(_run, lambda socket, message: _ask(guards)) if guards else None


class Stage(Struct, frozen=True):
    """A user's function as one that takes the handler and the message."""

    function: Function
    readers: list[Getter]
    validate: Validate | None
    blocking: bool
    """Whether it must run in a thread."""
    takes_obj: bool

    @classmethod
    def of(
        cls, function: Function, groups: frozenset[str] = frozenset(), words: Words = STAGE_WORDS
    ) -> "Stage":
        blocking = not (iscoroutinefunction(innermost(function)) or is_generator(function))
        takes_obj = "obj" in words and takes(function, "obj")
        return cls(function, *readers(function, words, groups), blocking, takes_obj)

    def __call__(self, socket: "RoutedSocketHandler", message: Message) -> Any:
        arguments = [read(socket, message) for read in self.readers]
        named = {} if self.validate is None else self.validate(message.content)
        return self.function(socket, *arguments, **named)

    def filled(self, content: Any, errors: Errors) -> "Stage":
        """The same with its fields taken from the content; their faults join `errors`."""
        if self.validate is None:
            return self
        try:
            values = self.validate(content)
        except InvalidContent as fault:
            errors += fault.errors
            return self
        return replace(self, validate=lambda content: values)


Step = Stage | Cleaning
Steps = Generator[Step, Any, Any]
"""Yields the functions to call and takes what they return, or what their awaitables result in."""


class Pipeline:
    """The stages of one route, as an awaitable call."""

    def __init__(
        self,
        function: Function,
        stages: Stages,
        groups: frozenset[str],
        cleaning: Cleaning | None,
        access: tuple[Guard, ...],
    ) -> None:
        self._where = name_of(function)
        self._login_required = stages.login_required
        self._function = Stage.of(function, groups, ROUTE_WORDS)
        self._cleaning = cleaning
        stage = partial(Stage.of, groups=groups)
        # A handler's guards know no route: what they name is of the URL, whatever a key says.
        guards = [
            *(guard.bound(Stage.of) for guard in access),
            *(guard.bound(stage) for guard in stages.conditions),
        ]
        self._guards = [guard for guard in guards if not _asks_for_obj(guard)]
        self._object_guards = [guard for guard in guards if _asks_for_obj(guard)]
        self._check_data = _optional(stages.check_data, groups, STAGE_WORDS)
        self._hydrate = _optional(stages.hydrate, groups, ROUTE_WORDS)
        self._dehydrate = _optional(stages.dehydrate, groups, STAGE_WORDS)
        self._check_declaration(function)

    def _check_declaration(self, function: Function) -> None:
        if self._cleaning:
            later = [stage for guard in self._object_guards for stage in guard.functions()]
            for stage in (self._check_data, self._hydrate, *later, self._function):
                if stage:
                    check_fields(stage.function, self._cleaning.schema)
        asking = list(map(str, self._object_guards))
        checks = (self._check_data, self._dehydrate)
        asking += [name_of(stage.function) for stage in checks if stage and stage.takes_obj]
        if asking and not self._hydrate:
            raise DeclarationError(
                f"{self._where}: {asking[0]} asks for obj, but the route has no hydrate to load it"
            )
        if self._dehydrate and is_generator(function):
            raise DeclarationError(
                f"{self._where}: the parts of a generator are not dehydrated; yield what is sent"
            )
        if self._dehydrate and self._dehydrate.validate:
            raise DeclarationError(
                f"{self._where}: dehydrate has no fields after *; its content is what the function "
                "has returned"
            )

    async def __call__(self, socket: "RoutedSocketHandler", message: Message) -> Any:
        return await _run(self._steps, socket, message)

    def _steps(self, socket: "RoutedSocketHandler", message: Message) -> Steps:
        """The order of the stages; the first that raises ends it."""
        if self._login_required and not socket.user.is_authenticated:
            raise LoginRequired
        yield from _ask(self._guards)
        if self._cleaning:
            message.content = yield self._cleaning
        check_data, hydrate, function = self._filled(message.content)
        if check_data and not check_data.takes_obj:
            yield from _ask_data(check_data)
        if hydrate:
            message.obj = yield hydrate
            yield from _ask(self._object_guards)
            if check_data and check_data.takes_obj:
                yield from _ask_data(check_data)
            message.content = message.obj
        value = yield function
        if self._dehydrate and not message.answered:
            data, status, headers = answer_of(value)
            if status < 300:
                message.content = data
                data = yield self._dehydrate
                status = 200 if status == 204 and data is not None else status
                value = Reply(data, status, headers)
        return value

    def _filled(self, content: Any) -> tuple[Stage | None, Stage | None, Stage]:
        """What is called with the content, its fields taken, or every fault of theirs at once."""
        errors: Errors = []
        check_data = self._check_data and self._check_data.filled(content, errors)
        hydrate = self._hydrate and self._hydrate.filled(content, errors)
        function = self._function.filled(content, errors)
        if errors:
            raise InvalidContent.of({tuple(error.items()): error for error in errors}.values())
        return check_data, hydrate, function


def _ask_data(check: Stage) -> Steps:
    if not is_pass((yield check), name_of(check.function)):
        raise InvalidContent("The message is not valid.")


def _optional(given: Function | None, groups: frozenset[str], words: Words) -> Stage | None:
    return None if given is None else Stage.of(given, groups, words)


def _asks_for_obj(guard: Guard) -> bool:
    return any(stage.takes_obj for stage in guard.functions())


def _ask(guards: Iterable[Guard]) -> Steps:
    for guard in guards:
        refusal = yield from guard.decide()
        try:
            if refusal is not None:
                raise refusal
        finally:
            del refusal  # no cycle with its traceback is left to the garbage collector


async def _run(
    steps: Callable[["RoutedSocketHandler", Message], Steps],
    socket: "RoutedSocketHandler",
    message: Message,
) -> Any:
    """Take the steps to their end; returns what the function returned, or dehydrated.

    Those that follow one another and block share one call of a thread. A step is not taken
    any more when the message was cancelled or the connection is closing.
    """
    run = Run(steps(socket, message), socket, message)
    while run.stage is not None:
        if run.stage.blocking:
            await _advance(run)
        else:
            run.advance()
        if run.awaited is not None:
            await run.settle()
    return run.value


class Run:
    """One message on its way through its stages."""

    __slots__ = ("awaited", "message", "socket", "stage", "steps", "value")

    def __init__(self, steps: Steps, socket: "RoutedSocketHandler", message: Message) -> None:
        self.steps = steps
        self.socket = socket
        self.message = message
        self.value: Any = None
        self.awaited: Any = None
        self.stage: Step | None = None
        self._go_on()

    def advance(self) -> None:
        """Make the calls that belong where this is called, up to one that must be awaited."""
        here = self.stage and self.stage.blocking
        while self.stage is not None and self.stage.blocking is here:
            try:
                value = self.stage(self.socket, self.message)
            except Exception as fault:
                self._go_on(fault=fault)
            else:
                if inspect.isawaitable(value):
                    self.awaited = value
                    return
                self._go_on(value)

    async def settle(self) -> None:
        """Await what a call has left to be awaited."""
        awaited, self.awaited = self.awaited, None
        try:
            value = await awaited
        except Exception as fault:
            self._go_on(fault=fault)
        else:
            self._go_on(value)

    def _go_on(self, value: Any = None, fault: Exception | None = None) -> None:
        try:
            self.stage = self.steps.send(value) if fault is None else self.steps.throw(fault)
        except StopIteration as end:
            self.stage, self.value = None, end.value
        finally:
            del fault  # as in `_ask`
        if self.message.cancelled or self.socket._closing or self.socket._closed is not None:
            self.stage = None


_advance = sync_to_async(Run.advance)
