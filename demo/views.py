"""The pages, and what is told and asked over their sockets."""

import random
import re
from contextlib import suppress
from typing import Annotated

from django.contrib.auth import get_user_model, login
from django.contrib.auth.views import RedirectURLMixin
from django.shortcuts import redirect
from django.views import View
from django.views.generic import DetailView, TemplateView
from msgspec import Meta

from sockets import RoutedSocketHandler, SocketError, SocketRouter

from .models import Line, Table, changing, show

FIRST = ("Bold", "Calm", "Clever", "Gentle", "Happy", "Kind", "Lucky", "Merry", "Noble")
LAST = ("Badger", "Bear", "Crane", "Finch", "Fox", "Hare", "Heron", "Newt", "Otter", "Owl")


class Guest(RedirectURLMixin, View):
    """Makes a visitor a guest with a name of their own: one click, no password."""

    next_page = "/"

    def post(self, request):
        if not request.user.is_authenticated:
            users = get_user_model().objects
            name = f"{random.choice(FIRST)} {random.choice(LAST)}"
            if users.filter(username=name).exists():
                name += f" {users.count()}"
            login(request, users.create_user(name))
        return redirect(self.get_success_url())


def player(socket):
    """Who is at the other end; visitors are told to come in first."""
    if not socket.user.is_authenticated:
        raise SocketError("Come in first: one click makes you a guest.", status=401)
    return socket.user


class TablePage(DetailView):
    model = Table
    template_name = "table.html"

    socket = SocketRouter()

    @socket.connect
    def on_open(socket, pk):
        socket.join(f"table {pk}")
        socket.accept()  # from here on it counts as one who is here
        show(pk)

    @socket.disconnect
    def on_close(socket, pk):
        with suppress(Table.DoesNotExist):
            show(pk)

    @socket.route(re.compile(r"SIT_(?P<colour>RED|YELLOW)$"))
    def on_sit(socket, pk, colour):
        with changing(pk) as table:
            table.sit(player(socket), colour.lower())

    @socket.route(re.compile(r"DROP_(?P<column>\d\d?)$"))
    def on_drop(socket, pk, column):
        with changing(pk) as table:
            table.drop(player(socket), int(column))

    @socket.route
    def on_again(socket, pk):
        with changing(pk) as table:
            table.play_again(player(socket))

    @socket.connect
    def on_open_chat(socket, pk):
        lines = Line.objects.filter(table=pk).select_related("author").order_by("-pk")[:50]
        socket.send_action("CHAT", lines=[line.state() for line in lines])

    @socket.route
    def on_say(socket, pk, *, text: Annotated[str, Meta(min_length=1, max_length=200)]):
        line = Line.objects.create(table_id=pk, author=player(socket), text=text)
        socket.broadcast_action("SAID", line=line.state())


class BoardHandler(RoutedSocketHandler):
    routes = (("OPEN", "on_open_table"),)

    def connect(self):
        self.join("board")
        tables = Table.objects.select_related("red", "yellow").order_by("-pk")
        self.send_action("TABLES", tables=[table.state() for table in tables])

    def on_open_table(self, *, name: Annotated[str, Meta(max_length=30)]):
        table = Table(name=name.strip(), red=player(self))
        table.full_clean()
        table.save()
        show(table.pk)
        return {"url": table.get_absolute_url()}


class Board(TemplateView):
    template_name = "board.html"
    socket = SocketRouter(handler=BoardHandler)
