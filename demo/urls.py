from django.contrib.auth.views import LogoutView
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path

from .views import Board, Guest, TablePage

urlpatterns = [
    path("", Board.as_view(), name="board"),
    path("tables/<int:pk>/", TablePage.as_view(), name="table"),
    path("come-in/", Guest.as_view(), name="come-in"),
    path("leave/", LogoutView.as_view(next_page="/"), name="leave"),
    *staticfiles_urlpatterns(),  # for servers other than runserver
]
