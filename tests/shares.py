"""Share an account with users who have accepted."""

from django.contrib.auth.models import User

from outbox.models import Account, ShareDecision


def share(account: Account, *users: User) -> None:
    """Offer the account to these users, and accept for them."""
    account.users.add(*users)
    accept(account, *users)


def accept(account: Account, *users: User) -> None:
    """Accept an account that is offered to these users, or to a group of theirs."""
    for user in users:
        ShareDecision.objects.update_or_create(
            account=account, user=user, defaults={"is_accepted": True}
        )
