"""Direct delivery: limits of MX sites with their sources, replies that ask for less, and scale."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.http import HttpRequest

from outbox import api
from outbox.api.account_removal import remove_account
from outbox.api.destination_limits import sites_of
from outbox.db.clock import database_now
from outbox.delivery import old_sites, record, runner, runners
from outbox.delivery.context import DeliveryContext
from outbox.delivery.destination_reports import DestinationReports
from outbox.delivery.engine import Engine
from outbox.delivery.job import JobsReturned
from outbox.delivery.limited_claim import claim_within_limits
from outbox.delivery.limits import report_rule
from outbox.delivery.mx_router import remember_sites
from outbox.delivery.sweep import sweep
from outbox.models import (
    UNRESOLVED_KEY,
    Account,
    Destination,
    DomainSite,
    Message,
    Recipient,
    Slot,
    SmtpSession,
)
from outbox.models.destination_limits import limits_of
from outbox.net.shaping import Effect, ReplyRule
from outbox.net.sites import MxSite, Source
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Reply
from outbox.testing.faultlab import FaultLab
from outbox.web.accounts.blocked import blocked_by_account
from tests.integration.delivery.direct_lab import DirectLab, direct_account, direct_lab, site
from tests.integration.delivery.mail_client import (
    USING,
    Working,
    a_worker,
    account_at,
    deliver,
    end_lease,
    outgoing,
    queue,
    queue_many,
    row,
    states,
    until,
)
from tests.integration.delivery.outage import breakable_database
from tests.integration.delivery.test_rows_in_hand import in_context
from tests.integration.races import ONE_WRITER, committed_before

pytestmark = pytest.mark.django_db(transaction=True)
DAY = dt.timedelta(days=1)
SLOW = ReplyRule(pattern=r"\b4\.7\.28\b", effect=Effect.SLOW_DOWN, seconds=600, after=2)
STOP = ReplyRule(pattern=r"\[TSS04\]", effect=Effect.SUSPEND, seconds=600)


@pytest.fixture
def lab(settings: LazySettings) -> Iterator[DirectLab]:
    with direct_lab(settings) as started:
        yield started


def a_site(key: str = "mx.example.net", **account_fields: int) -> Destination:
    account = direct_account(**account_fields)
    return Destination.objects.create(account=account, key=f"mx:{key}", mx_hosts=key)


def test_the_stricter_of_account_and_shaping_counts() -> None:
    now = database_now(USING)

    limits = limits_of(a_site(), now)

    assert (limits.connections.value, limits.connections.source) == (5, Source.DEFAULT)
    assert limits.per_minute is not None
    assert (limits.per_minute.value, limits.per_minute.source) == (300, Source.DEFAULT)
    strict = limits_of(a_site("b.example", max_connections=2, per_minute=10), now)
    assert (strict.connections.value, strict.connections.source) == (2, Source.ACCOUNT)
    assert strict.per_minute is not None
    assert (strict.per_minute.value, strict.per_minute.source) == (10, Source.ACCOUNT)


def test_a_provider_and_the_sites_file_have_limits(settings: LazySettings, tmp_path: Path) -> None:
    file = tmp_path / "shaping.toml"
    file.write_text('["yahoodns.net"]\nconnections = 1\n["example.net"]\nmessages_per_minute = 7\n')
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(file)}
    now = database_now(USING)

    yahoo = limits_of(a_site(key="yahoodns.net"), now)
    other = limits_of(a_site(key="mx.example.net"), now)

    assert (yahoo.connections.value, yahoo.connections.source) == (1, Source.SETTING)
    assert (yahoo.per_connection.value, yahoo.per_connection.source) == (20, Source.PROVIDER)
    assert other.per_minute is not None
    assert (other.per_minute.value, other.per_minute.name) == (7, "example.net")


def test_the_limit_per_minute_is_one_of_the_site(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account(per_minute=3)

    queue_many(account, 5)
    deliver()

    assert len(server.ledger.accepted) == 3
    found = site(account, "mx.example.net")
    assert found.paused_reason.code == ReasonCode.LIMIT_PER_MINUTE
    assert states().count("queued") == 2


def test_a_connection_ends_after_the_messages_of_the_shaping(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    file = tmp_path / "shaping.toml"
    file.write_text('["example.net"]\nmessages_per_connection = 2\nconnections = 1\n')
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(file)}
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")

    queue_many(direct_account(), 4)
    deliver()

    assert len(server.ledger.accepted) == 4
    assert SmtpSession.objects.count() == 2


def test_a_reply_suspends_the_site(lab: DirectLab, settings: LazySettings, tmp_path: Path) -> None:
    file = tmp_path / "shaping.toml"
    file.write_text(
        '["example.net"]\nconnections = 1\n'
        '[["example.net".rules]]\npattern = "TSS04"\neffect = "suspend"\nseconds = 600\n'
    )
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(file)}
    server = lab.server("mx.example.net", "at mail: 421 4.7.0 [TSS04] later")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()

    first, second = queue_many(account, 2)
    deliver()
    deliver()

    assert sum(one.startswith("MAIL") for one in server.ledger.commands) == 1
    found = site(account, "mx.example.net")
    assert found.is_suspended(database_now(USING))
    assert found.limit_reason.code == ReasonCode.SITE_SUSPENDED
    assert states(first) == ["deferred"]
    assert states(second) == ["queued"]
    assert "[TSS04]" in api.explain(second).sentence


def test_a_reply_is_reported_once_while_the_database_is_unavailable(
    settings: LazySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each further report would wait for the database as well."""
    file = tmp_path / "shaping.toml"
    file.write_text(
        '[["example.net".rules]]\npattern = "TSS04"\neffect = "suspend"\nseconds = 600\n'
    )
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(file)}
    found = Destination.objects.select_related("account").get(pk=a_site().pk)
    replies = [Reply(421, "4.7.0", f"[TSS04] {number}") for number in range(3)]

    with breakable_database() as outage:

        async def report(context: DeliveryContext) -> bool:
            outage.begin()
            is_limited = await DestinationReports(context).report_replies(found, replies)
            outage.end()
            return is_limited

        assert not in_context(report)

    assert sum("A reply of" in one for one in caplog.messages) == 1


