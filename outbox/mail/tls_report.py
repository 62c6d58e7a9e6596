"""Reports on TLS to the owners of domains (RFC 8460): their JSON, their email, where they go.

Pure: the counts are given. A report is about one policy domain and one day in UTC.
"""

import datetime as dt
import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

_RECORD = re.compile(r"v=TLSRPTv1[ \t]*(?:;|$)")
_URIS_MAX = 10  # that are used of one record
_URI_MAX = 2_000  # characters
_DAY = dt.timedelta(days=1)
_SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Failure:
    """Sessions of one kind that failed."""

    result_type: str
    host: str  # the receiving server
    count: int


@dataclass(frozen=True, slots=True)
class PolicyCounts:
    """The sessions of one day under one kind of policy."""

    policy_type: str  # tlsa, sts or no-policy-found
    successes: int
    failures: tuple[Failure, ...] = ()
    policy_string: tuple[str, ...] = ()  # the lines of an MTA-STS policy
    mx: tuple[str, ...] = ()  # its patterns


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsReport:
    """What one report says."""

    domain: str  # the policy domain, in A-labels
    day: dt.date
    organization: str
    contact: str
    submitter: str  # the domain that sends the report
    policies: Sequence[PolicyCounts] = field(default=())

    @property
    def report_id(self) -> str:
        """The same for each composition, so that a receiver recognizes a repeated report."""
        return f"{self.day:%Y-%m-%d}_{self.domain}@{self.submitter}"

    @property
    def filename(self) -> str:
        """The name of the compressed file (RFC 8460 5.1)."""
        start = int(_start_of(self.day).timestamp())
        return f"{self.submitter}!{self.domain}!{start}!{start + 86_399}.json.gz"

    def as_json(self) -> dict[str, Any]:
        """Return the report (RFC 8460 4.4)."""
        start = _start_of(self.day)
        return {
            "organization-name": self.organization,
            "date-range": {
                "start-datetime": _stamp(start),
                "end-datetime": _stamp(start + _DAY - _SECOND),
            },
            "contact-info": self.contact,
            "report-id": self.report_id,
            "policies": [_policy(one, self.domain) for one in self.policies],
        }

    def compressed(self) -> bytes:
        """Return the JSON in gzip; the same bytes for the same report."""
        text = json.dumps(self.as_json(), ensure_ascii=False, indent=1)
        return gzip.compress(text.encode(), mtime=0)


def destinations(texts: Iterable[str]) -> list[str]:
    """Return the URIs of the TXT records of `_smtp._tls.DOMAIN`; none if no reports are wanted.

    With more than one record of TLS reporting there is none (RFC 8460 3).
    """
    records = [text for text in texts if _RECORD.match(text)]
    if len(records) != 1:
        return []
    for part in records[0].split(";")[1:]:
        name, _, value = part.strip(" \t").partition("=")
        if name.strip(" \t") == "rua":
            uris = [uri.strip() for uri in value.split(",")]
            return list(dict.fromkeys(filter(_is_usable, uris)))[:_URIS_MAX]
    return []


def address_of(uri: str) -> str | None:
    """Return the address of a mailto URI; None for another one."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "mailto":
        return None
    return unquote(parts.path)


def grouped(
    rows: Iterable[tuple[str, str, str, int]], policies: Mapping[str, Any]
) -> tuple[PolicyCounts, ...]:
    """Return the counts by policy type. A row has policy type, result type, server and count.

    `policies` has further fields of `PolicyCounts` by policy type.
    """
    successes: dict[str, int] = {}
    failures: dict[str, list[Failure]] = {}
    for policy_type, result, host, count in sorted(rows):
        successes.setdefault(policy_type, 0)
        if result:
            failures.setdefault(policy_type, []).append(Failure(result, host, count))
        else:
            successes[policy_type] += count
    return tuple(
        PolicyCounts(kind, good, tuple(failures.get(kind, ())), **policies.get(kind, {}))
        for kind, good in successes.items()
    )


def _policy(counts: PolicyCounts, domain: str) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": counts.policy_type}
    if counts.policy_string:
        policy["policy-string"] = list(counts.policy_string)
    policy["policy-domain"] = domain
    if counts.mx:
        policy["mx-host"] = list(counts.mx)
    found: dict[str, Any] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": counts.successes,
            "total-failure-session-count": sum(one.count for one in counts.failures),
        },
    }
    if counts.failures:
        found["failure-details"] = [
            {
                "result-type": one.result_type,
                "receiving-mx-hostname": one.host,
                "failed-session-count": one.count,
            }
            for one in counts.failures
        ]
    return found


def _is_usable(uri: str) -> bool:
    if len(uri) > _URI_MAX or not (uri.isascii() and uri.isprintable()):
        return False
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    if parts.scheme.lower() == "https":
        return bool(parts.hostname)
    return parts.scheme.lower() == "mailto" and "@" in parts.path


def _start_of(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def _stamp(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
