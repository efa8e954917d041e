"""The examples of channels-websocket-utils, with nothing changed but their imports."""

from django.shortcuts import render
from django.urls import path

from sockets.compat.replykey import Consumer as SyncConsumer
from sockets.compat.replykey import (
    auto_route,
    get_websocket_token,
    require_perms,
    validate_websocket_token,
)

list_o_django_perms = ["auth.change_user"]


class Routed(SyncConsumer):
    # the below method is required if the JS app want to route message by type like channels
    def receive_json(self, content, **kwargs):
        target_method = getattr(self, content["type"])
        target_method(content)

    # the auto route feature is optional
    @auto_route
    def your_method(self, event):
        python_object = {}
        return python_object


class RoutedByName(SyncConsumer):
    @auto_route
    def your_method(self, event):
        python_object = {}
        return python_object


def your_view(request):
    token_str = get_websocket_token(request.user)
    return render(request, "main.html", context={"token": token_str})


class YourConsumer(SyncConsumer):
    def connect(self):
        # the below function will return a boolian, do as you see fit with it
        # note that only signed in user can validate token
        boolian_result = validate_websocket_token(self.scope)  # noqa: F841


urlpatterns = [path("path/<str:token>", YourConsumer)]


class Guarded(SyncConsumer):
    @require_perms(list_o_django_perms)
    def top_secret(self):
        self.send_json({"key": "secret"})
