"""Sharing accounts: inviting users, and what they decide.

An invitation says nothing to the user who invites: a name that no user has, an invitation that was
declined and an open one look the same, so that the page does not reveal which names exist.
"""

import datetime as dt
import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from outbox.api import audit
from outbox.api.links import link_to
from outbox.api.system_email import email_of, queue_system_email
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import OutboxError
from outbox.models import Account, AuditAction, AuditEntry, Preferences, ShareDecision
from outbox.models.account import SHARE_ACCOUNT
from outbox.models.senders import hold_forbidden_of

logger = logging.getLogger(__name__)
_OFFERS_WITH_EMAIL = 10  # of one user in an hour: an offer can be withdrawn and repeated


def may_share(user: Any) -> bool:
    """Return whether the user may share accounts."""
    if not get_conf().sharing_needs_permission:
        return True
    has_perm = getattr(user, "has_perm", lambda _name: False)
    return bool(has_perm(f"outbox.{SHARE_ACCOUNT}"))


def shared_names(account: Account) -> list[str]:
    """Return the usernames that the account was shared with, whether or not they exist."""
    users = account.users.using(get_conf().database)
    names = [user.get_username() for user in users]
    return sorted([*names, *account.unmatched_names.splitlines()], key=str.casefold)


def accepted_names(account: Account) -> list[str]:
    """Return the names of the users who have accepted, sorted."""
    decisions = account.decisions.using(get_conf().database).filter(is_accepted=True)
    users = [decision.user for decision in decisions.select_related("user")]
    return sorted((user.get_username() for user in users), key=str.casefold)


def share_with_names(account: Account, names: Iterable[str], *, actor: AbstractBaseUser) -> None:
    """Share an account with exactly the users of these names. New ones are invited.

    Raise PermissionDenied if names are added by a user who may not share.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        row = Account.objects.using(using).select_for_update().get(pk=account.pk)
        wanted = set(names) - {actor.get_username()}
        sharing = {user.get_username(): user for user in row.users.using(using)}
        unmatched = set(row.unmatched_names.splitlines())
        added = wanted - sharing.keys() - unmatched
        if added and not may_share(actor):
            raise PermissionDenied
        revoked = [user for name, user in sharing.items() if name not in wanted]
        if revoked:
            row.users.remove(*revoked)
            _record(AuditAction.SHARE_REVOKED, row, revoked, actor)
        found = _active_users(added)
        row.unmatched_names = "\n".join(
            sorted((unmatched & wanted) | (added - {user.get_username() for user in found}))
        )
        row.save(using=using, update_fields=["unmatched_names"])
        invite(row, found, actor=actor)
    account.unmatched_names = row.unmatched_names


def share_with_groups(
    account: Account, groups: Iterable[Group], *, actor: AbstractBaseUser
) -> None:
    """Share an account with exactly these groups. Each member accepts or declines.

    Raise PermissionDenied if groups are added by a user who may not share.
    """
    before, wanted = set(account.groups.all()), set(groups)
    if wanted - before and not may_share(actor):
        raise PermissionDenied
    if before == wanted:
        return
    account.groups.set(wanted)
    changes = {
        AuditAction.SHARE_OFFERED: wanted - before,
        AuditAction.SHARE_REVOKED: before - wanted,
    }
    for action, changed in changes.items():
        if changed:
            names = sorted(group.name for group in changed)
            audit.record(action, actor=actor, target=account, groups=names)


def invite(account: Account, users: Iterable[Any], *, actor: AbstractBaseUser) -> None:
    """Invite users to send with an account, also those who have declined before."""
    using = get_conf().database
    invited = list(users)
    if not invited:
        return
    declined = ShareDecision.objects.using(using).filter(account=account, is_accepted=False)
    declined.filter(user__in=[user.pk for user in invited]).delete()
    account.users.add(*invited)
    _record(AuditAction.SHARE_OFFERED, account, invited, actor)
    if _offers_lately(actor, using) > _OFFERS_WITH_EMAIL:
        return
    for user in invited:
        _email_after_commit(account, user, actor)


def _offers_lately(actor: AbstractBaseUser, using: str) -> int:
    """Return how often the user has offered accounts in the last hour."""
    recent = AuditEntry.objects.using(using).filter(
        action=AuditAction.SHARE_OFFERED,
        actor_name=actor.get_username(),
        at__gt=database_now(using) - dt.timedelta(hours=1),
    )
    return recent.count()


def accept(account: Account, user: AbstractBaseUser) -> bool:
    """Accept an invitation; return False if there is none."""
    return _decide(account, user, is_accepted=True, action=AuditAction.SHARE_ACCEPTED)


def decline(account: Account, user: AbstractBaseUser) -> bool:
    """Decline an invitation; return False if there is none."""
    return _decide(account, user, is_accepted=False, action=AuditAction.SHARE_DECLINED)


def leave(account: Account, user: AbstractBaseUser) -> bool:
    """Stop using a shared account; return False if it is not shared with the user.

    Waiting messages that the user sends with it are held.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        decisions = ShareDecision.objects.using(using)
        left = decisions.filter(account=account, user=user.pk, is_accepted=True)
        if not left.update(is_accepted=False):
            return False
        account.users.remove(user.pk)
        hold_forbidden_of(user.pk, using)
        audit.record(AuditAction.SHARE_LEFT, actor=user, target=account)
    return True


