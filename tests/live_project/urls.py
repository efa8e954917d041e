from django.urls import path

from . import views

urlpatterns = [
    path("bench/", views.Bench.as_view()),
    path("roomy/", views.Roomy.as_view()),
    path("strict/", views.Strict.as_view()),
    path("greeter/", views.Greeter.as_view()),
    path("slow/", views.Slow.as_view()),
    path("forbidden/", views.Forbidden.as_view()),
    path("forbidden-at-handshake/", views.ForbiddenAtHandshake.as_view()),
    path("members/", views.Members.as_view()),
    path("members-at-handshake/", views.MembersAtHandshake.as_view()),
    path("log-in/", views.log_in),
    path("load/", views.show_load),
    path("records/", views.show_records),
]
