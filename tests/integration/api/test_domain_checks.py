"""The checks of sender domains that workers and cron make: order, faults and limits."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.api import domain_checks
from outbox.api.alarms import hosts
from outbox.api.alarms.check import check
from outbox.api.sender_domain import sends_for
from outbox.db.clock import database_now
from outbox.models import Account, AlarmKind, DomainCheck, HostCheck
from tests.dns_zones import Zone, dns_server

pytestmark = pytest.mark.django_db
DOMAIN = "example.org"


@pytest.fixture
def zone(settings: LazySettings) -> Iterator[Zone]:
    """Serve a zone that has nothing but an address."""
    zone: Zone = {(DOMAIN, "A"): ["192.0.2.1"]}
    with dns_server(zone) as server:
        settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": [server]}
        yield zone


def store(domain: str, *, due: int = -60, requested: int | None = None) -> DomainCheck:
    """Store a check that is due, and was requested, this many seconds from now."""
    now = database_now("default")
    return DomainCheck.objects.create(
        domain=domain,
        due_at=now + dt.timedelta(seconds=due),
        requested_at=None if requested is None else now + dt.timedelta(seconds=requested),
    )


def checked() -> list[str]:
    """Return the domains that were checked, the first one first."""
    rows = DomainCheck.objects.filter(checked_at__isnull=False).order_by("checked_at")
    return list(rows.values_list("pk", flat=True))


def test_a_fault_delays_one_domain_and_not_the_others(
    zone: Zone, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    """The key of a stored domain cannot be a domain any more."""
    store("not a domain", due=-120)
    store(DOMAIN)
    assert domain_checks.check_due("default") == 2
    assert checked() == [DOMAIN]
    assert "The sender domain not a domain could not be checked. This is repeated." in caplog.text
    due_at = DomainCheck.objects.get(pk="not a domain").due_at
    assert due_at is not None
    assert 0 < (due_at - database_now("default")).total_seconds() <= 600


def test_no_check_begins_after_the_time_limit(zone: Zone) -> None:
    store(DOMAIN)
    assert domain_checks.check_due("default", 0) == 0
    assert DomainCheck.objects.get().due_at is not None
    assert domain_checks.check_due("default", 60) == 1


@pytest.mark.django_db(transaction=True)
def test_alarms_do_not_wait_for_the_dns(zone: Zone, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALARM_INTERVAL": 60}
    store(DOMAIN)
    hosts.reset()
    call_command("outbox_deliver", "--until-empty")
    alarms, domain = HostCheck.objects.get().checked_at, DomainCheck.objects.get().checked_at
    assert alarms is not None
    assert domain is not None
    assert alarms <= domain


def test_a_request_precedes_the_hourly_checks(zone: Zone) -> None:
    for number in range(30):
        store(f"hourly{number}.example.org", due=-3600)
    store("second.example.org", due=-1, requested=-1)
    store("first.example.org", due=-2, requested=-2)
    domain_checks.check_due("default")
    assert checked()[:2] == ["first.example.org", "second.example.org"]
    assert len(checked()) == 32


def test_a_claim_reads_few_of_the_domains_that_are_due(zone: Zone) -> None:
    store(DOMAIN)
    with CaptureQueriesContext(connection) as queries:
        domain_checks.check_due("default")
    reading = [one["sql"] for one in queries if "ORDER BY" in one["sql"]]
    assert any("outbox_domaincheck" in sql and "LIMIT 20" in sql for sql in reading)


def test_users_do_not_alarm_staff_with_a_domain_of_their_own(
    zone: Zone, settings: LazySettings
) -> None:
    for record in ("v=spf1 -all", "v=spf1 +all"):
        zone[(DOMAIN, "TXT")] = [record]
        check_again(DOMAIN)
    assert alarms() == []
    settings.OUTBOX = settings.OUTBOX | {"SENDER_DOMAINS": [DOMAIN]}
    for record in ("v=spf1 -all", "v=spf1 +all"):
        zone[(DOMAIN, "TXT")] = [record]
        check_again(DOMAIN)
    assert len(alarms()) == 1


def test_what_is_wrong_with_the_site_is_one_alarm(zone: Zone, settings: LazySettings) -> None:
    domains = [DOMAIN, "two.example"]
    settings.OUTBOX = settings.OUTBOX | {
        "SENDER_DOMAINS": domains,
        "SENDING_ADDRESSES": ["192.0.2.1"],
        "BLOCKLISTS": ["list.example"],
    }
    for listed in ([], ["127.0.0.2"]):
        zone[("1.2.0.192.list.example", "A")] = listed
        check_again(*domains)
    [sentence] = alarms()
    assert sentence.startswith("The check “Blocklists” of this site has a new error.")


def check_again(*domains: str) -> None:
    DomainCheck.objects.filter(domain__in=domains).update(due_at=database_now("default"))
    for domain in set(domains) - set(DomainCheck.objects.values_list("pk", flat=True)):
        store(domain)
    assert domain_checks.check_due("default") == len(domains)


def alarms() -> list[str]:
    return [one.sentence for one in check().alarms if one.alarm.kind == AlarmKind.SENDER_DOMAIN]


def test_only_accounts_of_the_domain_are_read() -> None:
    addresses = [
        "a@bücher.example",
        "b@xn--bcher-kva.example",
        "c@example.org",
        "d@sub.example.org",
    ]
    for address in addresses:
        Account.objects.create(name=address, from_address=address, host="smtp.example.org")

    def senders_of(domain: str) -> list[str]:
        rows = Account.objects.filter(sends_for(domain)).order_by("from_address")
        return list(rows.values_list("from_address", flat=True))

    assert senders_of("xn--bcher-kva.example") == addresses[:2]
    assert senders_of("example.org") == ["c@example.org"]


def test_results_of_old_requests_are_deleted_without_hourly_checks(django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("anna")
    now = database_now("default")
    for domain, days in (("old.example", 31), ("new.example", 29)):
        checked_at = now - dt.timedelta(days=days)
        DomainCheck.objects.create(domain=domain, checked_at=checked_at)
    domain_checks.request_check(user, DOMAIN)
    kept = DomainCheck.objects.order_by("pk").values_list("pk", flat=True)
    assert list(kept) == [DOMAIN, "new.example"]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks no row")
def test_requests_of_one_user_wait_for_each_other(django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("anna")
    with CaptureQueriesContext(connection) as queries:
        domain_checks.request_check(user, DOMAIN)
    first = next(one["sql"] for one in queries if "SELECT" in one["sql"])
    assert "FOR NO KEY UPDATE" in first