def _decide(
    account: Account, user: AbstractBaseUser, *, is_accepted: bool, action: AuditAction
) -> bool:
    using = get_conf().database
    with transaction.atomic(using=using):
        locked = Account.objects.using(using).select_for_update().filter(pk=account.pk).first()
        inviting = Account.objects.using(using).inviting(user)
        if locked is None or not inviting.filter(pk=account.pk).exists():
            return False
        ShareDecision.objects.using(using).create(
            account=locked, user_id=user.pk, is_accepted=is_accepted
        )
        if not is_accepted and locked.users.filter(pk=user.pk).exists():
            # To the owner, the invitation looks as before.
            locked.users.remove(user.pk)
            names = {*locked.unmatched_names.splitlines(), user.get_username()}
            locked.unmatched_names = "\n".join(sorted(names))
            locked.save(using=using, update_fields=["unmatched_names"])
        audit.record(action, actor=user, target=locked)
    return True


def _active_users(names: Iterable[str]) -> list[Any]:
    users: Any = get_user_model()
    found = users._default_manager.using(get_conf().database).filter(
        **{f"{users.USERNAME_FIELD}__in": list(names)}
    )
    return [user for user in found if user.is_active]


def _record(
    action: AuditAction, account: Account, users: Iterable[Any], actor: AbstractBaseUser
) -> None:
    names = [user.get_username() for user in users]
    audit.record(action, actor=actor, target=account, users=names)


def _email_after_commit(account: Account, user: Any, actor: AbstractBaseUser) -> None:
    def send() -> None:  # if it fails, Django logs its name, which a partial lacks
        _email(account, user, actor)

    transaction.on_commit(send, using=get_conf().database, robust=True)


def _email(account: Account, user: Any, actor: AbstractBaseUser) -> None:
    """Report an invitation by email, if the user wants that and an account can send."""
    using = get_conf().database
    chosen = Preferences.objects.using(using).filter(pk=user.pk).first()
    address = email_of(user)
    if chosen is None or not chosen.invitation_email or not address:
        return
    names = {"user": actor.get_username(), "account": account.name}
    with translation.override(chosen.language or settings.LANGUAGE_CODE):
        subject = _("%(user)s invites you to send with “%(account)s”") % names
        lines = [
            _("%(user)s invites you to send messages with the account “%(account)s”.") % names,
            _("Sender: %(sender)s") % {"sender": account.sender},
            _("Server: %(server)s") % {"server": account.host or account.server_shown},
            _("Nothing changes unless you accept."),
            link_to("outbox:accounts"),
        ]
    try:
        queue_system_email(to=address, subject=subject, text="\n".join(filter(None, lines)))
    except OutboxError as error:
        logger.warning("No email about an invitation could be queued: %s", error)
