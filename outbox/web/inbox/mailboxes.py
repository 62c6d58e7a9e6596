"""Whether a user receives messages on this site."""

from django.contrib.auth.models import User

from outbox.models import Mailbox


def has_mailbox(user: User) -> bool:
    """Return whether messages of one of the user's accounts are fetched."""
    return Mailbox.objects.filter(account__owner=user.pk, is_active=True).exists()
