"""The DKIM keys of one engine, and the signer of a message.

The keys are read once by a worker, and again after a while, so that no message needs a query. A
private key is decrypted when it is used first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.mail.dkim import Signable, read_signatures, sender_domain
from outbox.mail.dkim_keys import load_private
from outbox.mail.mailbox import to_a_labels
from outbox.models import Account, KeyState, SigningKey
from outbox.models.secrets import SecretUnreadableError

if TYPE_CHECKING:
    from outbox.delivery.job import Job
    from outbox.mail.dkim_keys import PrivateKey
    from outbox.smtp import Sign

logger = logging.getLogger(__name__)
_READ_AGAIN_AFTER = 30.0  # seconds
Read = Callable[[Callable[[], Sequence[SigningKey]]], Awaitable[Sequence[SigningKey]]]


class SigningKeyUnreadableError(Exception):
    """None of the keys of a domain can be decrypted at present."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class _Named(NamedTuple):
    """A private key with the name of its DNS record."""

    domain: str
    selector: str
    key: PrivateKey


class SigningKeys:
    """The active keys by domain, and the names of those that may still be verified."""

    def __init__(self) -> None:
        self._by_domain: dict[str, list[SigningKey]] = {}
        self._published: frozenset[tuple[str, str]] = frozenset()  # domain and selector
        self._loaded: dict[str, PrivateKey] = {}  # by ciphertext
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    def __bool__(self) -> bool:
        """Return whether there is a key, so that a message may have to be signed."""
        return bool(self._published)

    async def refresh(self, read: Read, using: str) -> None:
        """Read the keys unless that was a short time ago. Raise DATABASE_UNAVAILABLE at first.

        Later, the keys that were read before stay in use while the database is unavailable.
        """
        if self._is_fresh():
            return
        async with self._reading:
            if self._is_fresh():
                return
            try:
                self._replace(await read(partial(_stored_keys, using)))
            except DATABASE_UNAVAILABLE:
                if self._read_at is None:
                    raise

    def _is_fresh(self) -> bool:
        return self._read_at is not None and time.monotonic() - self._read_at < _READ_AGAIN_AFTER

    def _replace(self, keys: Sequence[SigningKey]) -> None:
        by_domain = defaultdict(list)
        for key in keys:
            if key.state == KeyState.ACTIVE:
                by_domain[key.domain].append(key)
        stored = {key.private_encrypted for key in keys}
        self._loaded = {text: key for text, key in self._loaded.items() if text in stored}
        self._by_domain = dict(by_domain)
        self._published = frozenset((key.domain, key.selector) for key in keys)
        self._read_at = time.monotonic()

    def signer(self, job: Job, source: bytes, account: Account) -> Sign | None:
        """Return the function that signs a message in the form in which it is sent.

        None if it is not signed. Raise SigningKeyUnreadableError if no key can be decrypted.
        """
        if not self._published:
            return None
        keys: list[_Named] = []
        domain = sender_domain(source)
        if active := self._by_domain.get(domain):
            keys = self._load(active) if may_sign(account, domain) else []
        earlier = self._reusable(job.signature)
        return partial(_sign, keys, earlier) if keys or earlier else None

    def _load(self, stored: Sequence[SigningKey]) -> list[_Named]:
        """Return the keys that can be decrypted."""
        found = []
        for one in stored:
            try:
                key = self._loaded.get(one.private_encrypted) or load_private(one.private_pem)
            except (SecretUnreadableError, ImproperlyConfigured, ValueError):
                logger.error("The DKIM key %s cannot be decrypted.", one)  # noqa: TRY400  # no secrets
                continue
            self._loaded[one.private_encrypted] = key
            found.append(_Named(one.domain, one.selector, key))
        if not found:
            raise SigningKeyUnreadableError(str(stored[0]))
        return found

    def _reusable(self, signature: str) -> str:
        """Return earlier signatures if the record of each of them is still published."""
        names = {(one.domain, one.selector) for one in read_signatures(signature)}
        return signature if names <= self._published else ""


def may_sign(account: Account, domain: str) -> bool:
    """Return whether messages of an account are signed for a domain.

    Accounts of the site are. A user may enter any server, so accounts of users are signed only for
    the sender domains that staff set for that account. The setting SENDER_DOMAINS is not enough: it
    allows a domain to every user, and so each could get a valid signature of every address in it.
    """
    if account.owner_id is None:
        return True
    return domain in {_a_labels(one) for one in account.sender_domains.lower().split()}


def _a_labels(domain: str) -> str:
    try:
        return to_a_labels(domain).lower()
    except UnicodeError:
        return domain


def _stored_keys(using: str) -> list[SigningKey]:
    """Return the keys whose records are published, RSA first: every server verifies it."""
    keys = SigningKey.objects.using(using).exclude(state=KeyState.NEW)
    return list(keys.order_by("domain", "-algorithm", "selector"))


def _sign(keys: Sequence[_Named], earlier: str, form: bytes) -> bytes:
    """Return the earlier signatures if they fit this form of the message, or new ones."""
    signable = Signable(form)
    if earlier and all(one.body_hash == signable.body_hash for one in read_signatures(earlier)):
        return earlier.encode()
    return b"".join(signable.sign(*key) for key in keys)
