"""Whether a message may still be sent with its account, and holding those that may not.

Access can end while messages wait: the account or its author is disabled, or a share ends. Actions
that lead to sending ask `why_not`. Waiting messages are held at once where Django reports the
change, and by the sweep where it does not, as after `QuerySet.update`. Many are held in batches,
see `holding`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F, Q
from django.db.models.signals import m2m_changed, post_save, pre_delete

from outbox.conf import get_conf
from outbox.db.bulk import fetch
from outbox.exceptions import AccountNotUsableError
from outbox.models.account import Account
from outbox.models.holding import continue_holds, hold
from outbox.models.message import WAITING_FOLDERS, Message, Origin
from outbox.models.owner_key import owner_key
from outbox.models.pending_hold import PendingHold
from outbox.models.sharing import ShareDecision
from outbox.reasons import NO_REASON, Reason, ReasonCode

# The accounts and senders with waiting recipients, each with the author of one of their messages.
# The origin is asked for separately: a sender may have messages of apps beside composed ones. Skip
# scans along an index, from one sender to the next, as in `outbox.delivery.due`.
_LISTED = "r.next_attempt_at IS NOT NULL"
# One walk by row values: of walks within walks, PostgreSQL expects a million rows, and it compiles
# the statement (JIT), which takes a hundred times as long as its execution.
_PLACE = "{0}.destination_id, {0}.priority, {0}.sender_key"
_SENDERS = f"""
WITH RECURSIVE walk(id) AS (
    SELECT (SELECT r.id FROM outbox_recipient r
            WHERE {_LISTED} AND r.destination_id IS NOT NULL
            ORDER BY {_PLACE.format("r")} LIMIT 1)
    UNION ALL
    SELECT (SELECT r.id FROM outbox_recipient r
            WHERE {_LISTED} AND ({_PLACE.format("r")}) > ({_PLACE.format("last")})
            ORDER BY {_PLACE.format("r")} LIMIT 1)
    FROM walk JOIN outbox_recipient last ON last.id = walk.id
)
SELECT DISTINCT d.account_id, r.sender_key, m.owner_id
FROM walk
JOIN outbox_recipient r ON r.id = walk.id
JOIN outbox_destination d ON d.id = r.destination_id
JOIN outbox_message m ON m.id = r.message_id"""  # noqa: S608  # constants only


def why_not(message: Message, using: str) -> Reason:
    """Return why the message may not be sent with its account; NO_REASON if it may."""
    if message.account_id is None:
        return NO_REASON  # there is nothing to send with; the sweep holds the message
    account = Account.objects.using(using).filter(pk=message.account_id).first()
    if account is None:
        return NO_REASON
    return _why_not(account, _owner(message.owner_id, using), message.owner_id, message.origin)


def why_not_shown(message: Message) -> Reason:
    """Return what `why_not` returns, from the rows that a page has loaded with the message."""
    if message.account is None:
        return NO_REASON
    return _why_not(message.account, message.owner, message.owner_id, message.origin)


def forbidden(messages: Iterable[Message], using: str) -> set[int]:
    """Return the ids of those of many messages that may not be sent with their accounts.

    It takes two queries, and one more for each user of an account that is another user's.
    """
    asked: dict[tuple[Any, Any, str], list[int]] = defaultdict(list)
    for message in messages:
        asked[message.account_id, message.owner_id, message.origin].append(message.pk)
    accounts = Account.objects.using(using).in_bulk({account for account, _, _ in asked} - {None})
    users = get_user_model()._default_manager.using(using)
    owners = users.in_bulk({owner for _, owner, _ in asked} - {None})
    return {
        pk
        for (account, owner, origin), ids in asked.items()
        if account in accounts and _why_not(accounts[account], owners.get(owner), owner, origin)
        for pk in ids
    }


def check_may_send(message: Message, using: str) -> None:
    """Raise AccountNotUsableError if the message may not be sent with its account."""
    if reason := why_not(message, using):
        raise AccountNotUsableError(str(reason))


def may_send_for(owner: Any, account: Account, using: str) -> bool:
    """Return whether an app may queue a message of this owner with an account."""
    return not _why_not(account, _owner(owner.pk, using), owner.pk, Origin.API)


def _owner(owner_id: Any, using: str) -> Any:
    return get_user_model()._default_manager.using(using).filter(pk=owner_id).first()


def _why_not(account: Account, owner: Any, owner_id: Any, origin: str) -> Reason:
    if not account.is_active:
        return Reason(ReasonCode.ACCOUNT_DISABLED)
    if owner_id is None:
        is_orphan = origin == Origin.COMPOSE
        return Reason(ReasonCode.AUTHOR_DELETED) if is_orphan else NO_REASON
    if owner is None or not owner.is_active:
        return Reason(ReasonCode.AUTHOR_DISABLED)
    if account.owner_id == owner_id or (account.owner_id is None and origin != Origin.COMPOSE):
        return NO_REASON  # apps send with the accounts of the site for any user
    usable = Account.objects.using(get_conf().database).usable_by(owner)
    if usable.filter(pk=account.pk).exists():
        return NO_REASON
    return Reason(ReasonCode.ACCESS_ENDED)


class _Sender(NamedTuple):
    """A row of `_SENDERS`."""

    account_id: int
    sender_key: int
    owner_id: Any


def _senders(using: str) -> list[_Sender]:
    to_python = get_user_model()._meta.pk.to_python
    rows = [_Sender._make(row) for row in fetch(using, _SENDERS, [])]
    return [row._replace(owner_id=to_python(row.owner_id)) for row in rows]


def hold_forbidden(using: str) -> int:
    """Hold waiting recipients whose messages may not be sent, some of each; return how many."""
    if (count := continue_holds(using)) or PendingHold.objects.using(using).exists():
        return count
    rows = _senders(using)
    accounts = Account.objects.using(using).in_bulk({row.account_id for row in rows})
    for disabled in (one for one in accounts.values() if not one.is_active):
        count += hold(disabled.pk, None, Reason(ReasonCode.ACCOUNT_DISABLED), using=using)
    owners = get_user_model()._default_manager.using(using)
    owner_ids = {row.owner_id for row in rows} - {None}
    active = {one.pk for one in owners.filter(pk__in=owner_ids) if one.is_active}
    shared = _shared(accounts, owner_ids, using)
    strangers = [
        row
        for row in rows
        if (account := accounts.get(row.account_id))
        and account.is_active
        and row.sender_key
        and (row.owner_id is None or account.owner_id != row.owner_id)
        and (row.account_id, row.owner_id) not in shared
    ]
    composed = _composed(strangers, accounts, using)
    suspects: dict[Any, set[int]] = defaultdict(set)
    for row in strangers:
        is_composed = (row.account_id, row.sender_key) in composed
        if row.owner_id is None and is_composed:
            orphaned = Reason(ReasonCode.AUTHOR_DELETED)
            count += hold(
                row.account_id, row.sender_key, orphaned, using=using, is_for_composed=True
            )
        elif row.owner_id is not None and (
            is_composed or accounts[row.account_id].owner_id is not None
        ):
            suspects[row.owner_id].add(row.account_id)
    for row in rows:
        if row.owner_id is not None and row.owner_id not in active:
            suspects[row.owner_id].add(row.account_id)
    return count + sum(_hold_of(owner, found, using) for owner, found in suspects.items())


def _composed(
    rows: Iterable[_Sender], accounts: Mapping[int, Account], using: str
) -> set[tuple[int, int]]:
    """Return the accounts and senders, among these, with composed messages that wait.

    Only these need access to an account of the site, and only these have an author who must exist.
    """
    asked = {row for row in rows if row.owner_id is None or not accounts[row.account_id].owner_id}
    if not asked:
        return set()
    messages = Message.objects.using(using).filter(
        account__in={row.account_id for row in asked},
        origin=Origin.COMPOSE,
        folder__in=WAITING_FOLDERS,
    )
    pairs = set(messages.order_by().values_list("account_id", "owner_id").distinct())
    found = {row for row in asked if (row.account_id, row.owner_id) in pairs}
    # Held messages stay in the folder.
    return {
        (row.account_id, row.sender_key)
        for row in found
        if messages.filter(
            account=row.account_id,
            owner=row.owner_id,
            recipients__sender_key=row.sender_key,
            recipients__next_attempt_at__isnull=False,
        ).exists()
    }


def _shared(accounts: Iterable[int], owner_ids: Iterable[Any], using: str) -> set[tuple[int, Any]]:
    """Return the pairs of an account and a user who was offered it and has accepted.

    It is one query for all of them: a shared account may have a thousand users.
    """
    accepted = ShareDecision.objects.using(using).filter(
        Q(account__users=F("user")) | Q(account__groups__user=F("user")),
        account__in=list(accounts),
        user__in=list(owner_ids),
        is_accepted=True,
    )
    return set(accepted.order_by().values_list("account", "user").distinct())


def hold_forbidden_of(owner_id: Any, using: str) -> int:
    """Hold the waiting recipients of one author whose messages may not be sent.

    Return how many were held at once; the sweep holds the others.
    """
    return _hold_of(owner_id, _accounts_of(owner_id, using), using)


def _accounts_of(owner_id: Any, using: str) -> set[int]:
    key = owner_key(owner_id)
    return {row.account_id for row in _senders(using) if row.sender_key == key}


def _hold_of(owner_id: Any, account_ids: Iterable[int], using: str) -> int:
    owner, key = _owner(owner_id, using), owner_key(owner_id)
    accounts = Account.objects.using(using).in_bulk(list(account_ids))
    count = 0
    for account in accounts.values():
        if reason := _why_not(account, owner, owner_id, Origin.API):
            count += hold(account.pk, key, reason, using=using)
        elif reason := _why_not(account, owner, owner_id, Origin.COMPOSE):
            count += hold(account.pk, key, reason, using=using, is_for_composed=True)
    return count


# --- changes that Django reports ------------------------------------------------------------------


def connect() -> None:
    """Hold messages as soon as a user is disabled or deleted, or a share ends."""
    user = settings.AUTH_USER_MODEL
    post_save.connect(_user_saved, sender=user, dispatch_uid="outbox.senders.saved")
    pre_delete.connect(_user_deleted, sender=user, dispatch_uid="outbox.senders.deleted")
    account = apps.get_model("outbox", "Account")
    for shares, receiver in ((account.users, _users_changed), (account.groups, _groups_changed)):
        uid = f"outbox.senders.{receiver.__name__}"
        m2m_changed.connect(receiver, sender=shares.through, dispatch_uid=uid)


def _user_saved(instance: Any, update_fields: Any = None, **_: Any) -> None:
    # Each sign-in saves the user, with one field.
    if not instance.is_active and (update_fields is None or "is_active" in update_fields):
        hold_forbidden_of(instance.pk, get_conf().database)


def _user_deleted(instance: Any, **_: Any) -> None:
    using = get_conf().database
    for account_id in _accounts_of(instance.pk, using):
        hold(account_id, owner_key(instance.pk), Reason(ReasonCode.AUTHOR_DELETED), using=using)


# Before an addition, too: a deleted group ended its offers without a signal.
_SHARES_CHANGE = {"pre_add", "post_remove", "post_clear"}


def _users_changed(instance: Any, action: str, pk_set: Any = None, **_: Any) -> None:
    if action in _SHARES_CHANGE and isinstance(instance, Account):
        _forget_decisions(instance)
        for pk in pk_set if pk_set and action == "post_remove" else ():
            hold_forbidden_of(pk, get_conf().database)


def _groups_changed(instance: Any, action: str, **_: Any) -> None:
    if action in _SHARES_CHANGE and isinstance(instance, Account):
        _forget_decisions(instance)  # the sweep holds the messages of all the members


def _forget_decisions(account: Account) -> None:
    """Delete acceptances of what is not offered any more: another invitation needs another one."""
    using = get_conf().database
    # Without the condition, a group without members would be a NULL, and exclude everything.
    members = account.groups.using(using).filter(user__isnull=False).values("user")
    decisions = ShareDecision.objects.using(using).filter(account=account, is_accepted=True)
    left = decisions.exclude(user__in=account.users.using(using).values("pk"))
    left.exclude(user__in=members).delete()
