"""MTA-STS: a domain's own statement which servers receive for it, over verified TLS (RFC 8461).

The record in DNS only says that the policy changed. The policy is read over HTTPS, with a valid
certificate and no redirects. A policy that was read holds until it expires, whatever happens to DNS
and to the web server since: an attacker who blocks both must not remove it.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPException

from outbox.exceptions import OutboxError
from outbox.net.address import is_public
from outbox.net.http import cause_of_failure, request
from outbox.net.mx import is_host
from outbox.net.resolve import Resolve, matches_host
from outbox.reasons import Reason, ReasonCode

MAX_AGE = 31_557_600  # seconds: a year (RFC 8461 3.2)
REFRESH_AFTER = 86_400.0  # seconds (RFC 8461 3.3), so that an attacker has to block it for long
FETCH_PAUSE = 300.0  # seconds after a fetch (RFC 8461 3.3), whatever its id and max_age say
_SECONDS = 60.0  # of a fetch (RFC 8461 3.3 suggests one minute)
_BODY_MAX = 65_536  # bytes of a policy (RFC 8461 3.3 suggests 64 KB)
_MX_MAX = 500  # patterns
_RECORD = re.compile(r"v=STSv1[ \t]*(?:;|$)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_MAX_AGE = re.compile(r"[0-9]{1,10}")


class PolicyError(OutboxError):
    """A policy could not be read, or is invalid."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Mode(StrEnum):
    """What a sender has to do where a server does not fit the policy."""

    ENFORCE = "enforce"  # deliver nothing there
    TESTING = "testing"  # deliver, and note it
    NONE = "none"  # there is no policy any more


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy file."""

    mode: Mode
    mx: tuple[str, ...]  # patterns of the servers' names
    max_age: int  # seconds

    def allows(self, host: str) -> bool:
        """Return whether a server's name fits the policy."""
        return any(matches_host(pattern, host) for pattern in self.mx)


@dataclass(frozen=True, slots=True)
class KnownPolicy:
    """What is known about a domain's policy; to be stored until it expires."""

    id: str = ""  # of the record, when the policy was read
    policy: Policy | None = None
    read_at: float = 0.0
    failed_at: float | None = None  # the last fetch, if it failed

    def live_policy(self, now: float) -> Policy | None:
        """Return the policy, unless it has expired."""
        if self.policy is None or now >= self.read_at + self.policy.max_age:
            return None
        return self.policy

    def needs_fetch(self, record_id: str | None, now: float) -> bool:
        """Return whether the policy has to be read, by the id of the record; None without one.

        Without a record, a policy that is in force is still read once a day.
        """
        fetched_at = self.failed_at
        if fetched_at is None and self.policy is not None:
            fetched_at = self.read_at
        if fetched_at is not None and now < fetched_at + FETCH_PAUSE:
            return False
        if self.live_policy(now) is None:
            return record_id is not None
        if record_id is not None and record_id != self.id:
            return True
        return now >= self.read_at + REFRESH_AFTER

    def after(
        self, result: Policy | PolicyError, record_id: str | None, now: float
    ) -> "KnownPolicy":
        """Return what is known after a fetch. A failed one leaves the policy that is known."""
        if isinstance(result, PolicyError):
            return replace(self, failed_at=now)
        return KnownPolicy(self.id if record_id is None else record_id, result, now)

    def with_stored(self, stored: "KnownPolicy | None") -> "KnownPolicy":
        """Return the newer of this and what is stored. A later failure is kept."""
        if stored is None or (self.policy is not None and self.read_at >= stored.read_at):
            return self
        has_failed_since = self.failed_at is not None and self.failed_at > stored.read_at
        return replace(stored, failed_at=self.failed_at) if has_failed_since else stored


def parse_record(texts: Sequence[str]) -> str | None:
    """Return the id in the TXT records of `_mta-sts.DOMAIN`; None if there is no policy.

    With more than one record of MTA-STS there is none (RFC 8461 3.1).
    """
    records = [text for text in texts if _RECORD.match(text)]
    if len(records) != 1:
        return None
    for field in records[0].split(";")[1:]:
        name, _, value = field.strip(" \t").partition("=")
        if name == "id":
            return value if _ID.fullmatch(value) else None
    return None


def parse_policy(body: bytes) -> Policy:
    """Parse a policy file. Raise ValueError with the cause.

    Of a field that occurs twice the first one counts, and unknown fields are ignored
    (RFC 8461 3.2).
    """
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in body.decode("utf-8").replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a line has no colon")
        name, value = name.strip(" \t"), value.strip(" \t")
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            fields.setdefault(name, value)
    if fields.get("version") != "STSv1":
        raise ValueError("the version is not STSv1")
    try:
        mode = Mode(fields.get("mode", ""))
    except ValueError:
        raise ValueError("the mode is not enforce, testing or none") from None
    if not _MAX_AGE.fullmatch(fields.get("max_age", "")):
        raise ValueError("max_age is not a number")
    if not patterns and mode is not Mode.NONE:
        raise ValueError("it has no mx")
    if len(patterns) > _MX_MAX:
        raise ValueError(f"it has more than {_MX_MAX} mx")
    # More than a year is cut to it: what the domain wants is a policy that holds.
    return Policy(mode, tuple(patterns), min(int(fields["max_age"]), MAX_AGE))


def fetch_policy(
    domain: str,
    *,
    is_allowed: Callable[[str], bool] = is_public,
    resolve: Resolve | None = None,
    context: ssl.SSLContext | None = None,
    port: int = 443,
    seconds: float = _SECONDS,
) -> Policy:
    """Read the policy of a domain, given in A-labels, over HTTPS. Raise PolicyError.

    It blocks. The certificate has to be valid for the host; a redirect is an error
    (RFC 8461 3.3).
    """
    authority = f"mta-sts.{domain}" + (f":{port}" if port != 443 else "")  # noqa: PLR2004
    try:
        found = request(
            "GET",
            f"https://{authority}/.well-known/mta-sts.txt",
            seconds=seconds,
            is_allowed=is_allowed,
            resolve=resolve,
            body_max=_BODY_MAX + 1,
            context=context,
        )
    except (OSError, HTTPException, ValueError) as error:
        raise _unread(domain, cause_of_failure(error)) from error
    if found.status != HTTPStatus.OK:
        raise _unread(domain, f"HTTP {found.status}")
    if found.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/plain":
        raise _unread(domain, "not text/plain")
    if len(found.body) > _BODY_MAX:
        raise _unread(domain, f"more than {_BODY_MAX:,} bytes")
    try:
        return parse_policy(found.body)
    except ValueError as error:
        reason = Reason(ReasonCode.MTA_STS_INVALID, domain=domain, cause=str(error))
        raise PolicyError(reason) from error


def _pattern(text: str) -> str:
    """Return an mx pattern in lower case. Raise ValueError."""
    pattern = text.lower().removesuffix(".")
    if not is_host(pattern.removeprefix("*.")):
        raise ValueError("an mx is not a host name")
    return pattern


def _unread(domain: str, cause: str) -> PolicyError:
    return PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause=cause))
