"""Home of somebody new: three steps from nothing to the first mail, and which of them are done.

It stands where the outbox would be empty, and is over with the first mail for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from outbox.models import Account, Folder, Message, Preferences


@dataclass(frozen=True, slots=True)
class Start:
    """How far a person got; `account` is the one they would write with."""

    account: Account | None
    is_tested: bool
    is_own: bool  # else its owner is the one to test it

    @property
    def step(self) -> int:
        """The step that comes next, counted from one."""
        if self.account is None:
            return 1
        return 3 if self.is_tested or not self.is_own else 2


def start_of(person: User) -> Start | None:
    """Return how far the person got; None once they have sent something."""
    mine = Message.objects.visible_to(person)
    if mine.exclude(folder=Folder.DRAFTS).exists():
        return None
    usable = list(Account.objects.usable_by(person))
    tested = [account for account in usable if account.tested_at]
    account = Preferences.of(person.pk).account_among(tested or usable)
    return Start(
        account=account,
        is_tested=bool(tested),
        is_own=account is not None and account.owner_id == person.pk,
    )
