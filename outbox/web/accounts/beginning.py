"""How a new account begins: with an address, from which the form is filled as far as possible."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy

from outbox.api.phrases import translate
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.web.accounts.discovery import Suggestion


class BeginForm(forms.Form):
    """The one question a new account begins with."""

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
            raise forms.ValidationError(translate(str(error))) from error


def initial_for(person: User, address: Address, found: Suggestion | None) -> dict[str, Any]:
    """Return what a new account's form is filled with, so that a password is all it lacks."""
    known: dict[str, Any] = {
        "from_name": address.name or person.get_full_name(),
        "from_address": address.spec,
        "name": address.domain,
        "username": address.spec,
    }
    if found is not None:
        known |= {
            "host": found.host,
            "port": found.port,
            "security": found.security,
            "username": found.username,
            "secret_is_token": found.wants_token,
        }
    if found is not None and found.provider is not None:
        known["name"] = str(found.provider.name)
    return known