def test_a_server_below_the_least_tls_gets_nothing(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    file = tmp_path / "shaping.toml"
    file.write_text('["example.net"]\ntls_floor = "encrypted"\n')
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(file)}
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()

    message = queue(account)
    deliver()

    assert states(message) == ["deferred"]
    assert row(message).reason.code == ReasonCode.STARTTLS_NOT_OFFERED
    assert not server.ledger.accepted
    found = site(account, "mx.example.net")
    assert (found.circuit, found.circuit_faults) == ("closed", 1)
    assert not found.circuit_needs_person  # no person here can repair it


def test_several_replies_slow_a_site_down() -> None:
    found = a_site()

    assert not report_rule(found.pk, SLOW, "450 4.7.28 too fast", USING)
    found.refresh_from_db()
    assert not found.is_limited_by_reply(database_now(USING))
    assert report_rule(found.pk, SLOW, "450 4.7.28 too fast", USING)

    found.refresh_from_db()
    now = database_now(USING)
    limits = limits_of(found, now)
    assert limits.per_minute is not None
    assert (limits.per_minute.value, limits.per_minute.source) == (1, Source.REPLY)
    assert limits.connections.source is Source.REPLY
    assert limits_of(found, now + dt.timedelta(minutes=11)).connections.source is Source.DEFAULT
    assert report_rule(found.pk, STOP, "421 4.7.0 [TSS04]", USING)
    found.refresh_from_db()
    assert found.is_blocked(now)


