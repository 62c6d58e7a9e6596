"""The DNS fault lab, asked by dnspython."""

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from outbox.testing.dns_lab import DnsLab
from outbox.testing.pytest_plugin import StartDnsLab

ZONE = """
    record example.org MX 10 mx.example.org
    record example.org SOA ns.example.org admin.example.org 1 2 3 4 30
    record www.example.org CNAME example.net
    record example.net A 127.0.0.2
    authenticated example.org
"""


def ask(
    lab: DnsLab, name: str, kind: str, *, tcp: bool = False, timeout: float = 10.0
) -> dns.message.Message:
    query = dns.message.make_query(f"{name}.", kind, flags=dns.flags.RD | dns.flags.AD)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, lab.host, timeout=timeout, port=lab.port)


@pytest.mark.parametrize("tcp", [False, True])
def test_it_serves_its_records(dns_lab: StartDnsLab, tcp: bool) -> None:
    lab = dns_lab(ZONE)
    found = ask(lab, "example.org", "MX", tcp=tcp)
    assert [str(rrset) for rrset in found.answer] == ["example.org. 60 IN MX 10 mx.example.org."]
    assert found.flags & dns.flags.AD
    assert [query.transport for query in lab.queries] == ["tcp" if tcp else "udp"]


def test_it_follows_aliases(dns_lab: StartDnsLab) -> None:
    found = ask(dns_lab(ZONE), "www.example.org", "A")
    assert [str(rrset) for rrset in found.answer] == [
        "www.example.org. 60 IN CNAME example.net.",
        "example.net. 60 IN A 127.0.0.2",
    ]
    assert not found.flags & dns.flags.AD  # the target is not validated


@pytest.mark.parametrize(
    ("name", "code"),
    [("none.example.org", dns.rcode.NXDOMAIN), ("example.org", dns.rcode.NOERROR)],
)
def test_a_negative_response_has_the_soa_record(
    dns_lab: StartDnsLab, name: str, code: dns.rcode.Rcode
) -> None:
    found = ask(dns_lab(ZONE), name, "A")
    assert found.rcode() == code
    assert not found.answer
    assert [rrset.rdtype.name for rrset in found.authority] == ["SOA"]


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("nxdomain", dns.rcode.NXDOMAIN),
        ("nodata", dns.rcode.NOERROR),
        ("servfail", dns.rcode.SERVFAIL),
        ("refused", dns.rcode.REFUSED),
        ("lame", dns.rcode.NOERROR),
        ("late 0.1 servfail", dns.rcode.SERVFAIL),
    ],
)
def test_it_fails_as_a_rule_says(dns_lab: StartDnsLab, action: str, code: dns.rcode.Rcode) -> None:
    lab = dns_lab(f"{ZONE}\nat mx <example.org>: {action}")
    found = ask(lab, "example.org", "MX")
    assert found.rcode() == code
    assert not found.answer


def test_it_keeps_silent(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(f"{ZONE}\nat mx 1: no-reply")
    with pytest.raises(dns.exception.Timeout):
        ask(lab, "example.org", "MX", timeout=0.2)
    assert ask(lab, "example.org", "MX").answer


def test_it_truncates_over_udp_only(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(f"{ZONE}\nat mx: truncate")
    assert ask(lab, "example.org", "MX").flags & dns.flags.TC
    assert ask(lab, "example.org", "MX", tcp=True).answer


def test_another_scenario_counts_from_one_again(dns_lab: StartDnsLab) -> None:
    lab = dns_lab("at mx 1: servfail")
    assert ask(lab, "a.test", "MX").rcode() == dns.rcode.SERVFAIL
    lab.play("at mx 1: refused")
    assert ask(lab, "a.test", "MX").rcode() == dns.rcode.REFUSED
