"""Webhooks, which staff may edit, and their calls. A stored secret is never shown."""

import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox import api
from outbox.admin import formatting
from outbox.admin.filters import ConditionFilter
from outbox.admin.protected import DeletesRelatedAdmin
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api import audit
from outbox.api.reasons import in_words
from outbox.models import AuditAction, State, Webhook, WebhookCall
from outbox.models.webhook import key_of
from outbox.signals import SIGNAL_OF
from outbox.webhooks.request import is_scheme_allowed

if TYPE_CHECKING:
    WebhookModelForm = forms.ModelForm[Webhook]
else:
    WebhookModelForm = forms.ModelForm

SECRET_MIN, SECRET_MAX = 24, 64  # bytes of the key (Standard Webhooks)


class WebhookForm(WebhookModelForm):
    """The form of a webhook. An empty secret field keeps the stored secret."""

    states = forms.MultipleChoiceField(
        label=_("States"),
        required=False,
        choices=[(state, label) for state, label in State.choices if state in SIGNAL_OF],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("States that trigger this webhook. Empty means all."),
    )
    new_secret = forms.CharField(
        label=_("Secret"),
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_(
            "Signs every call, so that the receiver can verify it. Stored encrypted and never "
            "shown. Leave it empty to keep the stored one. After a change, calls are signed with "
            "both for a day."
        ),
    )

    class Meta:
        model = Webhook
        fields = ("name", "url", "states", "is_active")
        widgets: ClassVar = {"url": forms.URLInput(attrs={"class": "vLargeTextField"})}

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if "@" in urlsplit(url).netloc:
            raise ValidationError(_("Enter a URL without a username and password."))
        is_changed = url != self.initial.get("url")
        if is_changed and urlsplit(url).scheme == "http" and not is_scheme_allowed(url):
            raise ValidationError(_("Enter a URL that begins with “https://”."))
        return url

    def clean_new_secret(self) -> str:
        secret: str = self.cleaned_data["new_secret"]
        if not (secret or self.instance.secret_encrypted):
            raise ValidationError(_("Enter a secret. The receiver needs it to verify calls."))
        try:
            length = len(key_of(secret))
        except ValueError as error:
            raise ValidationError(_("Enter Base64 after “whsec_”.")) from error
        if secret and not SECRET_MIN <= length <= SECRET_MAX:
            raise ValidationError(
                _("Enter a secret of %(least)d to %(most)d bytes. This one has %(count)d.")
                % {"least": SECRET_MIN, "most": SECRET_MAX, "count": length}
            )
        return secret

    def save(self, commit: bool = True) -> Webhook:  # noqa: FBT001, FBT002  # Django's signature
        if self.cleaned_data["new_secret"]:
            self.instance.replace_secret(self.cleaned_data["new_secret"])
        return super().save(commit)


@admin.register(Webhook)
class WebhookAdmin(DeletesRelatedAdmin):
    """Webhooks that report state changes of recipients."""

    form = WebhookForm
    list_display = ("name", "host", "state_names", "is_active", "is_waiting")
    list_filter = ("is_active",)
    search_fields = ("name", "url")
    readonly_fields = ("secret_state", "created_at")
    fields = ("name", "url", "states", "secret_state", "new_secret", "is_active", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        waiting = WebhookCall.objects.filter(webhook=OuterRef("pk"), next_attempt_at__isnull=False)
        annotated: QuerySet[Any] = super().get_queryset(request).annotate(waiting=Exists(waiting))
        return annotated

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        fields = [name for name in form.changed_data if name != "new_secret"]
        if "new_secret" in form.changed_data:
            fields.append("secret")
        audit.record(AuditAction.WEBHOOK_CHANGED, request=request, target=obj, fields=fields)

    @admin.display(description=_("server"), ordering="url")
    def host(self, webhook: Webhook) -> str:
        """Return the host only: the path of some receivers contains a key."""
        return urlsplit(webhook.url).netloc

    @admin.display(description=_("states"))
    def state_names(self, webhook: Webhook) -> str:
        names = [str(State(state).label) for state in webhook.states if state in State.values]
        return ", ".join(names) or str(_("all"))

    @admin.display(description=_("calls waiting"), boolean=True)
    def is_waiting(self, webhook: Any) -> bool:
        return bool(webhook.waiting)

    @admin.display(description=_("stored secret"))
    def secret_state(self, webhook: Webhook) -> str:
        return str(_("set") if webhook.secret_encrypted else _("not set"))


class CallStateFilter(ConditionFilter):
    """Calls by their state."""

    title = _("state")
    parameter_name = "state"
    conditions: ClassVar = {
        "waiting": (_("waiting"), Q(next_attempt_at__isnull=False)),
        "failed": (_("failed"), Q(next_attempt_at=None, taken_at=None)),
        "accepted": (_("accepted"), Q(taken_at__isnull=False)),
    }


@admin.register(WebhookCall)
class WebhookCallAdmin(ReadOnlyAdmin):
    """Calls with their attempts and the last response; failed calls can be repeated."""

    list_display = (
        "id",
        "webhook",
        "event",
        "state",
        "attempts",
        "last_response",
        "next_attempt_at",
    )
    list_filter = (CallStateFilter, "webhook")
    list_select_related = ("webhook",)
    ordering = ("-pk",)
    actions = ("call_again",)
    fieldsets = (
        (None, {"fields": ("webhook", "state", "attempts", "last_response")}),
        (None, {"fields": ("created_at", "next_attempt_at", "taken_at")}),
        (None, {"fields": ("body_text",)}),
    )
    readonly_fields = ("state", "last_response", "body_text")

    @admin.display(description=_("event"))
    def event(self, call: WebhookCall) -> str:
        body = json.loads(call.body)
        return f"{body['data']['address']}: {body['type']}"

    @admin.display(description=_("state"))
    def state(self, call: WebhookCall) -> str:
        if call.taken_at:
            return str(_("accepted"))
        return str(_("waiting") if call.next_attempt_at else _("failed"))

    @admin.display(description=_("last response"))
    def last_response(self, call: WebhookCall) -> str:
        return in_words(call.result) or formatting.EMPTY

    @admin.display(description=_("content"))
    def body_text(self, call: WebhookCall) -> SafeString:
        return formatting.preformatted(
            json.dumps(json.loads(call.body), indent=2, ensure_ascii=False)
        )

    @admin.action(description=_("Retry calls"), permissions=["operate"])
    def call_again(self, request: HttpRequest, queryset: QuerySet[WebhookCall]) -> None:
        count = self.change_each(request, queryset, api.call_again, "Retried.")
        text = ngettext(
            "%(number)d call is retried within seconds.",
            "%(number)d calls are retried within seconds.",
            count,
        )
        self.message_user(request, text % {"number": count})
