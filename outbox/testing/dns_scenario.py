r"""Scenarios of the DNS fault lab: records, and where the server fails.

    record example.org MX 10 mx.example.org      NAME [TTL] KIND DATA, as in a zone file
    record mx.example.org 60 A 127.0.0.2
    record example.org SOA ns.example.org a.example.org 1 2 3 4 30
    authenticated example.org                    the AD bit for this name and those below
    at mx <example.org>: servfail
    at a 1-2 <*.example.org>: late 2 nxdomain
    at any over udp: truncate

All names are absolute. Without a rule the server responds with the records, or NXDOMAIN for a name
that neither has records nor is above one that has. The first rule that applies counts. The number
in a rule counts the queries for one name and kind.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from outbox.testing.scenario import ALWAYS, ScenarioError, Span

Records = list[dns.rdata.Rdata]

_TTL = 60  # seconds, unless the record has its own
_RULE = re.compile(
    r"at (?P<kind>[a-z0-9]+)(?: (?P<index>[\d+-]+))?(?: <(?P<name>[^>]*)>)?"
    r"(?: over (?P<transport>udp|tcp))?: *(?P<action>.+)"
)
_RECORD = re.compile(
    r"record (?P<name>\S+) (?:(?P<ttl>\d{1,10}) )?(?P<kind>[A-Z0-9]+) (?P<data>.+)"
)
_LATE = re.compile(r"late (\d{1,6}(?:\.\d{1,6})?)(?: (.+))?")


class DnsFault(StrEnum):
    """How the server responds."""

    NXDOMAIN = "nxdomain"  # the name does not exist
    NODATA = "nodata"  # the name exists without such records
    SERVFAIL = "servfail"  # the server failed, or the signatures of the zone are wrong
    REFUSED = "refused"
    NO_REPLY = "no-reply"
    TRUNCATE = "truncate"  # over UDP; the client has to ask over TCP
    LAME = "lame"  # the server is not responsible for the zone and refers upwards
    GARBAGE = "garbage"  # bytes that are not a DNS message


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsRule:
    """When the server fails; without a fault it is only late."""

    kind: str  # "MX", or "ANY"
    fault: DnsFault | None
    wait: float = 0.0
    index: Span = ALWAYS
    name: str = ""  # with * and ?; "" for any
    transport: str = ""


@dataclass(frozen=True, slots=True)
class DnsScenario:
    """Records by name and kind, with their TTL, and rules."""

    records: dict[tuple[str, str], tuple[int, Records]] = field(default_factory=dict)
    authenticated: tuple[str, ...] = ()
    rules: tuple[DnsRule, ...] = ()

    def rule_at(self, kind: str, name: str, index: int, transport: str) -> DnsRule | None:
        """Return the first rule that applies; None for a correct response."""
        for rule in self.rules:
            if (
                rule.kind in {kind, "ANY"}
                and index in rule.index
                and rule.transport in {transport, ""}
                and fnmatchcase(name, rule.name or "*")
            ):
                return rule
        return None

    def exists(self, name: str) -> bool:
        """Return whether a name has records, or is above one that has."""
        return any(_is_within(one, name) for one, _ in self.records)

    def authority_of(self, name: str) -> tuple[str, int, Records] | None:
        """Return zone, TTL and SOA record for a negative response (RFC 2308)."""
        while name:
            if found := self.records.get((name, "SOA")):
                return name, *found
            name = name.partition(".")[2]
        return None

    def is_authenticated(self, name: str) -> bool:
        """Return whether the resolver validated the records of a name."""
        return any(_is_within(name, zone) for zone in self.authenticated)


def parse_dns_scenario(text: str) -> DnsScenario:
    """Parse a scenario. Raises ScenarioError with the number of the invalid line."""
    records: dict[tuple[str, str], tuple[int, Records]] = {}
    authenticated: list[str] = []
    rules: list[DnsRule] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("record "):
                _read_record(line, records)
            elif line.startswith("authenticated "):
                authenticated.append(_plain(line.partition(" ")[2]))
            else:
                rules.append(_read_rule(line))
        except ScenarioError as error:
            raise ScenarioError(f"scenario, line {number}: {error}") from error
    return DnsScenario(records, tuple(authenticated), tuple(rules))


def _read_record(line: str, records: dict[tuple[str, str], tuple[int, Records]]) -> None:
    found = _RECORD.fullmatch(line)
    if found is None:
        raise ScenarioError(f"“{line}” is not “record NAME [TTL] KIND DATA”")
    try:
        record = dns.rdata.from_text(
            dns.rdataclass.IN, found["kind"], found["data"], dns.name.root, relativize=False
        )
    except (dns.exception.DNSException, dns.rdatatype.UnknownRdatatype, ValueError) as error:
        raise ScenarioError(f"“{line}” is not a valid record: {error}") from error
    key = _plain(found["name"]), found["kind"]
    ttl, others = records.get(key, (int(found["ttl"] or _TTL), []))
    records[key] = ttl, [*others, record]


def _read_rule(line: str) -> DnsRule:
    found = _RULE.fullmatch(line)
    if found is None:
        raise ScenarioError(f"“{line}” is not a valid rule or record")
    kind = found["kind"].upper()
    if kind not in dns.rdatatype.RdataType.__members__:
        raise ScenarioError(f"there is no kind of record “{found['kind']}”")
    wait, action = 0.0, found["action"]
    if late := _LATE.fullmatch(action):
        wait, action = float(late[1]), late[2] or ""
    try:
        fault = DnsFault(action) if action or not late else None
    except ValueError:
        raise ScenarioError(f"“{action}” is not late SECONDS or {', '.join(DnsFault)}") from None
    return DnsRule(
        kind=kind,
        fault=fault,
        wait=wait,
        index=Span.parse(found["index"]) if found["index"] else ALWAYS,
        name=_plain(found["name"] or ""),
        transport=found["transport"] or "",
    )


def _plain(name: str) -> str:
    return name.strip().rstrip(".").lower()


def _is_within(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")
