"""The audit log: `record` writes a row, and a line of the log `outbox.security`.

    audit.record(AuditAction.ACCOUNT_CHANGED, target=account, fields=["host", "port"])

The actor and the address are those of the request that is being served, see `acting_as`.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import HttpRequest

from outbox.conf import get_conf
from outbox.models.audit import AuditAction, AuditEntry
from outbox.net.client_address import client_address

logger = logging.getLogger("outbox.security")

_LONGEST = 200  # characters of a text in the details
_LONGEST_NAME = 255
_SECRET_WORDS = ("password", "secret", "token", "passcode")


@dataclass(frozen=True, slots=True)
class Actor:
    """The user and the address that an entry names."""

    key: str = ""
    name: str = ""
    address: str = ""

    @classmethod
    def of(cls, user: Any, address: str = "") -> "Actor":
        """Return the actor for a user, who may be anonymous or None."""
        if user is None or not user.is_authenticated:
            return cls(address=address)
        return cls(key=str(user.pk), name=user.get_username(), address=address)


_request: ContextVar[HttpRequest | None] = ContextVar("outbox_audit_request", default=None)


@contextlib.contextmanager
def acting_as(request: HttpRequest) -> Iterator[None]:
    """Attribute what is recorded in this block to the user and the address of the request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def address_of(request: HttpRequest) -> str:
    """Return the IP address of the client, empty if it is unknown."""
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return client_address(peer, forwarded_for, get_conf().trusted_proxies)


def current_address() -> str:
    """Return the address of the request that is being served, empty without one."""
    request = _request.get()
    return address_of(request) if request is not None else ""


def record(
    action: AuditAction,
    *,
    actor: Any = None,
    target: models.Model | str | None = None,
    request: HttpRequest | None = None,
    using: str | None = None,
    **details: Any,
) -> AuditEntry:
    """Store one action and log it.

    `actor` is a user, by default that of the request. `target` is an object, or the name of
    something that has no row. Details are short and never secret: raise ValueError for a detail
    that is named like a secret.
    """
    acting = _actor(actor, request or _request.get())
    entry = AuditEntry(
        action=action,
        actor_key=acting.key[:64],
        actor_name=acting.name[:_LONGEST_NAME],
        address=acting.address or None,
        details=_bounded(details),
        **_described(target),
    )
    _log(entry)
    entry.save(using=using or get_conf().database)
    return entry


def _actor(user: Any, request: HttpRequest | None) -> Actor:
    if request is None:
        return Actor.of(user)
    return Actor.of(user or getattr(request, "user", None), address_of(request))


def _described(target: models.Model | str | None) -> dict[str, str]:
    if target is None:
        return {}
    if isinstance(target, str):
        return {"target_name": _clean(target)[:_LONGEST_NAME]}
    return {
        "target_kind": target._meta.label_lower[:64],
        "target_key": str(target.pk or "")[:64],
        "target_name": _clean(str(target))[:_LONGEST_NAME],
    }


def _bounded(details: Mapping[str, Any]) -> dict[str, Any]:
    for name in details:
        if any(word in name.lower() for word in _SECRET_WORDS):
            raise ValueError(f"The audit log stores no secrets, and {name!r} is named like one.")
    return {name: _short(value) for name, value in details.items()}


def _short(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_short(one) for one in list(value)[:_LONGEST]]
    return _clean(str(value))[:_LONGEST]


def _clean(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL stores none


def _log(entry: AuditEntry) -> None:
    """Log the entry as JSON in ASCII, in which a control character cannot occur."""
    facts = {
        "action": str(entry.action),
        "user": entry.actor_name,
        "user_key": entry.actor_key,
        "address": entry.address,
        "target": f"{entry.target_kind}:{entry.target_key}" if entry.target_kind else "",
        "target_name": entry.target_name,
        **{f"details.{name}": value for name, value in entry.details.items()},
    }
    given = {name: value for name, value in facts.items() if value not in ("", None)}
    logger.info("%s", json.dumps(given).replace("\x7f", "\\u007f"))
