"""Contact: an address that a user writes to, saved by hand or collected from sent messages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.fields import DatabaseTimeField
from outbox.mail.addresses import Address, quote_name

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

NAME_MAX = 200


class ContactQuerySet(models.QuerySet["Contact"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> ContactQuerySet:
        """Limit to the user's own contacts."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def matching(self, text: str) -> ContactQuerySet:
        """Limit to contacts whose name or address contains the text."""
        return self.filter(models.Q(name__icontains=text) | models.Q(address__icontains=text))

    def remember(
        self, owner_id: int, addresses: Iterable[Address], at: dt.datetime, *, most: int
    ) -> None:
        """Record that the owner wrote to these addresses. Saved contacts keep their names.

        New addresses are added up to `most` contacts.
        """
        found = {address.key: Contact.of(owner_id, address, used_at=at) for address in addresses}
        own = self.filter(owner=owner_id)
        known = set(own.filter(key__in=list(found)).values_list("key", flat=True))
        room = max(most - own.count(), 0)
        for key in [key for key in found if key not in known][room:]:
            del found[key]
        self.bulk_create(
            # In a fixed order: two messages to the same people must not deadlock.
            [found[key] for key in sorted(found)],
            update_conflicts=True,
            unique_fields=["owner", "key"],
            update_fields=["used_at"],
        )


class Contact(models.Model):
    """One mailbox in a user's address book."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=NAME_MAX, blank=True)
    address = models.CharField(_("address"), max_length=320)
    key = models.CharField(max_length=320, editable=False)  # the mailbox, its domain folded
    sort_key = models.CharField(max_length=NAME_MAX, editable=False)
    is_kept = models.BooleanField(default=False)  # saved by hand, not collected
    used_at = models.DateTimeField(null=True)  # when the owner last wrote to it
    created_at = DatabaseTimeField(auto_now_add=True)

    objects = ContactQuerySet.as_manager()

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [
            # The address book, by name.
            models.Index(fields=["owner", "sort_key", "id"], name="outbox_contact_book"),
            # Suggestions while an address is typed, latest first.
            models.Index(fields=["owner", "-used_at"], name="outbox_contact_used"),
        ]
        constraints = [
            # A mailbox that is stored twice would be suggested twice.
            models.UniqueConstraint(fields=["owner", "key"], name="outbox_contact_once")
        ]

    def __str__(self) -> str:
        return f"{quote_name(self.name)} <{self.address}>" if self.name else self.address

    @classmethod
    def of(cls, owner_id: int, address: Address, **fields: Any) -> Contact:
        """Build the unsaved row of an address."""
        row = cls(owner_id=owner_id, **fields)
        row.put(address)
        return row

    def put(self, address: Address) -> None:
        """Set name and mailbox from an address."""
        self.name = address.name[:NAME_MAX]
        self.address = address.spec
        self.key = address.key
        self.sort_key = (address.name or address.spec).casefold()[:NAME_MAX]
