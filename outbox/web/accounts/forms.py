"""The forms of an account. They never contain the stored password."""

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import Group, User
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from outbox.api import sharing
from outbox.api.oauth import connection_of
from outbox.api.quotas import check_accounts
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.exceptions import QuotaExceededError
from outbox.mail.addresses import Address, AddressError, parse_address, parse_address_list
from outbox.models import Account, connection_test
from outbox.web.accounts.discovery import Suggestion
from outbox.web.accounts.hosts import check_port, clean_host
from outbox.web.accounts.passwords import PASSWORD_IS_VOID, changed_server_fields
from outbox.web.accounts.retention import RETENTION_FIELDS, retention_helps

TESTED_FIELDS = frozenset({*connection_test.TESTED_FIELDS, "password"})
MORE_FIELDS = frozenset(
    {
        "signature",
        "shared_with",
        "groups",
        "max_connections",
        "per_minute",
        "per_day",
        "on_uncertain",
        "resend_hours",
        *RETENTION_FIELDS,
    }
)
SHARED_MAX = 100
_NAME_MAX = 150
RESEND_MAX = 120  # hours; later the message itself has expired


if TYPE_CHECKING:
    AccountModelForm = forms.ModelForm[Account]
else:
    AccountModelForm = forms.ModelForm  # generic in its stubs only