def test_many_destinations_have_few_runners(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """150 domains with a message each, and a server for each of them."""
    number = 150
    server = lab.server("mx.example.net")
    lab.record(*(f"mx{n}.example.net A {server.host}" for n in range(number)))
    for n in range(number):
        lab._records.append(f"record d{n}.example 3600 MX 10 mx{n}.example.net")
    lab.record()
    monkeypatch.setattr(runners, "RUNNERS_MAX", 20)
    most = 0
    assign = runners.Runners.assign

    def counting(self: runners.Runners, due: list[Destination]) -> object:
        nonlocal most
        found = assign(self, due)
        most = max(most, len(self))
        return found

    monkeypatch.setattr(runners.Runners, "assign", counting)
    account = direct_account()
    api.queue_sources([outgoing(account, f"bob@d{n}.example") for n in range(number)])
    engine = Engine()

    engine.drain()

    assert states() == ["sent"] * number
    assert len(server.ledger.accepted) == number
    assert most <= 20 + 1  # and the one that looks domains up
    assert Destination.objects.exclude(key=UNRESOLVED_KEY).count() == number
    # Each delivery looks its domain up again, in the cache. Without it there would be twice as many
    # queries. A busy host repeats a query whose response it has not read in time.
    lookups = [one.name for one in lab.dns.queries if one.kind == "MX"]
    assert len(set(lookups)) == number
    assert len(lookups) < 1.5 * number


def test_the_sites_of_an_account_show_their_limits_and_sources(lab: DirectLab) -> None:
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account(per_minute=100)
    message = queue(account)
    worker = a_worker()
    assert "looked up" in api.explain(message).sentence
    end_lease(worker)
    deliver()

    [found] = sites_of(account)

    assert found.name == "mx.example.net"
    assert found.circuit == "closed"
    shown = {one.name: (one.value, one.source) for one in found.limits}
    assert shown["connections"] == (5, "default")
    assert shown["per_minute"] == (100, "account")
    assert row(message).state == "sent"


def shown_limits(found: Destination) -> dict[str, tuple[int | str, str]]:
    """Return the limits of a site as pages show them, each with where it comes from."""
    [shown] = sites_of(found.account)
    return {one.name: (one.value, one.words) for one in shown.limits}


def test_each_limit_in_force_is_shown_with_its_source(
    settings: LazySettings, tmp_path: Path
) -> None:
    file = tmp_path / "shaping.toml"
    file.write_text('["yahoodns.net"]\nconnections = 4\ntls_floor = "encrypted"\n')
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(file), "SESSION_MAX_MESSAGES": 50}
    found = a_site("yahoodns.net", per_minute=10, per_day=500)
    assert shown_limits(found) == {
        "connections": (4, "setting: yahoodns.net"),
        "per_connection": (20, "provider: Yahoo"),
        "per_minute": (10, "account"),
        "per_day": (500, "account"),
        "tls_floor": ("encrypted", "setting: yahoodns.net"),
    }

    given = {"SESSION_MAX_MESSAGES": 15, "MAX_CONNECTIONS_PER_ACCOUNT": 3}
    settings.OUTBOX = settings.OUTBOX | given
    limits = shown_limits(found)
    assert limits["connections"] == (3, "setting: MAX_CONNECTIONS_PER_ACCOUNT")
    assert limits["per_connection"] == (15, "setting: SESSION_MAX_MESSAGES")

    Account.objects.update(max_connections=2, per_minute=None, per_day=None)
    limits = shown_limits(found)
    assert limits["connections"] == (2, "account")
    assert limits["per_minute"][1] in {"default", "provider: Yahoo"}
    assert "per_day" not in limits

    for _ in range(2):
        report_rule(found.pk, SLOW, "450 4.7.28 too fast", USING)
    limits = shown_limits(found)
    assert limits["connections"] == limits["per_minute"] == (1, "reply of the server")


def test_a_domain_is_forgotten_after_long() -> None:
    found = a_site()
    for name, days in (("old.example", 91), ("new.example", 1)):
        seen_at = database_now(USING) - dt.timedelta(days=days)
        DomainSite.objects.create(
            account=found.account, domain=name, destination=found, seen_at=seen_at
        )

    sweep(USING)

    assert [one.domain for one in DomainSite.objects.all()] == ["new.example"]
    found.refresh_from_db()
    # A message that is being queued may still name the site, which is kept for a week.
    assert found.minute_started_at is not None
    assert found.minute_started_at > database_now(USING) - DAY


def test_a_forgotten_domain_does_not_begin_the_minute_of_its_site_again() -> None:
    """Its site would get the limit of one minute twice."""
    found = a_site()
    now = database_now(USING)
    Destination.objects.update(minute_started_at=now, minute_count=5)
    DomainSite.objects.create(
        account=found.account, domain="old.example", destination=found, seen_at=now - 91 * DAY
    )
    assert old_sites.delete_old(USING) == 1
    found.refresh_from_db()
    assert (found.minute_started_at, found.minute_count) == (now, 5)


def test_a_suspended_site_is_blocked_until_it_ends() -> None:
    found = a_site()
    assert report_rule(found.pk, STOP, "421 4.7.0 [TSS04]", USING)

    [blocked] = blocked_by_account([found.account])[found.account_id]
    [reported] = api.status().blocked_destinations

    assert blocked.reason.code == ReasonCode.SITE_SUSPENDED
    assert blocked.until is not None
    assert (reported.rule, reported.reason_code) == ("limit", ReasonCode.SITE_SUSPENDED)


