"""The form of a contact."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox.api.quotas import check_contacts
from outbox.api.reasons import in_words
from outbox.exceptions import QuotaExceededError
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Contact

if TYPE_CHECKING:
    ContactModelForm = forms.ModelForm[Contact]
else:
    ContactModelForm = forms.ModelForm  # generic in its stubs only


class ContactForm(ContactModelForm):
    """Name and address; an address may be typed with its name."""

    class Meta:
        model = Contact
        fields = ("address", "name")
        widgets: ClassVar = {
            "address": forms.TextInput(attrs={"inputmode": "email", "spellcheck": "false"}),
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
        }
        help_texts: ClassVar = {
            "name": gettext_lazy("All recipients of your message see this name.")
        }

    def clean(self) -> None:
        """Check the address, and that no other contact has it."""
        if self.instance._state.adding:
            self._check_quota()
        typed = self.cleaned_data.get("address")
        if typed is None:
            return
        try:
            address = parse_address(typed)
            name = self.cleaned_data.get("name", "") or address.name
            self.instance.put(dataclasses.replace(address, name=name))
        except AddressError as error:
            self.add_error("address", in_words(error))
            return
        self.cleaned_data["address"] = self.instance.address
        self.cleaned_data["name"] = self.instance.name
        same = Contact.objects.filter(owner=self.instance.owner_id, key=self.instance.key)
        others = same.exclude(pk=self.instance.pk)
        if others.filter(is_kept=True).exists():
            self.add_error("address", _("You already have a contact with this address."))

    def _check_quota(self) -> None:
        try:
            check_contacts(self.instance.owner_id)
        except QuotaExceededError as error:
            self.add_error(None, in_words(error))

    def save_kept(self) -> Contact:
        """Save the contact as kept, instead of one added automatically with the same address."""
        contact = self.instance
        automatic = Contact.objects.filter(
            owner=contact.owner_id, key=contact.key, is_kept=False
        ).exclude(pk=contact.pk)
        known = automatic.first()
        if known is not None:
            contact.used_at = known.used_at
            automatic.delete()
        contact.is_kept = True
        contact.save()
        return contact
