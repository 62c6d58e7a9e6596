"""Webhooks, which staff may edit, and their calls. A secret goes in and never comes out."""

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox import api
from outbox.admin import wording
from outbox.admin.readonly import ModelAdmin, ReadOnlyAdmin
from outbox.api.phrases import translate
from outbox.models import State, Webhook, WebhookCall
from outbox.models.webhook import BASE64_MARK
from outbox.signals import SIGNAL_OF

if TYPE_CHECKING:
    WebhookModelForm = forms.ModelForm[Webhook]
else:
    WebhookModelForm = forms.ModelForm

SECRET_MIN = 16  # characters; a shorter one could be guessed from a few calls


class WebhookForm(WebhookModelForm):
    """An empty secret field keeps what is stored; a new webhook needs one."""

    states = forms.MultipleChoiceField(
        label=_("States"),
        required=False,
        choices=[(state, label) for state, label in State.choices if state in SIGNAL_OF],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Those it is told of; empty: all."),
    )
    new_secret = forms.CharField(
        label=_("Secret"),
        required=False,
        min_length=SECRET_MIN,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_(
            "Signs every call, so that the receiver can tell yours from others. Stored encrypted "
            "and never shown. Leave it empty to keep the stored one."
        ),
    )

    class Meta:
        model = Webhook
        fields = ("name", "url", "states", "is_active")
        widgets: ClassVar = {"url": forms.URLInput(attrs={"class": "vLargeTextField"})}

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if "@" in urlsplit(url).netloc:
            raise ValidationError(_("Leave name and password out: a call is known by its secret."))
        return url

    def clean_new_secret(self) -> str:
        secret: str = self.cleaned_data["new_secret"]
        if not (secret or self.instance.secret_encrypted):
            raise ValidationError(_("Without a secret, anybody could tell the receiver anything."))
        if secret.startswith(BASE64_MARK):
            try:
                base64.b64decode(secret.removeprefix(BASE64_MARK), validate=True)
            except ValueError as error:
                raise ValidationError(_("What follows “whsec_” is not Base64.")) from error
        return secret

    def save(self, commit: bool = True) -> Webhook:  # noqa: FBT001, FBT002  # Django's signature
        if self.cleaned_data["new_secret"]:
            self.instance.secret = self.cleaned_data["new_secret"]
        return super().save(commit)


@admin.register(Webhook)
class WebhookAdmin(ModelAdmin):
    """Who is told what becomes of mail."""

    form = WebhookForm
    list_display = ("name", "host", "states_told", "is_active", "is_waiting")
    list_filter = ("is_active",)
    search_fields = ("name", "url")
    readonly_fields = ("secret_state", "created_at")
    fields = ("name", "url", "states", "secret_state", "new_secret", "is_active", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        waiting = WebhookCall.objects.filter(webhook=OuterRef("pk"), next_attempt_at__isnull=False)
        annotated: QuerySet[Any] = super().get_queryset(request).annotate(waiting=Exists(waiting))
        return annotated

    def get_deleted_objects(
        self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Say nothing of the calls, which go along: there may be a million."""
        names = [str(each) for each in objs]
        return names, {str(self.opts.verbose_name_plural): len(names)}, set(), []

    @admin.display(description=_("server"), ordering="url")
    def host(self, webhook: Webhook) -> str:
        """Leave the path out of lists: some receivers have a key in it."""
        return urlsplit(webhook.url).netloc

    @admin.display(description=_("states"))
    def states_told(self, webhook: Webhook) -> str:
        told = [str(State(state).label) for state in webhook.states if state in State.values]
        return ", ".join(told) or str(_("all"))

    @admin.display(description=_("calls wait"), boolean=True)
    def is_waiting(self, webhook: Any) -> bool:
        return bool(webhook.waiting)

    @admin.display(description=_("stored secret"))
    def secret_state(self, webhook: Webhook) -> str:
        return str(_("there is one") if webhook.secret_encrypted else _("none"))


class CallStateFilter(admin.SimpleListFilter):
    """What became of a call so far."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("waits")), ("given-up", _("given up")), ("taken", _("taken"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookCall]
    ) -> QuerySet[WebhookCall]:
        match self.value():
            case "waiting":
                return queryset.filter(next_attempt_at__isnull=False)
            case "given-up":
                return queryset.filter(next_attempt_at=None, taken_at=None)
            case "taken":
                return queryset.filter(taken_at__isnull=False)
        return queryset


@admin.register(WebhookCall)
class WebhookCallAdmin(ReadOnlyAdmin):
    """Every call with its attempts and the last answer; those not taken can be made again."""

    list_display = ("pk", "webhook", "what", "state", "attempts", "last_answer", "next_attempt_at")
    list_filter = (CallStateFilter, "webhook")
    list_select_related = ("webhook",)
    ordering = ("-pk",)
    actions = ("call_again",)
    fieldsets = (
        (None, {"fields": ("webhook", "state", "attempts", "last_answer")}),
        (None, {"fields": ("created_at", "next_attempt_at", "taken_at")}),
        (None, {"fields": ("body_text",)}),
    )
    readonly_fields = ("state", "last_answer", "body_text")

    @admin.display(description=_("what"))
    def what(self, call: WebhookCall) -> str:
        told = json.loads(call.body)
        return f"{told['data']['address']}: {told['type']}"

    @admin.display(description=_("state"))
    def state(self, call: WebhookCall) -> str:
        if call.taken_at:
            return str(_("taken"))
        return str(_("waits") if call.next_attempt_at else _("given up"))

    @admin.display(description=_("last answer"))
    def last_answer(self, call: WebhookCall) -> str:
        return translate(call.detail) or wording.EMPTY

    @admin.display(description=_("content"))
    def body_text(self, call: WebhookCall) -> SafeString:
        return wording.preformatted(json.dumps(json.loads(call.body), indent=2, ensure_ascii=False))

    @admin.action(description=_("Try again now"), permissions=["operate"])
    def call_again(self, request: HttpRequest, queryset: QuerySet[WebhookCall]) -> None:
        again = [call for call in queryset if api.call_again(call)]
        for call in again:
            self.log_change(request, call, "Made due again.")
        text = ngettext(
            "%(number)d call is made again within seconds.",
            "%(number)d calls are made again within seconds.",
            len(again),
        )
        self.message_user(request, text % {"number": len(again)})