def test_servers_of_accounts_do_not_wait_for_mx_sites(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six sites that do not respond occupy all runners, and were due first."""
    monkeypatch.setattr(runners, "RUNNERS_MAX", 2)
    slow = lab.server("mx.example.net", "at greeting: late 60")
    direct = direct_account()
    for n in range(6):
        lab.domain(f"d{n}.example", f"10 mx{n}.example.net")
        lab.record(f"mx{n}.example.net A {slow.host}")
        queue(direct, f"bob@d{n}.example")
    by_server = lab.server("smarthost.example.org")

    with Working() as working:
        slow.ledger.wait_for(lambda ledger: len(ledger.sessions) == 2)
        messages = [
            queue(account_at(by_server, host=by_server.host, name=f"server {n}")) for n in range(3)
        ]
        working.engine.wake()
        until(lambda: [states(one) for one in messages] == [["sent"]] * 3, "they were sent")
        assert len(slow.ledger.sessions) == 2
        slow.skip_delays()


def site_with_messages(
    lab: DirectLab, number: int, scenario: str = ""
) -> tuple[FaultLab, list[Message]]:
    """Return the server of an MX site, and messages that wait for it."""
    server = lab.server("mx.example.net", scenario)
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()
    return server, [queue(account) for _ in range(number)]


def test_a_few_messages_share_a_connection(lab: DirectLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PATIENCE", 60)
    server, messages = site_with_messages(lab, 6)
    deliver()
    assert [states(one) for one in messages] == [["sent"]] * 6
    assert len(server.ledger.sessions) == 1


def test_messages_do_not_wait_for_a_slow_session(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PATIENCE", 0.1)
    server, messages = site_with_messages(lab, 3, "at dot: late 60")
    with Working():
        server.ledger.wait_for(lambda ledger: len(ledger.sessions) == 3)
        server.skip_delays()
        until(lambda: [states(one) for one in messages] == [["sent"]] * 3, "they were sent")


def test_a_session_that_makes_progress_is_waited_for(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PATIENCE", 4.0)
    server, messages = site_with_messages(lab, 6, "at dot: late 0.8")
    deliver()
    assert [states(one) for one in messages] == [["sent"]] * 6
    assert len(server.ledger.sessions) == 1


def test_many_messages_open_several_connections(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PATIENCE", 60)
    server, messages = site_with_messages(lab, 30, "at dot: late 60")
    with Working():
        server.ledger.wait_for(lambda ledger: len(ledger.sessions) >= 2)
        server.skip_delays()
        until(lambda: [states(one) for one in messages] == [["sent"]] * 30, "they were sent")


def test_blocked_sites_are_not_read() -> None:
    account = direct_account()
    now = database_now(USING)
    blocked = [
        Destination(account=account, key=f"mx:{n}.example", circuit="open", circuit_until=now + DAY)
        for n in range(3)
    ]
    blocked += [
        Destination(
            account=account,
            key=f"mx:s{n}.example",
            limit_effect=Effect.SUSPEND,
            limit_until=now + DAY,
        )
        for n in range(3)
    ]
    Destination.objects.bulk_create(blocked)
    free = Destination.objects.create(account=account, key="mx:free.example")

    found = Destination.objects.exclude(Destination.surely_blocked_at(now))

    assert list(found) == [free]
    assert [one.pk for one in Destination.objects.all() if not one.is_blocked(now)] == [free.pk]
    account.route, account.host = "smarthost", "smtp.example.org"
    account.save()
    assert found.all().count() == 7
    assert not any(one.is_blocked(now) for one in Destination.objects.all())


def test_a_destination_of_the_former_delivery_is_only_moved_from(lab: DirectLab) -> None:
    """Its circuit, limits and name say nothing about the delivery that the account has now."""
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account(route="smarthost", host="127.0.0.1", port=lab.port, per_minute=50)
    messages = queue_many(account, 5)
    later = database_now(USING) + DAY
    Destination.objects.update(
        circuit="open",
        circuit_until=later,
        circuit_opened_at=later,
        circuit_needs_person=True,
        circuit_reason=Reason(ReasonCode.WORKER_STOPPED),
    )
    Account.objects.filter(pk=account.pk).update(route="direct", host="")

    assert "All messages for" not in api.explain(messages[0]).sentence
    assert not api.status().blocked_destinations
    assert not blocked_by_account([account])
    deliver()

    assert [states(one) for one in messages] == [["sent"]] * 5
    assert len(server.ledger.accepted) == 5
    former = Destination.objects.select_related("account").get(key="smarthost")
    assert former.minute_count == 0
    assert former.circuit == "open"  # as it was; it counts again with its kind of delivery
    assert str(former) == "the former SMTP server"
    assert site(account, "mx.example.net").minute_count == 5


def test_a_probe_that_needs_no_connection_is_followed_by_another(lab: DirectLab) -> None:
    """The lookups of some domains fail, and others have moved: this says nothing about the site."""
    server = lab.server("mx.example.net")
    other = lab.server("other.example.net")
    for name in ("broken.example", "moved.example", "good.example"):
        lab.domain(name, "10 mx.example.net")
    account = direct_account()
    queue(account, "a@broken.example", "b@moved.example", "c@good.example")
    deliver()
    found = site(account, "mx.example.net")
    lab.fail("at mx <broken.example>: servfail")
    lab.forget("moved.example", "MX")
    lab.domain("moved.example", "10 other.example.net")
    Destination.objects.filter(pk=found.pk).update(
        circuit="open", circuit_until=database_now(USING), circuit_faults=5, circuit_trips=1
    )

    messages = [
        queue(account, address)
        for address in ("a@broken.example", "b@moved.example", "c@good.example")
    ]
    deliver()

    assert [states(one) for one in messages] == [["deferred"], ["sent"], ["sent"]]
    found.refresh_from_db()
    assert found.circuit == "closed"
    assert found.minute_count == 3 + 1  # recipients without a connection are not counted
    assert (len(server.ledger.accepted), len(other.ledger.accepted)) == (4, 1)


def test_a_wrong_setting_of_direct_delivery_does_not_stop_other_accounts(
    lab: DirectLab, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    by_server = lab.server("smarthost.example.org")
    settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": ["dns.example.org"]}
    messages = [queue(direct_account()), queue(account_at(by_server, host=by_server.host))]

    deliver()

    assert [states(one) for one in messages] == [["queued"], ["sent"]]
    assert "dns.example.org" in caplog.text


def test_an_mx_site_without_use_is_deleted() -> None:
    account = direct_account()
    now = database_now(USING)
    old = now - 10 * DAY

    def create(name: str, **fields: Any) -> Destination:
        values = {"minute_started_at": old, **fields}
        return Destination.objects.create(account=account, key=f"mx:{name}", **values)

    create("dead", circuit="open", circuit_until=old)
    unused = create("unused")
    session = SmtpSession.objects.create(destination=unused, host="unused", started_at=old)
    kept = [
        create("new", minute_started_at=now),
        create("open", circuit="open"),
        create("suspended", limit_effect=Effect.SUSPEND, limit_until=now + DAY),
        create("counted", day_started_at=now),
    ]
    remembered, connected, paused, waiting, ended = map(
        create, ("remembered", "connected", "paused", "waiting", "ended")
    )
    DomainSite.objects.create(
        account=account, domain="a.example", destination=remembered, seen_at=now
    )
    worker = a_worker()
    Slot.objects.create(destination=connected, number=1, worker=worker)
    api.pause(paused, reason="They asked us to wait.")
    first, second = queue_many(account, 2)
    Recipient.objects.filter(message=first).update(destination=waiting)
    api.cancel(second)
    Recipient.objects.filter(message=second).update(destination=ended)

    sweep(USING)

    kept += [remembered, connected, paused, waiting, ended]
    found = Destination.objects.filter(key__startswith="mx:").order_by("pk")
    assert [one.key for one in found] == [one.key for one in kept]
    session.refresh_from_db()
    assert session.destination is None
    ended.refresh_from_db()
    assert ended.minute_started_at is not None
    assert ended.minute_started_at >= now  # asked about again after a week


def test_unused_sites_are_searched_for_without_a_lock() -> None:
    """The search scans all recipients. A site that is used in the meantime stays."""
    account = direct_account()
    now = database_now(USING)
    old = now - 10 * DAY
    used, unused = (
        Destination.objects.create(account=account, key=f"mx:{name}", minute_started_at=old)
        for name in ("used", "unused")
    )
    scans: list[bool] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT DISTINCT") and '"outbox_recipient"' in sql:
            scans.append(connection.in_atomic_block)
            Destination.objects.filter(pk=used.pk).update(minute_started_at=now)
        return result

    with connection.execute_wrapper(watch):
        assert old_sites.delete_unused(USING) == 1

    assert scans == [False]
    assert Destination.objects.filter(pk=used.pk).exists()
    assert not Destination.objects.filter(pk=unused.pk).exists()


def test_a_site_may_be_deleted_while_a_domain_is_remembered() -> None:
    found = a_site()
    deleted: list[int] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and '"outbox_domainsite"' in sql and not deleted:
            deleted.append(found.pk)
            Destination.objects.filter(pk=found.pk)._raw_delete(USING)
        return execute(sql, params, many, context)

    sites = {"example.net": MxSite("mx.example.net", ("mx.example.net",))}
    with connection.execute_wrapper(watch):
        ids = remember_sites(found.account_id, sites, USING)

    assert deleted  # and rolled back, which the sweep's own transaction would not be
    assert DomainSite.objects.get().destination_id == ids["example.net"]


def old_site_of(domain: str, key: str = "mx.example.net") -> Destination:
    """Create a quiet site to which a domain leads."""
    found = a_site(key)
    now = database_now(USING)
    Destination.objects.update(minute_started_at=now - 10 * DAY, minute_count=5)
    DomainSite.objects.create(
        account=found.account, domain=domain, destination=found, seen_at=now - 10 * DAY
    )
    return found


def move_domain(account: Account, domain: str, key: str) -> int:
    """Remember that a lookup led to another site; return its destination."""
    return remember_sites(account.pk, {domain: MxSite(key, (key,))}, USING)[domain]


def test_a_site_from_which_a_domain_has_just_moved_is_kept() -> None:
    """A message that is being queued may have read it before."""
    found = old_site_of("example.net")

    move_domain(found.account, "example.net", "new.example.net")

    assert old_sites.delete_unused(USING) == 0
    found.refresh_from_db()
    assert found.minute_count == 0  # of a minute that was over


def test_a_site_that_a_domain_leads_to_anew_is_kept() -> None:
    """Another worker that looks the domain up at the same time may lead it to a third site."""
    found = old_site_of("other.example")

    assert move_domain(found.account, "example.net", "mx.example.net") == found.pk

    DomainSite.objects.all().delete()
    assert old_sites.delete_unused(USING) == 0


@ONE_WRITER
@pytest.mark.every_database
def test_a_recipient_that_is_held_while_its_domain_moves_keeps_its_site() -> None:
    """It is committed after the sweep has searched for recipients, and no longer waits then."""
    found = old_site_of("example.net")
    account = found.account

    def move_and_delete() -> None:
        move_domain(account, "example.net", "new.example.net")
        old_sites.delete_unused(USING)

    with committed_before('UPDATE "outbox_recipient"', move_and_delete), transaction.atomic():
        message = queue(account)
        api.hold(message, why="Ask first")

    held = row(message)
    assert (held.state, held.destination_id) == ("held", found.pk)
    assert Destination.objects.filter(pk=found.pk).exists()


def test_a_wait_for_room_ends_when_other_runners_have_ended() -> None:
    """They are removed one after another, so that not enough of them are idle at once."""

    async def wait(context: DeliveryContext) -> None:
        await asyncio.wait_for(runners.Runners(context)._make_room(2), 30)

    in_context(wait)


@ONE_WRITER
@pytest.mark.every_database
def test_an_account_is_deleted_while_a_domain_is_remembered() -> None:
    """Its deletion has read the sites before the lookup creates another one."""
    account = a_site().account
    sites = {"example.net": MxSite("new.example.net", ("new.example.net",))}

    with committed_before(
        'DELETE FROM "outbox_destination"', lambda: remember_sites(account.pk, sites, USING)
    ):
        remove_account(account, request=HttpRequest())

    assert not Destination.objects.exists()
    assert remember_sites(account.pk, sites, USING) == {}


@ONE_WRITER
@pytest.mark.every_database
def test_a_recipient_that_is_moved_while_its_account_is_deleted_is_held() -> None:
    """No site is left to which it could be moved."""
    found = a_site()
    account = found.account
    message = queue(account)
    worker = a_worker()
    lookups = Destination.objects.get(account=account, key=UNRESOLVED_KEY)
    jobs = claim_within_limits(lookups, worker.pk, 10, 0, USING).jobs
    moved = JobsReturned(jobs=jobs, worker_id=worker.pk, moved_to=found.pk)

    with committed_before('DELETE FROM "outbox_destination"', lambda: record.write([moved], USING)):
        remove_account(account, request=HttpRequest())

    assert row(message).destination_id is None
    sweep(USING)
    assert row(message).state == "held"
