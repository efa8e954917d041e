"""Books over the wire of Django Channels REST framework: routes by hand, alone and in streams."""

import time
from dataclasses import dataclass
from typing import Any

import msgspec
from django.http import Http404
from django.views import View

from sockets import SocketRouter
from sockets.protocols.dcrf import DCRF


class Book(msgspec.Struct):
    title: str
    pages: int = 0


@dataclass(frozen=True)
class Subscription:
    """Who is told of changes, and as what: the stream and the id of the request."""

    socket: Any
    stream: str | None
    ref: Any
    pk: int

    def tell(self, action: str, data: Any) -> None:
        self.socket.send_action(action, stream=self.stream, request_id=self.ref, data=data)


books: dict[int, Book] = {1: Book("Emma", 474)}
subscriptions: set[Subscription] = set()

shelf = SocketRouter(protocols=(DCRF(),))


def shown(pk):
    return {"id": pk, **msgspec.structs.asdict(find(pk))}


def find(pk):
    if pk not in books:
        raise Http404
    return books[pk]


def tell(pk, action, data):
    for subscription in subscriptions.copy():
        if subscription.pk == pk:
            subscription.tell(action, data)


@shelf.route
async def on_list(socket, *, data: dict = {}, limit: int = 100):  # noqa: B006
    return [shown(pk) for pk in books][:limit]


@shelf.route
async def create(socket, *, data: Book):
    pk = max(books, default=0) + 1
    books[pk] = data
    return shown(pk), 201


@shelf.route
def retrieve(socket, *, pk: int):
    return shown(pk)


@shelf.route
async def update(socket, *, pk: int, data: Book):
    find(pk)
    books[pk] = data
    socket.reply(shown(pk))
    tell(pk, "update", shown(pk))


@shelf.route
async def patch(socket, *, pk: int, data: dict):
    books[pk] = msgspec.structs.replace(find(pk), **data)
    socket.reply(shown(pk))
    tell(pk, "update", shown(pk))


@shelf.route
async def delete(socket, *, pk: int):
    find(pk)
    del books[pk]
    socket.reply()
    tell(pk, "delete", {"pk": pk})


@shelf.route
async def subscribe_instance(socket, message, ref, *, pk: int):
    find(pk)
    subscriptions.add(Subscription(socket, message.stream, ref, pk))
    return None, 201


@shelf.route
async def unsubscribe_instance(socket, ref):
    forget(socket, ref)


@shelf.route
async def drop(socket):
    await socket.close(4500)


@shelf.route
def rest(socket, *, seconds: float):
    time.sleep(seconds)
    return "rested"


@shelf.route
def fail(socket):
    raise ZeroDivisionError


@shelf.disconnect
async def forget_all(socket):
    for subscription in subscriptions.copy():
        if subscription.socket is socket:
            forget(socket, subscription.ref)


def forget(socket, ref):
    for subscription in subscriptions.copy():
        if subscription.socket is socket and subscription.ref == ref:
            subscriptions.remove(subscription)


class Shelf(View):
    """The books alone."""

    socket = SocketRouter(protocols=(DCRF(),), tracked=False)
    socket.include(shelf)


class Library(View):
    """The books as two streams, which are the same books."""

    socket = SocketRouter(protocols=(DCRF(),), tracked=False)
    socket.include(shelf, stream="books")
    socket.include(shelf, stream="archive")
