"""An account as a person describes it. The stored password never comes here."""

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import Group, User
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox.api.phrases import translate
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_address, parse_address_list
from outbox.models import Account
from outbox.web.accounts.hosts import clean_host

SERVER_FIELDS = frozenset({"host", "port", "security", "username", "password", "secret_is_token"})
MORE_FIELDS = frozenset(
    {
        "signature",
        "shared_with",
        "groups",
        "is_app_default",
        "max_connections",
        "per_minute",
        "per_day",
        "on_uncertain",
        "resend_hours",
    }
)
RESEND_MAX = 120  # hours; later the mail itself has expired


if TYPE_CHECKING:
    AccountModelForm = forms.ModelForm[Account]
else:
    AccountModelForm = forms.ModelForm  # generic in its stubs only


class AccountForm(AccountModelForm):
    """Identity, server, limits, and who else may send with it."""

    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    shared_with = forms.CharField(
        label=gettext_lazy("People"),
        required=False,
        help_text=gettext_lazy("User names, separated by commas."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    resend_hours = forms.IntegerField(
        label=gettext_lazy("Hours until then"),
        min_value=1,
        max_value=RESEND_MAX,
        required=False,
        help_text=gettext_lazy("Time for you to find out whether the message arrived."),
    )

    class Meta:
        model = Account
        fields = (
            "name",
            "from_name",
            "from_address",
            "reply_to",
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
            "is_app_default",
        )
        widgets: ClassVar = {
            "groups": forms.CheckboxSelectMultiple,
            "on_uncertain": forms.RadioSelect,
            "signature": forms.Textarea(attrs={"rows": 4}),
            "security": forms.RadioSelect,
            "from_address": forms.TextInput(attrs={"inputmode": "email", "spellcheck": "false"}),
            "host": forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off"}),
            "username": forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off"}),
        }
        labels: ClassVar = {
            "name": gettext_lazy("Name of this account"),
            "from_name": gettext_lazy("Your name"),
            "from_address": gettext_lazy("Your email address"),
            "is_app_default": gettext_lazy("Default for messages sent by apps"),
            "on_uncertain": gettext_lazy("If delivery cannot be confirmed"),
        }
        help_texts: ClassVar = {
            "name": gettext_lazy("Such as “Work”."),
            "host": gettext_lazy("Your provider calls it the SMTP or outgoing server."),
            "reply_to": gettext_lazy("Only if replies should go to another address."),
            "signature": gettext_lazy(
                "Added below messages from this account, instead of the one in your preferences."
            ),
            "port": gettext_lazy("587 with STARTTLS, 465 with TLS."),
            "username": gettext_lazy("Leave empty for a server that needs no login."),
            "groups": "",
            "per_minute": gettext_lazy("Empty: no limit."),
            "per_day": gettext_lazy("Empty: no limit."),
        }

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        hours = self.instance.resend_after // dt.timedelta(hours=1)
        self.initial.setdefault("resend_hours", hours or 1)
        if self.instance.has_secret:
            self.fields["password"].help_text = _("One is stored. Leave it empty to keep it.")
        if self.instance.pk:
            names = self.instance.users.order_by("username").values_list("username", flat=True)
            self.initial["shared_with"] = ", ".join(names)
        self._offer_groups()
        if not person.is_staff:
            del self.fields["is_app_default"]

    def _offer_groups(self) -> None:
        """Offer the owner's own groups, and those it is shared with already."""
        known = Q(user=self.person)
        if self.instance.pk:
            known |= Q(pk__in=self.instance.groups.all())
        groups = Group.objects.filter(known).distinct()
        self.fields["groups"].queryset = groups  # type: ignore[attr-defined]  # ModelMultipleChoiceField's
        if not groups.exists():
            del self.fields["groups"]

    def clean_from_address(self) -> str:
        try:
            return parse_address(self.cleaned_data["from_address"]).spec
        except AddressError as error:
            raise forms.ValidationError(translate(str(error))) from error

    def clean_reply_to(self) -> str:
        typed: str = self.cleaned_data["reply_to"]
        try:
            parse_address_list(typed)
        except AddressError as error:
            raise forms.ValidationError(translate(str(error))) from error
        return typed

    def clean_host(self) -> str:
        return clean_host(self.cleaned_data["host"], allow_private=get_conf().allow_private_hosts)

    def clean(self) -> dict[str, Any] | None:
        """Take the hours for what they are; without any the account's own stay."""
        if hours := self.cleaned_data.get("resend_hours"):
            self.instance.resend_after = dt.timedelta(hours=hours)
        return super().clean()

    def clean_shared_with(self) -> list[User]:
        names = {name.strip() for name in self.cleaned_data["shared_with"].split(",")} - {""}
        found = list(User.objects.filter(username__in=names, is_active=True))
        if unknown := sorted(names - {user.username for user in found}):
            raise forms.ValidationError(_("There is no user “%(name)s”.") % {"name": unknown[0]})
        return [user for user in found if user != self.person]

    def clean_is_app_default(self) -> bool:
        wanted: bool = self.cleaned_data["is_app_default"]
        others = Account.objects.filter(is_app_default=True).exclude(pk=self.instance.pk)
        if wanted and (other := others.first()):
            raise forms.ValidationError(
                _("“%(name)s” is the default already. Only one account can be.")
                % {"name": other.name}
            )
        return wanted

    @property
    def has_more_errors(self) -> bool:
        """Tell whether something is wrong among what a new account's page folds away."""
        return not MORE_FIELDS.isdisjoint(self.errors)

    @property
    def server_errors(self) -> dict[str, list[str]]:
        """What keeps the server from being tried, whatever else is still missing; by label."""
        return {
            str(self.fields[name].label): [str(error) for error in errors]
            for name, errors in self.errors.items()
            if name in SERVER_FIELDS
        }
