"""A contact as a person types it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox.api.phrases import translate
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Contact

if TYPE_CHECKING:
    ContactModelForm = forms.ModelForm[Contact]
else:
    ContactModelForm = forms.ModelForm  # generic in its stubs only


class ContactForm(ContactModelForm):
    """Name and address; an address typed with a name brings that along."""

    class Meta:
        model = Contact
        fields = ("address", "name")
        widgets: ClassVar = {
            "address": forms.TextInput(attrs={"inputmode": "email", "spellcheck": "false"}),
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
        }
        help_texts: ClassVar = {"name": gettext_lazy("Shown to everybody who gets your mail.")}

    def clean(self) -> None:
        """Read the address, and see that the book has it once."""
        typed = self.cleaned_data.get("address")
        if typed is None:
            return
        try:
            address = parse_address(typed)
            name = self.cleaned_data.get("name", "") or address.name
            self.instance.put(dataclasses.replace(address, name=name))
        except AddressError as error:
            self.add_error("address", translate(str(error)))
            return
        self.cleaned_data["address"] = self.instance.address
        self.cleaned_data["name"] = self.instance.name
        same = Contact.objects.filter(owner=self.instance.owner_id, key=self.instance.key)
        others = same.exclude(pk=self.instance.pk)
        if others.filter(is_kept=True).exists():
            self.add_error("address", _("This address is in your contacts already."))

    def keep(self) -> Contact:
        """Save it as kept by hand; what was only remembered of this address gives way."""
        contact = self.instance
        remembered = Contact.objects.filter(
            owner=contact.owner_id, key=contact.key, is_kept=False
        ).exclude(pk=contact.pk)
        known = remembered.first()
        if known is not None:
            contact.used_at = known.used_at
            remembered.delete()
        contact.is_kept = True
        contact.save()
        return contact
