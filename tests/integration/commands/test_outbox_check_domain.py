"""`outbox_check_domain` against a DNS server on loopback."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from outbox import api
from outbox.mail.dkim_keys import Algorithm
from outbox.models import SigningKey
from tests.dns_zones import BROKEN, Zone, dns_server

pytestmark = pytest.mark.django_db

DOMAIN, ADDRESS = "example.org", "192.0.2.1"
POINTER = "1.2.0.192.in-addr.arpa"
DMARC = "v=DMARC1; p=reject; rua=mailto:postmaster@example.org"
Report = Callable[[Zone], dict[str, list[tuple[str, str]]]]


def good_zone(*keys: SigningKey) -> Zone:
    """Return a zone in which nothing is wrong."""
    return {
        (DOMAIN, "TXT"): [f"v=spf1 ip4:{ADDRESS} -all", "another=text"],
        (DOMAIN, "MX"): ["10 mx.example.org."],
        ("mx.example.org", "A"): [ADDRESS],
        ("_dmarc.example.org", "TXT"): [DMARC],
        (POINTER, "PTR"): ["mx.example.org."],
        **{(key.record_name, "TXT"): [key.record_text] for key in keys},
    }


@pytest.fixture
def key() -> SigningKey:
    key = api.generate_signing_key(DOMAIN, Algorithm.RSA)
    api.activate_signing_key(key)
    return key


def run(settings: LazySettings, zone: Zone, *args: str) -> tuple[int, str]:
    """Return the exit status and what is printed."""
    out = StringIO()
    with dns_server(zone) as server:
        settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": [server]}
        try:
            call_command("outbox_check_domain", *(args or (DOMAIN,)), stdout=out)
        except SystemExit as end:
            return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def findings(settings: LazySettings, zone: Zone, *args: str) -> list[dict[str, Any]]:
    _, printed = run(settings, zone, *(args or (DOMAIN,)), "--json")
    found: list[dict[str, Any]] = json.loads(printed)["findings"]
    return found


def of(check: str, found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return level and text of each finding of a check."""
    return [(one["level"], one["text"]) for one in found if one["check"] == check]


def test_a_domain_in_order(settings: LazySettings, key: SigningKey) -> None:
    status, printed = run(settings, good_zone(key), DOMAIN, "--ip", ADDRESS)
    assert status == 0
    assert [line.split()[:2] for line in printed.splitlines()] == [
        ["OK", "SPF"],
        ["OK", "SPF"],
        ["OK", "DKIM"],
        ["OK", "DMARC"],
        ["OK", "MX"],
        ["OK", "PTR"],
    ]


def test_an_empty_domain_gets_the_records_to_publish(
    settings: LazySettings, key: SigningKey
) -> None:
    status, printed = run(settings, {}, DOMAIN, "--ip", ADDRESS)
    assert status == 2
    assert f'{DOMAIN}. IN TXT "v=spf1 ip4:{ADDRESS} ~all"' in printed
    assert f'{key.record_name}. IN TXT "v=DKIM1; k=rsa; p=' in printed
    assert f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@{DOMAIN}"' in printed
    assert f"{ADDRESS} has no name" in printed
    assert "neither an MX record nor an address" in printed


SPF = [
    pytest.param(["v=spf1 -all", "v=spf1 ~all"], "error", "There are 2 SPF records", id="two"),
    pytest.param(["v=spf1 +all"], "error", "allows every server", id="+all"),
    pytest.param(["v=spf1 ip4:192.0.2.1"], "warning", "End it with", id="no all"),
    pytest.param(["v=spf1 ?all"], "warning", "End it with", id="neutral"),
    pytest.param(["v=spf1 ptr -all"], "warning", "“ptr”", id="ptr"),
    pytest.param(["v=spf1 ip5:1 -all"], "error", "unknown mechanism: ip5:1", id="typing error"),
    pytest.param(["v=spf1 ip4:1.2.3 -all"], "error", "invalid address", id="bad address"),
    pytest.param(["v=spf1 ip6:192.0.2.1 -all"], "error", "invalid address", id="wrong family"),
    pytest.param(["v=spf1 include:none.example -all"], "error", "has no SPF record", id="dangling"),
    pytest.param(["v=spf1 include:example.org -all"], "error", "includes itself", id="loop"),
    pytest.param(["v=spf1 redirect=none.example"], "error", "has no SPF record", id="redirect"),
    pytest.param(
        ["v=spf1 a:no1.example a:no2.example a:no3.example -all"],
        "error",
        "3 names in the SPF record do not exist",
        id="void lookups",
    ),
    pytest.param(
        ["v=spf1 include:ten.example a:mx.example.org -all"],
        "error",
        "needs 12 DNS lookups",
        id="too many lookups",
    ),
]


