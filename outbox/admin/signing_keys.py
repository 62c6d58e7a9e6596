"""DKIM keys: generate, activate, retire and remove them. A private key is never shown."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from outbox import api
from outbox.admin.protected import ProtectedAdmin
from outbox.conf import get_conf
from outbox.mail.dkim_keys import (
    Algorithm,
    KeyNameError,
    clean_domain,
    clean_selector,
    quoted_strings,
)
from outbox.models import KeyState, SigningKey

if TYPE_CHECKING:
    SigningKeyModelForm = forms.ModelForm[SigningKey]
else:
    SigningKeyModelForm = forms.ModelForm


class SigningKeyForm(SigningKeyModelForm):
    """The form that generates a key. An existing key has no form."""

    selector = forms.CharField(
        label=_("Selector"),
        required=False,
        help_text=_("The name of the key in the DNS. If empty, one with the month is chosen."),
    )

    class Meta:
        model = SigningKey
        fields = ("domain", "algorithm", "selector")

    def clean_domain(self) -> str:
        try:
            return clean_domain(self.cleaned_data["domain"])
        except KeyNameError as error:
            raise ValidationError(error.in_words(gettext)) from error

    def clean_selector(self) -> str:
        selector, domain = self.cleaned_data["selector"], self.cleaned_data.get("domain")
        if not (selector and domain):
            return selector or ""
        try:
            return clean_selector(selector, domain)
        except KeyNameError as error:
            raise ValidationError(error.in_words(gettext)) from error

    def clean(self) -> dict[str, Any] | None:
        if not get_conf().secret_keys:
            raise ValidationError(_("Set SECRET_KEYS first: private keys are stored encrypted."))
        return super().clean()


@admin.register(SigningKey)
class SigningKeyAdmin(ProtectedAdmin):
    """Keys with their DNS records. A key signs nothing before it is activated."""

    form = SigningKeyForm
    list_display = ("domain", "selector", "algorithm", "state", "created_at")
    list_filter = ("state", "algorithm")
    search_fields = ("domain", "selector")
    ordering = ("domain", "selector")
    actions = ("activate", "retire")
    fieldsets = (
        (None, {"fields": ("domain", "selector", "algorithm", "state")}),
        (_("DNS record"), {"fields": ("name_shown", "text_shown", "zone_shown")}),
        (_("Times"), {"fields": ("created_at", "activated_at", "retired_at")}),
    )
    readonly_fields = ("created_at", "activated_at", "retired_at")

    def get_fieldsets(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("domain", "algorithm", "selector")}),)
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        """Return all fields of a key: another key gets another record."""
        if obj is None:
            return ()
        return [name for _title, options in self.fieldsets for name in options["fields"]]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the key may be removed: not while it signs messages."""
        is_active = obj is not None and obj.state == KeyState.ACTIVE
        return not is_active and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: SigningKey, form: Any, change: Any) -> None:
        """Generate the key. Raise IntegrityError if another request has just added the same."""
        if change:
            return
        try:
            made = api.generate_signing_key(
                obj.domain,
                Algorithm(obj.algorithm),
                selector=form.cleaned_data["selector"],
                actor=request.user,
            )
        except api.SigningKeyError as error:
            raise IntegrityError from error
        obj.pk = made.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: SigningKey) -> None:
        api.remove_signing_key(obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        for key in queryset:
            self.delete_model(request, key)

    @admin.action(description=_("Activate keys"), permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        count = self._change_each(request, queryset, api.activate_signing_key)
        text = ngettext(
            "%(number)d key signs messages within a minute.",
            "%(number)d keys sign messages within a minute.",
            count,
        )
        self.message_user(request, text % {"number": count})

    @admin.action(description=_("Retire keys"), permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        count = self._change_each(request, queryset, api.retire_signing_key)
        text = ngettext(
            "%(number)d key was retired. Keep its DNS record for a week.",
            "%(number)d keys were retired. Keep their DNS records for a week.",
            count,
        )
        self.message_user(request, text % {"number": count}, messages.WARNING)

    def _change_each(
        self, request: HttpRequest, keys: QuerySet[SigningKey], change: Callable[..., bool]
    ) -> int:
        return sum(change(key, actor=request.user) for key in keys)

    @admin.display(description=_("name"))
    def name_shown(self, key: SigningKey) -> SafeString:
        return _copyable(key.record_name)

    @admin.display(description=_("content (TXT)"))
    def text_shown(self, key: SigningKey) -> SafeString:
        return _copyable(key.record_text)

    @admin.display(description=_("line of a zone file"))
    def zone_shown(self, key: SigningKey) -> SafeString:
        return _copyable(f"{key.record_name}. IN TXT {quoted_strings(key.record_text)}")


def _copyable(text: str) -> SafeString:
    """Return the text with a button that copies it."""
    return format_html(
        '<code class="outbox-record">{}</code> '
        '<button type="button" class="button" data-copy="{}">{}</button>',
        text,
        text,
        gettext("Copy"),
    )
