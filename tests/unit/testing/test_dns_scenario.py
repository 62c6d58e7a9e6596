"""The language of the DNS fault lab."""

import pytest

from outbox.testing.dns_scenario import DnsFault, parse_dns_scenario
from outbox.testing.scenario import ScenarioError


def test_records_have_a_ttl_and_absolute_names() -> None:
    scenario = parse_dns_scenario(
        """
        # a comment
        record Example.org. 300 MX 10 mx.example.org
        record example.org MX 20 mx2.example.org.
        record example.org TXT "v=spf1 -all"
        """
    )
    ttl, records = scenario.records["example.org", "MX"]
    assert ttl == 300
    assert [str(one) for one in records] == ["10 mx.example.org.", "20 mx2.example.org."]
    assert scenario.exists("org")
    assert not scenario.exists("ample.org")


def test_the_first_rule_that_applies_counts() -> None:
    scenario = parse_dns_scenario(
        "at mx 2-3 <*.example.org>: late 1.5 servfail\nat any over tcp: no-reply\nat a: late 2"
    )
    found = scenario.rule_at("MX", "a.example.org", 2, "udp")
    assert found is not None
    assert (found.fault, found.wait) == (DnsFault.SERVFAIL, 1.5)
    assert scenario.rule_at("MX", "a.example.org", 4, "udp") is None
    assert scenario.rule_at("MX", "example.org", 2, "udp") is None
    over_tcp = scenario.rule_at("TXT", "x", 1, "tcp")
    assert over_tcp is not None
    assert over_tcp.fault is DnsFault.NO_REPLY
    late = scenario.rule_at("A", "x", 1, "udp")
    assert late is not None
    assert (late.fault, late.wait) == (None, 2.0)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("record example.org", "is not “record NAME"),
        ("record example.org MX ten mx", "is not a valid record"),
        ("record example.org NOSUCH 1", "is not a valid record"),
        ("at mx: explode", "is not late SECONDS or nxdomain"),
        ("at mx: late", "is not late SECONDS or nxdomain"),
        ("at nosuch: servfail", "there is no kind of record"),
        ("at mx 0: servfail", "is not a number or range"),
        ("servfail", "is not a valid rule or record"),
    ],
)
def test_an_invalid_line_is_named(line: str, error: str) -> None:
    with pytest.raises(ScenarioError, match="line 2") as caught:
        parse_dns_scenario(f"\n{line}")
    assert error in str(caught.value)