@pytest.mark.parametrize(("texts", "level", "said"), SPF)
def test_what_is_wrong_with_spf(
    settings: LazySettings, texts: list[str], level: str, said: str
) -> None:
    ten = "v=spf1 " + " ".join(["a:mx.example.org"] * 10) + " -all"
    zone = good_zone() | {(DOMAIN, "TXT"): texts, ("ten.example", "TXT"): [ten]}
    found = of("SPF", findings(settings, zone))
    assert [one for one in found if one[0] == level and said in one[1]], found


@pytest.mark.parametrize(
    ("record", "allows"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", True),
        ("v=spf1 ip4:198.51.100.0/24 -all", False),
        ("v=spf1 a:mx.example.org -all", True),
        ("v=spf1 mx -all", True),
        ("v=spf1 mx/24 ~all", True),
        ("v=spf1 -ip4:192.0.2.1 mx -all", False),
        ("v=spf1 include:pass.example -all", True),
        ("v=spf1 include:fail.example -all", False),
        ("v=spf1 redirect=pass.example", True),
        ("v=spf1 ip6:2001:db8::/32 -all", False),
        ("v=spf1 exists:mx.example.org -all", True),
    ],
)
def test_whether_spf_allows_an_address(settings: LazySettings, record: str, allows: bool) -> None:
    zone = good_zone() | {
        (DOMAIN, "TXT"): [record],
        ("pass.example", "TXT"): [f"v=spf1 ip4:{ADDRESS} -all"],
        ("fail.example", "TXT"): ["v=spf1 -all"],
    }
    found = of("SPF", findings(settings, zone, DOMAIN, "--ip", ADDRESS))
    said = [text for _, text in found if ADDRESS in text and "record is valid" not in text]
    assert len(said) == 1, found
    assert ("does not allow" not in said[0]) is allows


DKIM = [
    pytest.param([], "error", "is not published.", id="missing"),
    pytest.param(["{text}", "v=DKIM1; p=x"], "error", "several TXT records", id="two"),
    pytest.param(["v=DKIM1; k=rsa; p="], "error", "revokes the key", id="revoked"),
    pytest.param(["v=DKIM1; k=rsa; p=MIIB"], "error", "has another key", id="another key"),
    pytest.param(["v=DKIM2; k=rsa; p=MIIB"], "error", "is not a DKIM record", id="no DKIM"),
    pytest.param(["{text}; h=sha1"], "error", "does not allow SHA-256", id="hash"),
    pytest.param(["{text}; s=tlsrpt"], "error", "does not allow the key for email", id="service"),
    pytest.param(["{text}; t=y"], "warning", "marked as a test", id="test"),
    pytest.param(["{text}"], "ok", "messages are signed with this key", id="published"),
]


@pytest.mark.parametrize(("texts", "level", "said"), DKIM)
def test_what_is_wrong_with_the_record_of_an_active_key(
    settings: LazySettings, key: SigningKey, texts: list[str], level: str, said: str
) -> None:
    filled = [one.format(text=key.record_text) for one in texts]
    zone = good_zone() | {(key.record_name, "TXT"): filled}
    found = of("DKIM", findings(settings, zone))
    assert [one for one in found if one[0] == level and said in one[1]], found


@pytest.mark.parametrize(
    ("is_published", "state", "said"),
    [
        (False, "new", "Publish it, then activate the key"),
        (True, "new", "Activate the key"),
        (False, "retired", "not published any more"),
        (True, "retired", "is still published"),
    ],
)
def test_the_record_of_a_key_that_does_not_sign(
    settings: LazySettings, key: SigningKey, is_published: bool, state: str, said: str
) -> None:
    SigningKey.objects.update(state=state)
    zone = good_zone(key) if is_published else good_zone()
    found = of("DKIM", findings(settings, zone))
    assert said in found[0][1]
    assert "No DKIM key" in found[1][1]


