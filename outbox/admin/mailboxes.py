"""Mailboxes: what accounts fetch, and when. A stored password is never shown."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox.admin.formatting import EMPTY
from outbox.admin.protected import DeletesRelatedAdmin
from outbox.api import mailboxes as api
from outbox.api.reasons import in_words
from outbox.inbound.server_login import allows_private
from outbox.models import Account, Mailbox
from outbox.web.accounts.hosts import clean_host
from outbox.web.accounts.passwords import PASSWORD_IS_VOID
from outbox.web.display import inert

if TYPE_CHECKING:
    MailboxModelForm = forms.ModelForm[Mailbox]
else:
    MailboxModelForm = forms.ModelForm


class MailboxAdminForm(MailboxModelForm):
    """The form of a mailbox. An empty password field keeps the stored password."""

    new_password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_(
            "Stored encrypted and never shown. Leave it empty to keep the stored one, or to use "
            "the login of the account."
        ),
    )

    class Meta:
        model = Mailbox
        fields = (
            "account", "protocol", "host", "port", "security", "username", "on_server",
            "keep_days", "every_minutes", "files_sent", "is_active",
        )  # fmt: skip
        help_texts: ClassVar = {
            "username": _("If empty, that of the account."),
            "files_sent": _(
                "IMAP only. The copy appears in the folder of sent messages, from the next message "
                "on. Gmail and Microsoft 365 store sent messages themselves, except those of "
                "delegated mailboxes."
            ),
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        account: Account | None = cleaned.get("account") or self._account()
        if account is not None and "host" in cleaned:
            try:
                allow_private = allows_private(account, cleaned["host"])
                cleaned["host"] = clean_host(cleaned["host"], allow_private=allow_private)
            except ValidationError as error:
                self.add_error("host", error)
        stored = api.mailbox_of(account) if account is not None else None
        if (
            stored is not None
            and stored.secret_encrypted
            and api.changed_server_fields(stored, cleaned)
            and not cleaned.get("new_password")
        ):
            self.add_error("new_password", PASSWORD_IS_VOID)
        return cleaned

    def _account(self) -> Account | None:
        return None if self.instance._state.adding else self.instance.account


@admin.register(Mailbox)
class MailboxAdmin(DeletesRelatedAdmin):
    """Mailboxes of accounts."""

    account_path = "account"
    form = MailboxAdminForm
    list_display = (
        "account_name", "protocol", "host", "is_active", "next_fetch_at", "fetched_at", "failures",
        "why",
    )  # fmt: skip
    list_filter = ("protocol", "is_active", "on_server")
    list_select_related = ("account",)
    search_fields = ("account__name", "account__from_address", "host")
    readonly_fields = ("password_state", "why", "next_fetch_at", "fetched_at", "failures")
    actions = ("fetch_now",)
    fieldsets = (
        (None, {"fields": ("account", "is_active")}),
        (_("Server"), {"fields": ("protocol", "host", "port", "security")}),
        (_("Login"), {"fields": ("username", "password_state", "new_password")}),
        (_("Fetching"), {"fields": ("on_server", "keep_days", "every_minutes", "files_sent")}),
        (_("State"), {"fields": ("next_fetch_at", "fetched_at", "failures", "why")}),
    )

    # A mailbox is half of an account, so that the permissions of accounts apply.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("outbox.view_account") or self._may_change(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may_change(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request)

    def _may_change(self, request: HttpRequest) -> bool:
        return request.user.has_perm("outbox.change_account")

    @admin.display(description=_("account"), ordering="account__name")
    def account_name(self, mailbox: Mailbox) -> str:
        """Return the name without the address, which lists have no room for."""
        return inert(mailbox.account.name)

    @admin.display(description=_("password"))
    def password_state(self, mailbox: Mailbox) -> Any:
        """Return whether a password is stored."""
        return _("stored") if mailbox.secret_encrypted else _("none")

    @admin.display(description=_("reason"))
    def why(self, mailbox: Mailbox) -> str:
        """Return why the last fetch failed."""
        return in_words(mailbox.reason) or EMPTY

    def get_readonly_fields(self, request: HttpRequest, obj: Mailbox | None = None) -> Any:
        """Return also the account of a mailbox that exists."""
        return [*super().get_readonly_fields(request, obj), *(["account"] if obj else [])]

    def save_model(
        self,
        request: HttpRequest,
        obj: Mailbox,
        form: Any,
        change: bool,  # noqa: FBT001  # Django's signature
    ) -> None:
        password = form.cleaned_data.get("new_password") or None
        try:
            api.save_mailbox(obj, password=password, actor=request.user, fields=form.changed_data)
        except ImproperlyConfigured as error:
            messages.error(request, str(error))

    def delete_model(self, request: HttpRequest, obj: Mailbox) -> None:
        api.remove_mailbox(obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Mailbox]) -> None:
        for mailbox in queryset:
            api.remove_mailbox(mailbox, actor=request.user)

    @admin.action(description=_("Fetch now"), permissions=["change"])
    def fetch_now(self, request: HttpRequest, queryset: QuerySet[Mailbox]) -> None:
        """Request that workers fetch the chosen mailboxes."""
        count = sum(api.fetch_now(mailbox) for mailbox in queryset)
        text = ngettext("%(count)d mailbox is fetched.", "%(count)d mailboxes are fetched.", count)
        self.message_user(request, text % {"count": count})
