"""Accounts, which staff may edit. A password goes in and never comes out."""

from typing import TYPE_CHECKING

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from outbox.admin.readonly import ModelAdmin
from outbox.api.phrases import translate
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Account
from outbox.web.accounts.hosts import clean_host

if TYPE_CHECKING:
    AccountModelForm = forms.ModelForm[Account]
else:
    AccountModelForm = forms.ModelForm


class AccountForm(AccountModelForm):
    """An empty password field keeps what is stored."""

    new_password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_("Stored encrypted and never shown. Leave it empty to keep the stored one."),
    )
    forget_password = forms.BooleanField(label=_("Forget the stored password"), required=False)

    class Meta:
        model = Account
        exclude = ("secret_encrypted",)  # whatever else an account gets is editable

    def clean_host(self) -> str:
        allow_private = get_conf().allow_private_hosts
        return clean_host(self.cleaned_data["host"], allow_private=allow_private)

    def clean_from_address(self) -> str:
        return _address(self.cleaned_data["from_address"])

    def clean_reply_to(self) -> str:
        return _address(self.cleaned_data["reply_to"])

    def save(self, commit: bool = True) -> Account:  # noqa: FBT001, FBT002  # Django's signature
        if self.cleaned_data["forget_password"]:
            self.instance.secret = ""
        if self.cleaned_data["new_password"]:
            self.instance.secret = self.cleaned_data["new_password"]
        return super().save(commit)


def _address(text: str) -> str:
    if text:
        try:
            parse_address(text)
        except AddressError as error:
            raise ValidationError(translate(str(error))) from error
    return text


@admin.register(Account)
class AccountAdmin(ModelAdmin):
    """Who sends by which server."""

    form = AccountForm
    list_display = ("name", "from_address", "host", "security", "owner", "is_app_default")
    list_filter = ("route", "security", "is_app_default")
    list_select_related = ("owner",)
    search_fields = ("name", "from_address", "host")
    raw_id_fields = ("owner",)
    autocomplete_fields = ("users", "groups")
    readonly_fields = ("password_state", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "owner", "users", "groups", "is_app_default")}),
        (_("Identity"), {"fields": ("from_name", "from_address", "reply_to", "signature")}),
        (_("Server"), {"fields": ("route", "host", "port", "security")}),
        (
            _("Login"),
            {
                "fields": (
                    "username",
                    "password_state",
                    "new_password",
                    "forget_password",
                    "secret_is_token",
                )
            },
        ),
        (_("Limits"), {"fields": ("max_connections", "per_minute", "per_day")}),
        (_("When an answer is lost"), {"fields": ("on_uncertain", "resend_after")}),
        (None, {"fields": ("created_at",)}),
    )

    @admin.display(description=_("stored password"))
    def password_state(self, account: Account) -> str:
        return str(_("there is one") if account.has_secret else _("none"))
