"""DKIM keys: generate, activate, retire and remove them. Each change is in the audit log.

To replace a key, generate another one and publish its record. Then activate it and retire the
former one, whose record stays until the messages that it signed have arrived.
"""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import IntegrityError, transaction

from outbox.api import audit
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import TranslatableError
from outbox.mail.dkim_keys import Algorithm, clean_domain, clean_selector, generate_pair
from outbox.models import AuditAction, KeyState, SigningKey
from outbox.texts import gettext_noop

User = AbstractBaseUser | AnonymousUser
_ADDED_TO_NAME = 100  # at most: keys of one kind that a domain gets in a month


class SigningKeyError(TranslatableError, ValueError):
    """The key cannot be added or changed; the error says why."""


def generate_signing_key(
    domain: str,
    algorithm: Algorithm = Algorithm.RSA,
    *,
    selector: str = "",
    actor: User | None = None,
) -> SigningKey:
    """Generate and store a pair of keys, which signs nothing before it is activated.

    Without a selector, one with the month is chosen. Raise KeyNameError, and SigningKeyError if
    the domain has a key with this selector.
    """
    using = get_conf().database
    key = SigningKey(domain=clean_domain(domain), algorithm=algorithm)
    key.selector = clean_selector(selector or _free_selector(key, using), key.domain)
    pair = generate_pair(algorithm)
    key.public_key, key.private_pem = pair.public, pair.private_pem
    try:
        with transaction.atomic(using=using):
            key.save(using=using, force_insert=True)
            _record(AuditAction.SIGNING_KEY_ADDED, key, actor, using)
    except IntegrityError as error:
        template = gettext_noop("%(domain)s already has a key with the selector %(selector)s")
        raise SigningKeyError(template, domain=key.domain, selector=key.selector) from error
    return key


def _free_selector(key: SigningKey, using: str) -> str:
    month = database_now(using).strftime("%Y%m")
    name = f"outbox-{month}-{Algorithm(key.algorithm).key_type}"
    taken = set(
        SigningKey.objects.using(using)
        .filter(domain=key.domain, selector__startswith=name)
        .values_list("selector", flat=True)
    )
    others = (f"{name}-{number}" for number in range(2, _ADDED_TO_NAME))
    return next((one for one in (name, *others) if one not in taken), name)


def activate_signing_key(key: SigningKey, *, actor: User | None = None) -> bool:
    """Sign with a key from now on; return whether it did not until now.

    Workers notice within a minute. Publish the DNS record before.
    """
    return _change(key, KeyState.ACTIVE, AuditAction.SIGNING_KEY_ACTIVATED, actor)


def retire_signing_key(key: SigningKey, *, actor: User | None = None) -> bool:
    """Stop signing with a key; return whether it was active until now.

    Its DNS record is needed until the messages that it signed have arrived.
    """
    return _change(key, KeyState.RETIRED, AuditAction.SIGNING_KEY_RETIRED, actor)


def _change(key: SigningKey, state: KeyState, action: AuditAction, actor: User | None) -> bool:
    using = get_conf().database
    is_retirement = state == KeyState.RETIRED
    with transaction.atomic(using=using):
        same = SigningKey.objects.using(using).filter(pk=key.pk)
        if is_retirement:
            same = same.filter(state=KeyState.ACTIVE)
        now = database_now(using)
        times = {"retired_at": now} if is_retirement else {"activated_at": now, "retired_at": None}
        changes = {"state": state} | times
        if not same.exclude(state=state).update(**changes):
            return False
        key.refresh_from_db(using=using)
        _record(action, key, actor, using)
    return True


def remove_signing_key(key: SigningKey, *, actor: User | None = None) -> None:
    """Delete a key. Raise SigningKeyError while it signs messages."""
    using = get_conf().database
    with transaction.atomic(using=using):
        idle = SigningKey.objects.using(using).filter(pk=key.pk).exclude(state=KeyState.ACTIVE)
        if not idle.delete()[0]:
            template = gettext_noop("%(name)s signs messages: retire it first")
            raise SigningKeyError(template, name=str(key))
        _record(AuditAction.SIGNING_KEY_REMOVED, key, actor, using)


def list_signing_keys(domain: str = "") -> list[SigningKey]:
    """Return the keys of a domain, or all of them. Raise KeyNameError."""
    keys = SigningKey.objects.using(get_conf().database)
    return list(keys.filter(domain=clean_domain(domain)) if domain else keys.all())


def _record(action: AuditAction, key: SigningKey, actor: User | None, using: str) -> None:
    audit.record(action, actor=actor, target=key, using=using, algorithm=key.algorithm)
