"""Live sockets in the admin: who is here, and what may be done about it."""

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .encoding import decode_json
from .exceptions import CloseCode
from .models import Socket, SocketQuerySet

if TYPE_CHECKING:
    SocketModelAdmin = admin.ModelAdmin[Socket]
else:
    SocketModelAdmin = admin.ModelAdmin

USERNAME = f"user__{get_user_model().USERNAME_FIELD}"
CHOSEN = ("action", "index", "select_across", ACTION_CHECKBOX_NAME)
"""What the list posts of an action and of the rows that it is for."""


class MessageForm(forms.Form):
    """What to send: any JSON value."""

    content = forms.CharField(
        label=_("Message"),
        widget=AdminTextareaWidget(attrs={"spellcheck": "false", "autofocus": True}),
        help_text=_(
            'JSON, such as <code>{"type": "NOTICE", "text": "Back in five minutes."}</code>'
        ),
    )

    def clean_content(self) -> Any:
        text = self.cleaned_data["content"]
        try:
            json.loads(text)  # tells line and column
            return decode_json(text)  # takes what can be sent, and no NaN
        except json.JSONDecodeError as fault:
            place = {"line": fault.lineno, "column": fault.colno, "fault": fault.msg}
            raise ValidationError(
                _("Expected JSON, found a fault in line %(line)s, column %(column)s: %(fault)s."),
                params=place,
            ) from fault
        except (ValueError, RecursionError) as fault:
            raise ValidationError(
                _("Expected JSON that can be sent, got a value that cannot: %(fault)s."),
                params={"fault": fault},
            ) from fault


class CloseForm(forms.Form):
    """How to close."""

    may_return = forms.BooleanField(
        label=_("Clients may reconnect"),
        required=False,
        initial=True,
        help_text=_(
            "Otherwise they are told not to (code 4403). Who opens the page again is not kept out: "
            "whom a socket lets in is for its view to say."
        ),
    )

    @property
    def code(self) -> CloseCode:
        return CloseCode.NORMAL if self.cleaned_data["may_return"] else CloseCode.FORBIDDEN


class OnlineFilter(admin.SimpleListFilter):
    """Those that are active and whose process is alive, or the others."""

    title = _("online")
    parameter_name = "online"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "1":
            return queryset.online()
        if self.value() == "0":
            # No join: it would lose the rows whose process is gone.
            return queryset.exclude(pk__in=Socket.objects.online().values("pk"))
        return queryset


@admin.register(Socket)
class SocketAdmin(SocketModelAdmin):
    """Live connections. Nothing is added or changed by hand, and a deleted one is closed."""

    list_display = ("path", "username", "view_name", "age", "active", "user_ip", "short_process")
    list_select_related = ("user",)
    list_filter = ("active", OnlineFilter, ("view", admin.AllValuesFieldListFilter))
    search_fields = ("path", USERNAME, "=session_key", "^user_ip")
    search_help_text = _("By path, user name, IP address (or how it begins) or whole session key")
    ordering = ("-created",)
    # Each would have all rows counted once more.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("send_message", "close", "purge_inactive")
    fields = (
        *("path", "username", "view", "active", "created", "age", "last_ping", "user_ip"),
        *("short_session_key", "channel_name", "id", "short_process"),
    )

    @admin.display(description=_("user"), ordering=USERNAME)
    def username(self, row: Socket) -> Any:
        if row.user_id is None:
            return _("anonymous")
        try:
            user = row.user
        except ObjectDoesNotExist:  # the link has no constraint
            user = None
        return user.get_username() if user else _("deleted (%(id)s)") % {"id": row.user_id}

    @admin.display(description=_("view"), ordering="view")
    def view_name(self, row: Socket) -> str:
        name = row.view.rpartition(".")[2]
        return format_html('<span title="{}">{}</span>', row.view, name)

    @admin.display(description=_("age"), ordering="-created")
    def age(self, row: Socket) -> Any:
        if (timezone.now() - row.created).total_seconds() < 60:
            return _("seconds")
        return timesince(row.created, depth=1)

    @admin.display(description=_("process"), ordering="process_id")
    def short_process(self, row: Socket) -> str:
        return str(row.process_id)[:8]

    @admin.display(description=_("session key"))
    def short_session_key(self, row: Socket) -> str:
        # Who knows the whole key has the session.
        return f"{row.session_key[:6]}…" if row.session_key else self.get_empty_value_display()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # `?session_key__startswith=a` would let a key be guessed letter by letter.
        if lookup.startswith("session"):
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Socket | None = None) -> bool:
        return False

    def has_send_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    def has_close_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    def delete_model(self, request: HttpRequest, obj: Socket) -> None:
        self.delete_queryset(request, Socket.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        queryset.close()
        queryset.delete()  # those whose process died, too

    @admin.action(
        description=_("Send a message to selected %(verbose_name_plural)s"), permissions=["send"]
    )
    def send_message(self, request: HttpRequest, queryset: SocketQuerySet) -> HttpResponse | None:
        form = MessageForm(_filled_in(request))
        count = queryset.count()
        if not form.is_valid():
            title = ngettext("Send a message to %d socket", "Send a message to %d sockets", count)
            return self._ask(request, form, title % count, _("Send"))
        queryset.send_json(form.cleaned_data["content"])
        told = ngettext("The message goes to %d socket.", "The message goes to %d sockets.", count)
        self.message_user(request, told % count)
        return None

    @admin.action(description=_("Close selected %(verbose_name_plural)s"), permissions=["close"])
    def close(self, request: HttpRequest, queryset: SocketQuerySet) -> HttpResponse | None:
        form = CloseForm(_filled_in(request))
        count = queryset.count()
        if not form.is_valid():
            title = ngettext("Close %d socket", "Close %d sockets", count)
            return self._ask(request, form, title % count, _("Close"))
        queryset.close(form.code)
        told = ngettext("%d socket is being closed.", "%d sockets are being closed.", count)
        self.message_user(request, told % count)
        return None

    @admin.action(
        description=_("Purge selected %(verbose_name_plural)s that are inactive"),
        permissions=["delete"],
    )
    def purge_inactive(self, request: HttpRequest, queryset: SocketQuerySet) -> None:
        count = queryset.purge_inactive()
        told = ngettext("%d inactive socket was purged.", "%d inactive sockets were purged.", count)
        self.message_user(request, told % count)

    def _ask(self, request: HttpRequest, form: Any, title: str, submit: Any) -> HttpResponse:
        """The page with the form of an action, which posts to the action again."""
        fields = {"fields": [*form.fields]}
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": None,
            "opts": self.opts,
            "media": self.media + form.media,
            "adminform": AdminForm(form, [(None, fields)], {}, model_admin=self),
            "chosen": [(name, value) for name in CHOSEN for value in request.POST.getlist(name)],
            "submit": submit,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/sockets/socket/action.html", context)


def _filled_in(request: HttpRequest) -> Any:
    """What was posted, where that was the form of an action and not the list."""
    return request.POST if "_filled_in" in request.POST else None
