"""The first steps of a new user: add an account, test it, send a message.

They are shown in the empty Outbox until the first message was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from outbox.models import Account, Folder, Message, Preferences


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """The steps that a user has done. `account` is the one that a new message would use."""

    account: Account | None
    is_tested: bool
    is_own: bool  # only the owner of an account can test it

    @classmethod
    def of(cls, user: User) -> FirstSteps | None:
        """Return the steps of the user, or None once the user has sent a message."""
        messages = Message.objects.visible_to(user)
        if messages.exclude(folder=Folder.DRAFTS).exists():
            return None
        preferences = Preferences.of(user.pk)
        usable = list(preferences.usable_accounts(user))
        tested = [account for account in usable if account.tested_at]
        account = preferences.account_among(tested or usable)
        return cls(
            account=account,
            is_tested=bool(tested),
            is_own=account is not None and account.owner_id == user.pk,
        )

    @property
    def step(self) -> int:
        """Return the number of the next step, counted from one."""
        if self.account is None:
            return 1
        return 3 if self.is_tested or not self.is_own else 2