DMARCS: list[Any] = [
    pytest.param("a.example.org", {}, "ok", "policy of example.org is “reject”", id="inherited"),
    pytest.param(
        "a.example.org",
        {"example.org": DMARC + "; sp=quarantine"},
        "ok",
        "“quarantine”",
        id="subdomain policy",
    ),
    pytest.param(
        "a.b.example.org", {"b.example.org": "v=DMARC1; p=none; psd=n; rua=mailto:x@a.example"},
        "ok", "policy of b.example.org is “none”", id="psd=n ends the walk",
    ),
    pytest.param(
        "a.b.example.org", {"b.example.org": "v=DMARC1; p=quarantine; rua=mailto:x@a.example"},
        "ok", "policy of example.org is “reject”", id="the highest record applies",
    ),
    pytest.param(
        "giant.bank.example", {"bank.example": "v=DMARC1; p=quarantine; psd=y; rua=mailto:x@a.b"},
        "ok", "policy of bank.example is “quarantine”", id="policy of a public suffix",
    ),
    pytest.param(
        "a.b.c.d.e.f.g.h.i.j.k.example.org", {}, "ok", "policy of example.org", id="a long name"
    ),
    pytest.param(DOMAIN, {DOMAIN: DMARC + "; pct=50"}, "warning", "“pct”", id="pct"),
    pytest.param(DOMAIN, {DOMAIN: DMARC + "; t=y"}, "ok", "in test mode", id="test mode"),
    pytest.param(DOMAIN, {DOMAIN: "v=DMARC1; p=deny"}, "error", "p=deny", id="invalid value"),
    pytest.param(DOMAIN, {DOMAIN: "v=DMARC1; p=none"}, "warning", "no reports", id="no reports"),
    pytest.param(DOMAIN, {DOMAIN: "p=none; v=DMARC1"}, "error", "No DMARC policy", id="order"),
    pytest.param(DOMAIN, {DOMAIN: "v=DMARC1"}, "warning", "no policy", id="no policy"),
]  # fmt: skip


@pytest.mark.parametrize(("domain", "records", "level", "said"), DMARCS)
def test_the_dmarc_policy_that_applies(
    settings: LazySettings, domain: str, records: dict[str, str], level: str, said: str
) -> None:
    zone = good_zone() | {(f"_dmarc.{name}", "TXT"): [text] for name, text in records.items()}
    found = of("DMARC", findings(settings, zone, domain))
    assert [one for one in found if one[0] == level and said in one[1]], found


def test_several_dmarc_records_count_as_none(settings: LazySettings) -> None:
    zone = good_zone() | {("_dmarc.example.org", "TXT"): [DMARC, "v=DMARC1; p=none"]}
    assert of("DMARC", findings(settings, zone))[0][0] == "error"


MXS = [
    pytest.param({(DOMAIN, "MX"): ["0 ."]}, "error", "null MX", id="null MX"),
    pytest.param({(DOMAIN, "MX"): []}, "error", "neither an MX", id="nothing"),
    pytest.param(
        {(DOMAIN, "MX"): [], (DOMAIN, "A"): [ADDRESS]}, "warning", "has no MX", id="only an address"
    ),
    pytest.param({("mx.example.org", "A"): []}, "error", "has no address", id="no address"),
    pytest.param({(DOMAIN, "MX"): ["10 192.0.2.9."]}, "error", "instead of a host", id="address"),
    pytest.param(
        {("mx.example.org", "CNAME"): ["a.example."]}, "warning", "is a CNAME", id="alias"
    ),
]


@pytest.mark.parametrize(("changes", "level", "said"), MXS)
def test_what_is_wrong_with_mx(
    settings: LazySettings, changes: Zone, level: str, said: str
) -> None:
    found = of("MX", findings(settings, good_zone() | changes))
    assert [one for one in found if one[0] == level and said in one[1]], found


def test_a_name_that_does_not_lead_back_is_reported(settings: LazySettings) -> None:
    zone = good_zone() | {(POINTER, "PTR"): ["other.example."], ("other.example", "A"): ["1.2.3.4"]}
    found = findings(settings, zone, DOMAIN, "--ip", ADDRESS)
    [(level, text)] = of("PTR", found)
    assert (level, "does not lead back" in text) == ("error", True)
    [publish] = [one["publish"] for one in found if one["check"] == "PTR"]
    assert publish == {"name": "other.example", "type": "A", "text": ADDRESS}


def test_a_dns_server_that_fails_is_not_a_missing_record(
    settings: LazySettings, key: SigningKey
) -> None:
    zone = good_zone(key) | {("_dmarc.example.org", "TXT"): BROKEN}
    status, printed = run(settings, zone, DOMAIN)
    assert status == 3
    assert "UNKNOWN DMARC" in printed
    assert "OK      MX" in printed


@pytest.mark.parametrize("args", [["nothing"], ["example.org", "--ip", "localhost"]])
def test_a_mistake_is_explained(settings: LazySettings, args: list[str]) -> None:
    with pytest.raises(CommandError):
        run(settings, {}, *args)


def test_a_wrong_dns_server_is_explained(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": ["ns.example.org"]}
    with pytest.raises(CommandError, match=r"ns\.example\.org"):
        call_command("outbox_check_domain", DOMAIN)