class AddressForm(forms.Form):
    """The email address of a new account, from which its settings are suggested."""

    address = forms.CharField(
        label=gettext_lazy("Your email address"),
        max_length=320,
        widget=forms.TextInput(
            attrs={
                "inputmode": "email",
                "autocomplete": "email",
                "autocapitalize": "off",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )

    def clean_address(self) -> Address:
        try:
            return parse_address(self.cleaned_data["address"])
        except AddressError as error:
            raise forms.ValidationError(in_words(error)) from error


def initial_for(user: User, address: Address, found: Suggestion | None) -> dict[str, Any]:
    """Return the initial values of a new account, so that only the password is missing."""
    initial: dict[str, Any] = {
        "from_name": address.name or _full_name(user),
        "from_address": address.spec,
        "name": address.domain,
        "username": address.spec,
    }
    if found is not None:
        initial |= {
            "host": found.host,
            "port": found.port,
            "security": found.security,
            "username": found.username,
            "secret_is_token": found.wants_token,
        }
    if found is not None and found.provider is not None:
        known = found.provider
        initial |= {"name": known.name, "per_minute": known.per_minute, "per_day": known.per_day}
    return initial


def _full_name(user: User) -> str:
    """Return the user's name, which a project's own user model need not have."""
    return str(user.get_full_name()) if hasattr(user, "get_full_name") else ""


class SiteChoice(forms.NullBooleanSelect):
    """Yes, no, or what the settings of the site say."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.choices = [
            ("unknown", gettext_lazy("As the site is set")),
            ("true", gettext_lazy("Yes")),
            ("false", gettext_lazy("No")),
        ]


class AccountForm(AccountModelForm):
    """Identity, server, limits, and the other users of the account."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    shared_with = forms.CharField(
        label=gettext_lazy("Users"),
        required=False,
        help_text=gettext_lazy(
            "Usernames, separated by commas. Each user gets an invitation to accept or decline."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    resend_hours = forms.IntegerField(
        label=gettext_lazy("Hours before the retry"),
        min_value=1,
        max_value=RESEND_MAX,
        required=False,
        help_text=gettext_lazy("During this time you can find out whether the message arrived."),
    )

    class Meta:
        model = Account
        fields = (
            "name",
            "from_name",
            "from_address",
            "reply_to",
            "return_path",
            "suppress_bounces",
            "signature",
            "host",
            "port",
            "security",
            "username",
            "secret_is_token",
            "max_connections",
            "per_minute",
            "per_day",
            "on_uncertain",
            "groups",
            *RETENTION_FIELDS,
        )
        widgets: ClassVar = {
            "groups": forms.CheckboxSelectMultiple,
            "on_uncertain": forms.RadioSelect,
            "signature": forms.Textarea(attrs={"rows": 4}),
            "security": forms.RadioSelect,
            "suppress_bounces": SiteChoice,
            "return_path": forms.TextInput(attrs={"inputmode": "email", "spellcheck": "false"}),
            "from_address": forms.TextInput(attrs={"inputmode": "email", "spellcheck": "false"}),
            "host": forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off"}),
            "username": forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off"}),
        }
        labels: ClassVar = {
            "name": gettext_lazy("Account name"),
            "from_name": gettext_lazy("Your name"),
            "from_address": gettext_lazy("Your email address"),
            "on_uncertain": gettext_lazy("If delivery is uncertain"),
            **RETENTION_FIELDS,
        }
        help_texts: ClassVar = {
            "name": gettext_lazy("For example “Work”."),
            "host": gettext_lazy("Your provider calls it the SMTP or outgoing server."),
            "reply_to": gettext_lazy("Replies go to this address instead of yours."),
            "return_path": gettext_lazy(
                "The address of the mailbox that bounces are fetched from. The server must deliver "
                "addresses with “+” and a text after the local part to it. If empty, bounces go to "
                "your address."
            ),
            "signature": gettext_lazy(
                "Added below messages from this account, instead of the one in your preferences."
            ),
            "port": gettext_lazy("Usually 587 with STARTTLS, 465 with TLS."),
            "username": gettext_lazy("Leave empty if the server needs no login."),
            "groups": "",
            "per_minute": gettext_lazy("Leave empty for no limit."),
            "per_day": gettext_lazy("Leave empty for no limit."),
        }

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["host"].required = True  # the accounts of users have a server
        hours = self.instance.resend_after // dt.timedelta(hours=1)
        self.initial.setdefault("resend_hours", hours or 1)
        if self.instance.has_secret and "password" in self.fields:
            self.fields["password"].help_text = _("Leave empty to keep the stored password.")
        for name, text in retention_helps().items():
            self.fields[name].help_text = text
        if self.instance.pk:
            self.initial["shared_with"] = ", ".join(sharing.shared_names(self.instance))
            self._explain_sharing()
        if connection_of(self.instance) is not None:
            for name in TESTED_FIELDS:  # the provider decides these
                del self.fields[name]
        self._set_groups()
        if not sharing.may_share(user) and not self._is_shared:
            for name in ("shared_with", "groups"):
                self.fields.pop(name, None)

    @property
    def _is_shared(self) -> bool:
        account = self.instance
        return bool(account.pk and (sharing.shared_names(account) or account.groups.exists()))

    def _explain_sharing(self) -> None:
        """List the users who have accepted, below the names."""
        if accepted := sharing.accepted_names(self.instance):
            names = pgettext("between entries", ", ").join(accepted)
            self.fields["shared_with"].help_text = _(
                "Usernames, separated by commas. Accepted by: %(names)s."
            ) % {"names": names}

    def _set_groups(self) -> None:
        """Set the groups to choose from: the user's own, and those it is already shared with."""
        groups_shown = Q(user=self.user)
        if self.instance.pk:
            groups_shown |= Q(pk__in=self.instance.groups.all())
        groups = Group.objects.filter(groups_shown).distinct()
        self.fields["groups"].queryset = groups  # type: ignore[attr-defined]  # ModelMultipleChoiceField's
        if not groups.exists():
            del self.fields["groups"]

    def clean_from_address(self) -> str:
        try:
            return parse_address(self.cleaned_data["from_address"]).spec
        except AddressError as error:
            raise forms.ValidationError(in_words(error)) from error

    def clean_reply_to(self) -> str:
        typed: str = self.cleaned_data["reply_to"]
        try:
            parse_address_list(typed)
        except AddressError as error:
            raise forms.ValidationError(in_words(error)) from error
        return typed

    def clean_host(self) -> str:
        typed: str = self.cleaned_data["host"]
        is_trusted = self.instance.is_trusted and typed == self.instance.host
        return clean_host(typed, allow_private=is_trusted or get_conf().allow_private_hosts)

    def clean_port(self) -> int:
        port: int = self.cleaned_data["port"]
        check_port(port, self.instance)
        return port

    def clean(self) -> dict[str, Any] | None:
        """Check the password, and set the hours before sending again if they were entered."""
        if hours := self.cleaned_data.get("resend_hours"):
            self.instance.resend_after = dt.timedelta(hours=hours)
        changed = changed_server_fields(self.instance, self.cleaned_data)
        if changed:
            self.instance.is_trusted = False  # staff trusted the account with its former server
        if (
            changed
            and self.instance.has_secret
            and self.cleaned_data.get("username")
            and not self.cleaned_data.get("password")
        ):
            self.add_error("password", PASSWORD_IS_VOID)
        if self.instance._state.adding:
            self._check_quota()
        return super().clean()

    def _check_quota(self) -> None:
        try:
            check_accounts(self.user.pk)
        except QuotaExceededError as error:
            self.add_error(None, in_words(error))

    def clean_shared_with(self) -> set[str]:
        """Return the names. The page looks the same for a name that no user has."""
        typed = self.cleaned_data["shared_with"].replace("，", ",").split(",")
        names = {" ".join(name.split()) for name in typed} - {""}
        if len(names) > SHARED_MAX or any(len(name) > _NAME_MAX for name in names):
            raise forms.ValidationError(
                _("Enter at most %(count)d usernames.") % {"count": SHARED_MAX}
            )
        before = sharing.shared_names(self.instance) if self.instance.pk else ()
        self._check_may_share(names.difference(before))
        return names

    def clean_groups(self) -> Any:
        groups = self.cleaned_data["groups"]
        before = self.instance.groups.all() if self.instance.pk else ()
        self._check_may_share(set(groups).difference(before))
        return groups

    def _check_may_share(self, added: set[Any]) -> None:
        if added and not sharing.may_share(self.user):
            raise forms.ValidationError(_("You are not allowed to share accounts."))

    @property
    def has_more_errors(self) -> bool:
        """Return whether a field in the collapsed part of a new account's page has an error."""
        return not MORE_FIELDS.isdisjoint(self.errors)

    @property
    def server_errors(self) -> dict[str, list[str]]:
        """Return the errors that prevent a connection test, by the label of their field."""
        return {
            str(self.fields[name].label): [str(error) for error in errors]
            for name, errors in self.errors.items()
            if name in TESTED_FIELDS
        }
