from django.urls import path

from . import rooms, views

urlpatterns = [
    path("bench/", views.Bench.as_view()),
    path("crowd/", views.Crowd.as_view()),
    path("patient-crowd/", views.PatientCrowd.as_view()),
    path("roomy/", views.Roomy.as_view()),
    path("strict/", views.Strict.as_view()),
    path("greeter/", views.Greeter.as_view()),
    path("slow/", views.Slow.as_view()),
    path("forbidden/", views.Forbidden.as_view()),
    path("forbidden-at-handshake/", views.ForbiddenAtHandshake.as_view()),
    path("members/", views.Members.as_view()),
    path("members-at-handshake/", views.MembersAtHandshake.as_view()),
    path("log-in/", views.log_in),
    path("log-out/", views.log_out),
    path("load/", views.show_load),
    path("records/", views.show_records),
    path("room/<str:name>/", rooms.Room.as_view()),
    path("member-room/<str:name>/", rooms.Members.as_view()),
    path("untracked-room/<str:name>/", rooms.Untracked.as_view()),
    path("gated/<str:name>/", rooms.Gated.as_view()),
    path("held/<str:name>/", rooms.Held.as_view()),
    path("gates/", rooms.show_gates),
    path("gates/<str:name>/", rooms.open_gate),
    path("send/", rooms.send_from_view),
    path("send-async/", rooms.send_from_async_view),
    path("end/<str:what>/", rooms.end),
    path("visit/", rooms.visit),
    path("rows/", rooms.show_rows),
    path("statements/", rooms.show_statements),
]
