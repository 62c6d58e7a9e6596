"""Which domains share a site, and the limits of a site with their sources."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.net.mx import Exchanger, Exchangers
from outbox.net.providers import PROVIDERS, by_exchanger, by_mx_site
from outbox.net.shaping import Effect, ShapingError, TlsFloor, parse_overrides
from outbox.net.sites import KEY_MAX, Limit, MxSite, Source, shaping_of, site_of


def site(*hosts: str) -> MxSite:
    return site_of(Exchangers("x.test", tuple(Exchanger(host, 10) for host in hosts)))


GOOGLE = site("aspmx.l.google.com")


@pytest.mark.parametrize(
    ("hosts", "key"),
    [
        (["aspmx.l.google.com", "alt1.aspmx.l.google.com"], "google.com"),
        (["gmail-smtp-in.l.google.com"], "google.com"),
        (["alt1.aspmx.l.google.com", "aspmx2.googlemail.com"], "google.com"),
        (["smtp.google.com"], "google.com"),
        (["x-test.a-v1.mx.microsoft"], "mail.protection.outlook.com"),
        (["mx01.mail.icloud.com", "mx02.mail.icloud.com"], "mail.icloud.com"),
        (["x-test.mail.protection.outlook.com"], "mail.protection.outlook.com"),
        (["hotmail-com.olc.protection.outlook.com"], "olc.protection.outlook.com"),
        (["mta5.am0.yahoodns.net", "mx-aol.mail.gm0.yahoodns.net"], "yahoodns.net"),
        (["b.test", "a.test"], "a.test,b.test"),
        pytest.param(["notgoogle.com"], "notgoogle.com", id="no label of the suffix"),
        pytest.param(
            ["aspmx.l.google.com", "own.test"], "aspmx.l.google.com,own.test", id="one of its own"
        ),
    ],
)
def test_the_servers_of_a_provider_are_one_site(hosts: list[str], key: str) -> None:
    assert site(*hosts).key == key


@pytest.mark.parametrize(
    "host",
    [
        "www.google.com",
        "www3.l.google.com",
        "www.googlemail.com",
        "google.com",
        "mail.protection.outlook.com",
        "mx.microsoft",
        "yahoodns.net",
        "smtp.mail.global.gm0.yahoodns.net",
        "mail.icloud.com",
        "messagingengine.com",
        "smtp.messagingengine.com",
    ],
)
def test_a_web_server_of_a_provider_is_a_site_of_its_own(host: str) -> None:
    """Any domain can name it, and its faults must not stop the messages for the provider."""
    found = site(host)
    assert found.provider is None
    assert found.hosts == (host,)
    assert by_mx_site(found.key) is None


@given(st.lists(st.from_regex(r"[a-z]{1,60}\.test", fullmatch=True), min_size=1, max_size=12))
def test_a_key_depends_on_the_set_of_hosts_only(hosts: list[str]) -> None:
    shuffled = [*hosts, hosts[0]]
    random.shuffle(shuffled)
    assert site(*hosts).key == site(*shuffled).key
    assert len(site(*hosts).key) <= KEY_MAX
    assert site(*hosts).key != site(*hosts, "another.example").key


def test_a_server_that_cannot_be_used_at_present_does_not_change_the_site() -> None:
    whole = site("a.test", "b.test")
    exchangers = Exchangers("x.test", (Exchanger("b.test", 10),), named=("a.test", "b.test"))
    assert site_of(exchangers) == whole


def test_mx_hosts_of_its_own_domains_say_nothing_about_a_customers_account() -> None:
    """AOL's domains have MX hosts of Yahoo, and an account there needs AOL's server."""
    assert by_exchanger("mx-aol.mail.gm0.yahoodns.net") is None
    assert by_exchanger("aspmx.l.google.com") is not None


def test_each_limit_has_its_source() -> None:
    limits = shaping_of(GOOGLE, parse_overrides({"google.com": {"connections": 2}}))
    assert limits.connections == Limit(2, Source.SETTING, "google.com")
    assert limits.messages_per_connection == Limit(50, Source.PROVIDER, "Google Workspace")
    assert limits.messages_per_minute.source is Source.DEFAULT
    assert limits.needs_tls
    assert not shaping_of(site("a.test")).needs_tls


def test_yahoo_gets_twenty_messages_per_connection() -> None:
    limits = shaping_of(site("mta5.am0.yahoodns.net"))
    assert limits.messages_per_connection == Limit(20, Source.PROVIDER, "Yahoo")


def test_the_longest_override_counts_and_must_cover_every_host() -> None:
    overrides = parse_overrides(
        {"Test.": {"connections": 1}, "mx.test": {"connections": 3}, "a.test": {"connections": 9}}
    )
    assert shaping_of(site("1.mx.test", "2.mx.test"), overrides).connections.value == 3
    assert shaping_of(site("a.test", "b.test"), overrides).connections.value == 1
    many = site(*(f"server-{number:03}.mx.test" for number in range(50)))
    assert "#" in many.key
    assert shaping_of(many, overrides).connections.value == 3
    assert shaping_of(site("a.test", "b.other"), overrides).connections.source is Source.DEFAULT


@pytest.mark.parametrize(
    ("host", "reply", "effect"),
    [
        (
            "hotmail-com.olc.protection.outlook.com",
            "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited",
            Effect.SUSPEND,
        ),
        (
            "hotmail-com.olc.protection.outlook.com",
            "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of",
            Effect.SLOW_DOWN,
        ),
        (
            "mta5.am0.yahoodns.net",
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred",
            Effect.SUSPEND,
        ),
        ("aspmx.l.google.com", "421-4.7.28 Gmail has detected an unusual rate", Effect.SLOW_DOWN),
        ("a.test", "450 4.7.1 Rate limit exceeded", Effect.SLOW_DOWN),
        ("a.test", "421-4.7.0 See below\n421 4.7.0 Too many connections", Effect.SLOW_DOWN),
        ("a.test", "550 5.7.1 Too many messages of this kind are spam", None),
        ("a.test", "550 5.7.1 Limit of 450: too many messages", None),
        ("a.test", "550 5.1.1 No such user", None),
        ("aspmx.l.google.com", "450 4.2.1 The user is receiving mail too quickly", None),
    ],
)
def test_a_reply_about_the_sender_affects_the_site(
    host: str, reply: str, effect: Effect | None
) -> None:
    rule = shaping_of(site(host)).rule_for(reply)
    assert (rule.effect if rule else None) is effect


def test_the_rules_of_an_override_come_first() -> None:
    rule = {"pattern": "4\\.7\\.28", "effect": "suspend", "seconds": 60, "after": 5}
    limits = shaping_of(GOOGLE, parse_overrides({"google.com": {"rules": [rule]}}))
    found = limits.rule_for("421 4.7.28 x")
    assert found is not None
    assert (found.effect, found.seconds, found.after) == (Effect.SUSPEND, 60, 5)


@pytest.mark.parametrize(
    "setting",
    [
        [],
        {"": {}},
        {"a.test": 3},
        {"a.test": {"connection": 3}},
        {"a.test": {"connections": 0}},
        {"a.test": {"connections": True}},
        {"a.test": {"tls_floor": "strong"}},
        {"a.test": {"rules": "no"}},
        {"a.test": {"rules": ["no"]}},
        {"a.test": {"rules": [{"pattern": "(", "effect": "suspend", "seconds": 1}]}},
        {"a.test": {"rules": [{"pattern": "a", "effect": "ignore", "seconds": 1}]}},
        {"a.test": {"rules": [{"pattern": "a", "effect": "suspend", "seconds": 0}]}},
    ],
)
def test_an_invalid_override_is_an_error(setting: object) -> None:
    with pytest.raises(ShapingError):
        parse_overrides(setting)


def test_a_tls_floor_can_be_raised_and_lowered() -> None:
    for floor in TlsFloor:
        overrides = parse_overrides({"google.com": {"tls_floor": str(floor)}})
        assert shaping_of(GOOGLE, overrides).tls_floor.value is floor


def test_every_rule_of_the_table_is_found_at_its_site() -> None:
    for provider in PROVIDERS:
        for pattern in provider.exchangers + provider.own_exchangers:
            host = f"x{pattern}" if pattern.startswith(".") else pattern.replace("*", "1")
            assert site(host) == MxSite(provider.mx_site, (provider.mx_site,), provider)
            rules = shaping_of(site(host)).rules
            assert not provider.shaping or set(provider.shaping.rules) <= set(rules)
