"""Where the project's sockets are."""

import pytest
from django.contrib.auth.decorators import login_required
from django.urls import include, path, re_path
from django.views import View

from sockets import SocketRouter
from sockets.mounts import find_mounts, find_router


class Table(View):
    socket = SocketRouter()


class Chair(Table):
    pass


class Named(View):
    live = SocketRouter()


chairs = [path("<slug:chair>/", Chair.as_view()), path("", View.as_view())]
urlpatterns = [
    path("table/<int:table>/", Table.as_view()),
    path("<str:house>/chairs/", include((chairs, "chairs")), {"colour": "blue"}),
    re_path(r"^private/(?P<table>\d+)/$", login_required(Table.as_view()), {"lamp": 1}),
    path("named/", Named.as_view()),
    path("function/", lambda request: None),
]
pytestmark = pytest.mark.urls(__name__)


def test_every_url_with_a_socket_is_found_with_its_arguments():
    assert [(m.path, m.view_class, m.router, set(m.arguments)) for m in find_mounts()] == [
        ("/table/<int:table>/", Table, Table.socket, {"table"}),
        ("/<str:house>/chairs/<slug:chair>/", Chair, Chair.socket, {"house", "chair", "colour"}),
        (r"/private/(?P<table>\d+)/", Table, Table.socket, {"table", "lamp"}),
        ("/named/", Named, Named.live, set()),
    ]


def test_another_urlconf_may_be_named():
    assert list(find_mounts("tests.urls")) == []


def test_what_is_no_view_has_no_router():
    assert find_router(None) is None
    assert find_router(View) is None
    assert find_router(Chair) is Chair.socket
    assert find_router(Chair) is not Table.socket
