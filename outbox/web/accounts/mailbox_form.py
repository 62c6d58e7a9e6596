"""The form of a mailbox. It never contains the stored password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox.api.mailboxes import changed_server_fields, fetches_recent, is_gmail
from outbox.conf import get_conf
from outbox.inbound.server_login import (
    RECENT,
    allows_private,
    may_use_login_of_account,
    may_use_token,
)
from outbox.models import Mailbox, OnServer
from outbox.web.accounts.hosts import check_port, clean_host
from outbox.web.accounts.passwords import PASSWORD_IS_VOID

if TYPE_CHECKING:
    MailboxModelForm = forms.ModelForm[Mailbox]
else:
    MailboxModelForm = forms.ModelForm  # generic in its stubs only

GMAIL_DECIDES = gettext_lazy(
    "Gmail decides by its own settings what stays on the server (Settings, Forwarding and "
    "POP/IMAP). An age limit has no effect there."
)
TESTED_FIELDS = ("protocol", "host", "port", "security", "username", "password", "is_recent")


class OnServerSelect(forms.RadioSelect):
    """The choice without an age limit, where it has no effect."""

    is_limit_disabled = False

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        if self.is_limit_disabled and str(value) == OnServer.KEEP_DAYS:
            option["attrs"]["disabled"] = True
        return option


class MailboxForm(MailboxModelForm):
    """Server, login, what happens on the server, and how often messages are fetched."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    is_recent = forms.BooleanField(
        label=gettext_lazy("Also fetch messages that another program has fetched"),
        required=False,
        help_text=gettext_lazy(
            "Gmail only, by POP3: it lists each message once, unless the username begins with "
            "“recent:”. Then it lists the messages of the last 30 days."
        ),
    )

    class Meta:
        model = Mailbox
        fields = (
            "protocol",
            "host",
            "port",
            "security",
            "username",
            "on_server",
            "keep_days",
            "every_minutes",
            "files_sent",
            "is_active",
        )
        widgets: ClassVar = {
            "protocol": forms.RadioSelect,
            "security": forms.RadioSelect,
            "on_server": OnServerSelect,
            "host": forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off"}),
            "username": forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off"}),
        }
        labels: ClassVar = {
            "on_server": gettext_lazy("Messages that were fetched"),
            "keep_days": gettext_lazy("Days on the server"),
            "every_minutes": gettext_lazy("Minutes between two fetches"),
            "files_sent": gettext_lazy("Store a copy of each sent message in the mailbox"),
            "is_active": gettext_lazy("Fetch messages"),
        }
        help_texts: ClassVar = {
            "host": gettext_lazy("Your provider calls it the POP3, IMAP or incoming server."),
            "port": gettext_lazy("With TLS, usually 995 for POP3 and 993 for IMAP."),
            "on_server": gettext_lazy(
                "A message is deleted from the server only after it was stored here."
            ),
            "files_sent": gettext_lazy(
                "IMAP only. The copy appears in the folder of sent messages, from the next message "
                "on. Gmail and Microsoft 365 store sent messages themselves, except those of "
                "delegated mailboxes."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mailbox = self.instance
        account = mailbox.account
        self.is_gmail = is_gmail(mailbox)
        self.initial["username"] = mailbox.username.removeprefix(RECENT)
        self.initial["is_recent"] = fetches_recent(mailbox)
        if account.username:
            self.fields["username"].help_text = _("Empty: %(username)s, as for sending.") % {
                "username": account.username
            }
        if self.is_gmail:
            self.fields["on_server"].help_text = GMAIL_DECIDES
            self.fields["on_server"].widget.is_limit_disabled = True
            del self.fields["keep_days"]
        elif not fetches_recent(mailbox):
            del self.fields["is_recent"]
        self.fields["password"].help_text = self._password_help()

    def _password_help(self) -> str:
        mailbox = self.instance
        if mailbox.secret_encrypted:
            return _("Leave empty to keep the stored password.")
        if may_use_token(mailbox, get_conf().database):
            return _("Leave empty to use the connection of the account.")
        if may_use_login_of_account(mailbox):
            return _("Leave empty to use the password for sending.")
        return ""

    def clean_host(self) -> str:
        typed: str = self.cleaned_data["host"]
        return clean_host(typed, allow_private=allows_private(self.instance.account, typed))

    def clean_port(self) -> int:
        port: int = self.cleaned_data["port"]
        is_stored = not self.instance._state.adding and port == self.initial.get("port")
        if not is_stored:
            check_port(port, allowed=get_conf().fetch_ports)
        return port

    def clean(self) -> dict[str, Any] | None:
        """Compose the username, and check what no field can check alone."""
        cleaned = super().clean() or self.cleaned_data
        account = self.instance.account
        if cleaned.get("is_recent"):
            own = cleaned.get("username", "").removeprefix(RECENT) or account.username
            cleaned["username"] = f"{RECENT}{own}"
        elif cleaned.get("username", "").startswith(RECENT):
            cleaned["username"] = cleaned["username"].removeprefix(RECENT)
        self._check_password(cleaned)
        probed = Mailbox(account=account, host=cleaned.get("host", ""))
        if cleaned.get("on_server") == OnServer.KEEP_DAYS and is_gmail(probed):
            self.add_error("on_server", GMAIL_DECIDES)
        return cleaned

    def _check_password(self, cleaned: dict[str, Any]) -> None:
        account = self.instance.account
        username = cleaned.get("username", "")
        probed = Mailbox(account=account, host=cleaned.get("host", ""), username=username)
        if not (username or account.username):
            self.add_error("username", _("Enter a username."))
        if cleaned.get("password") or may_use_token(probed, get_conf().database):
            return
        stored = Mailbox.objects.filter(pk=account.pk).first()
        if stored is not None and stored.secret_encrypted:
            changed = changed_server_fields(stored, cleaned)
            if changed and not may_use_login_of_account(probed):
                self.add_error("password", PASSWORD_IS_VOID)
        elif not may_use_login_of_account(probed):
            self.add_error("password", _("Enter the password of the mailbox."))

    @property
    def server_errors(self) -> dict[str, list[str]]:
        """Return the errors that prevent a connection test, by the label of their field."""
        return {
            str(self.fields[name].label): [str(error) for error in errors]
            for name, errors in self.errors.items()
            if name in TESTED_FIELDS
        }
