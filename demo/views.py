"""One view: the page over HTTP, its dice over a WebSocket."""

import random
import re

from django.shortcuts import render
from django.views import View

from sockets import SocketRouter


class Dice(View):
    socket = SocketRouter()

    def get(self, request):
        return render(request, "dice.html")

    @socket.connect
    def on_open(socket):
        socket.state.total = 0
        socket.send_action("WELCOME", text="Roll!")

    @socket.route(re.compile(r"ROLL_D(?P<sides>4|6|20)$"))
    def on_roll(socket, sides):
        rolled = random.randint(1, int(sides))
        socket.state.total += rolled
        return {"rolled": rolled, "total": socket.state.total}
