"""The checks of sender domains that workers and cron make: order, faults and limits."""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from outbox.api import domain_checks
from outbox.api.alarms import hosts
from outbox.db.clock import database_now
from outbox.models import DomainCheck, HostCheck
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


def test_the_next_sweep_checks_even_if_a_connection_cannot_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError

    monkeypatch.setattr(connections, "close_all", fail)
    assert domain_checks._running.acquire(blocking=False)
    with pytest.raises(OSError):  # noqa: PT011  # it has no text
        domain_checks._run("default")
    assert not domain_checks._running.locked()
