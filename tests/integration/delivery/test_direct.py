"""Direct delivery: from a queued message to the servers that DNS names for its recipients."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connections, transaction

from outbox import api, smtp
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery import lookup_runner, mx_opener
from outbox.delivery.mx_router import move_waiting
from outbox.delivery.server import mx_server_for
from outbox.delivery.tls_policy import HostPolicy, policy_for
from outbox.models import (
    MX_PREFIX,
    UNRESOLVED_KEY,
    Account,
    Attempt,
    Circuit,
    Destination,
    DomainSite,
    Recipient,
    SmtpSession,
    State,
)
from outbox.net import dns_resolver
from outbox.net.mx import Exchanger
from outbox.reasons import ReasonCode
from tests.integration.delivery.direct_lab import DirectLab, direct_account, direct_lab, site
from tests.integration.delivery.mail_client import (
    USING,
    Working,
    account_at,
    all_in,
    deliver,
    is_sqlite,
    last_attempt,
    outgoing,
    queue,
    refusing,
    row,
    states,
    until,
)
from tests.states import set_state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(settings: LazySettings) -> Iterator[DirectLab]:
    with direct_lab(settings) as started:
        yield started


def unresolved(account: Account) -> Destination:
    """Return the destination of domains that were not looked up yet."""
    return Destination.objects.get(account=account, key=UNRESOLVED_KEY)


def test_a_message_reaches_the_server_of_its_recipients_domain(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()

    message = queue(account)
    assert row(message).destination == unresolved(account)
    deliver()

    assert states(message) == ["sent"]
    assert row(message).destination == site(account, "mx.example.net")
    [accepted] = server.ledger.accepted
    assert accepted.recipients == ["bob@example.net"]
    session = SmtpSession.objects.get()
    assert (session.host, session.port) == ("mx.example.net", lab.port)
    assert session.tls_requested == "opportunistic"
    assert session.tls_achieved == "none"
    assert Attempt.objects.count() == 1  # the lookup left none


def test_the_next_message_for_a_known_domain_needs_no_move(lab: DirectLab) -> None:
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()
    queue(account)
    deliver()

    message = queue(account, "carol@EXAMPLE.net", "dave@new.example")

    known, new = message.recipients.order_by("pk")
    assert known.destination == site(account, "mx.example.net")
    assert new.destination == unresolved(account)


def test_one_lookup_moves_all_that_waits_for_a_domain(
    lab: DirectLab, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CLAIM_SIZE": 1}
    monkeypatch.setattr(lookup_runner, "_DOMAINS_MAX", 1)
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()
    queue(account)
    deliver()
    newest = Attempt.objects.latest("pk").pk
    DomainSite.objects.all().delete()

    messages = [queue(account) for _ in range(5)]
    deliver()

    assert [states(message) for message in messages] == [["sent"]] * 5
    # One attempt for the lookup, and one for each message. The others were moved unclaimed.
    assert Attempt.objects.latest("pk").pk == newest + 6


def test_only_waiting_recipients_of_the_domains_are_moved() -> None:
    account = direct_account()
    after = Destination.objects.create(account=account, key=f"{MX_PREFIX}mx.example.net")
    queued, deferred, sending, held, sent, other = (
        row(queue(account, address), address)
        for address in ("a@example.net", "b@EXAMPLE.net", "c@example.net", "d@example.net",
                        "e@example.net", "f@other.example")
    )  # fmt: skip
    for recipient, state in ((deferred, State.DEFERRED), (sending, State.SENDING)):
        set_state(Recipient.objects.filter(pk=recipient.pk), state)
    for recipient, state in ((held, State.HELD), (sent, State.SENT)):
        set_state(Recipient.objects.filter(pk=recipient.pk), state, next_attempt_at=None)

    before = unresolved(account)
    assert move_waiting(before.pk, {"example.net": after.pk}, USING) == 2

    found = dict(Recipient.objects.values_list("pk", "destination"))
    moved = [pk for pk, destination in found.items() if destination == after.pk]
    assert sorted(moved) == sorted([queued.pk, deferred.pk])
    assert {found[one.pk] for one in (sending, held, sent, other)} == {before.pk}


def test_recipients_that_another_process_has_locked_are_not_waited_for() -> None:
    if is_sqlite():
        pytest.skip("SQLite has one writer at a time")
    account = direct_account()
    first, second = (row(queue(account)) for _ in range(2))
    before = unresolved(account)
    after = Destination.objects.create(account=account, key=f"{MX_PREFIX}mx.example.net")

    with ThreadPoolExecutor(1) as thread, transaction.atomic():
        list(Recipient.objects.select_for_update().filter(pk=first.pk))
        moving = thread.submit(move_waiting, before.pk, {"example.net": after.pk}, USING)
        assert moving.result(timeout=60) == 1
        thread.submit(connections.close_all).result()

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.destination, second.destination) == (before, after)


def test_two_domains_of_one_site_share_its_queue_and_a_session(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")
    for name in ("one.example", "two.example"):
        lab.domain(name, "10 mx.example.net")
    account = direct_account(max_connections=1)

    message = queue(account, "a@one.example", "b@two.example", "c@one.example")
    deliver()

    assert states(message) == ["sent"] * 3
    recipients = sorted(one.recipients for one in server.ledger.accepted)
    assert recipients == [["a@one.example", "c@one.example"], ["b@two.example"]]
    assert SmtpSession.objects.count() == 1
    assert set(message.recipients.values_list("destination", flat=True)) == {
        site(account, "mx.example.net").pk
    }


def test_a_session_does_not_serve_a_domain_with_other_servers(lab: DirectLab) -> None:
    """Two customers of a provider share its site, and have servers of their own."""
    first = lab.server("one.mail.protection.outlook.com", "offer STARTTLS\n")
    second = lab.server("two.mail.protection.outlook.com", "offer STARTTLS\n")
    lab.domain("one.example", "10 one.mail.protection.outlook.com")
    lab.domain("two.example", "10 two.mail.protection.outlook.com")
    account = direct_account(max_connections=1)

    messages = [
        queue(account, address)
        for address in ("a@one.example", "b@two.example", "c@one.example", "d@two.example")
    ]
    deliver()

    assert [states(one) for one in messages] == [["sent"]] * 4
    assert sorted(one.recipients for one in first.ledger.accepted) == [
        ["a@one.example"],
        ["c@one.example"],
    ]
    assert len(second.ledger.accepted) == 2
    assert SmtpSession.objects.count() == 2  # jobs that the open session serves come first
    assert Destination.objects.exclude(key=UNRESOLVED_KEY).count() == 1


def test_the_preferred_host_is_tried_first(lab: DirectLab) -> None:
    second, first = lab.server("b.example.net"), lab.server("a.example.net")
    lab.domain("example.net", "20 b.example.net", "10 a.example.net")

    message = queue(direct_account())
    deliver()

    assert states(message) == ["sent"]
    assert len(first.ledger.accepted) == 1
    assert not second.ledger.accepted


@pytest.mark.parametrize(
    "scenario",
    [
        "at connect: refuse",
        "at greeting: 421 4.3.2 busy",
        "at greeting: 554 5.3.2 no service",
        "at ehlo: 421 4.3.2 busy",
    ],
)
def test_a_host_that_accepts_no_session_leads_to_the_next_one(
    lab: DirectLab, scenario: str
) -> None:
    lab.server("a.example.net", scenario)
    second = lab.server("b.example.net")
    lab.domain("example.net", "10 a.example.net", "20 b.example.net")
    account = direct_account()

    message = queue(account)
    deliver()

    assert states(message) == ["sent"]
    assert len(second.ledger.accepted) == 1
    session = last_attempt(message).session
    assert session is not None
    assert session.host == "b.example.net"
    assert len(session.failed_addresses) == 1
    assert any("a.example.net" in line[2] for line in session.opening_lines)
    found = site(account, "a.example.net,b.example.net")
    assert (found.circuit, found.circuit_faults) == (Circuit.CLOSED, 0)


def test_a_fault_of_all_hosts_is_one_of_the_destination(lab: DirectLab) -> None:
    lab.server("a.example.net", "at connect: refuse")
    lab.server("b.example.net", "at greeting: 554 5.3.2 no service")
    lab.domain("example.net", "10 a.example.net", "20 b.example.net")
    account = direct_account()

    message = queue(account)
    deliver()

    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 0)
    assert recipient.reply_code == 554
    found = site(account, "a.example.net,b.example.net")
    assert (found.circuit, found.circuit_faults) == (Circuit.CLOSED, 1)


@pytest.mark.parametrize(
    ("records", "address", "code"),
    [
        (("null.example MX 0 .",), "bob@null.example", ReasonCode.MX_NULL),
        ((), "bob@unknown.example", ReasonCode.DOMAIN_UNKNOWN),
        (("own.example MX 10 client.example.org",), "bob@own.example", ReasonCode.MX_LOOP),
        (("gone.example MX 10 no.example.net",), "bob@gone.example", ReasonCode.MX_UNUSABLE),
    ],
)
def test_a_domain_without_a_server_fails_its_recipients(
    lab: DirectLab, records: tuple[str, ...], address: str, code: ReasonCode
) -> None:
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    lab.record(*records)
    account = direct_account()

    message = queue(account, address, "carol@example.net")
    deliver()

    assert states(message) == ["failed", "sent"]
    recipient = row(message, address)
    assert recipient.reason.code == code
    assert unresolved(account).circuit_faults == 0
    assert "5." in str(recipient.reason)


def test_a_failed_lookup_defers_and_is_repeated(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    lab.fail("at mx <broken.example>: servfail")
    account = direct_account()

    message = queue(account, "bob@broken.example", "carol@example.net")
    deliver()

    recipient = row(message, "bob@broken.example")
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 1)
    assert recipient.reason.code == ReasonCode.DNS_FAILED
    assert len(server.ledger.accepted) == 1
    assert unresolved(account).circuit_faults == 0


def test_an_address_literal_is_its_own_server(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")

    message = queue(direct_account(), f"bob@[{server.host}]")
    deliver()

    assert states(message) == ["sent"]
    assert len(server.ledger.accepted) == 1


@pytest.mark.parametrize("address", ["bob@example.net", "bob@[127.0.0.2]"])
def test_private_addresses_are_refused_unless_allowed(settings: LazySettings, address: str) -> None:
    with direct_lab(settings, ALLOW_PRIVATE_HOSTS=False) as lab:
        server = lab.server("mx.example.net")
        lab.domain("example.net", "10 mx.example.net")

        message = queue(direct_account(), address)
        deliver()

        assert states(message) == ["failed"]
        assert row(message, address).reason.code == ReasonCode.MX_FORBIDDEN
        assert not server.ledger.accepted

        trusted = queue(direct_account(name="trusted", is_trusted=True), address)
        deliver()

        assert states(trusted) == ["failed"]
        assert row(trusted, address).reason.code == ReasonCode.MX_FORBIDDEN
        assert not server.ledger.accepted


def test_the_connection_checks_the_address_again(settings: LazySettings) -> None:
    """Each lookup may return another address."""
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    host = Exchanger("mx.example.net", addresses=("127.0.0.1", "192.0.43.10"))
    server = mx_server_for(HostPolicy(exchanger=host, security=smtp.Security.NONE), get_conf())
    assert [server.allow_address(one) for one in server.addresses] == [False, True]


def test_greylisting_of_one_recipient_delays_no_other(lab: DirectLab) -> None:
    server = lab.server("mx.example.net", "at rcpt <bob@*>: 451 4.7.1 greylisted, try again")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()

    message = queue(account, "bob@example.net", "carol@example.net")
    other = queue(account, "dave@example.net")
    deliver()

    assert states(message) == ["deferred", "sent"]
    assert states(other) == ["sent"]
    assert row(message).attempts == 1
    assert len(server.ledger.accepted) == 2
    assert site(account, "mx.example.net").circuit == Circuit.CLOSED


def test_a_rejection_of_the_sender_is_not_about_a_login(lab: DirectLab) -> None:
    lab.server("mx.example.net", "at mail: 530 5.7.0 authentication required")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()

    message = queue(account)
    deliver()

    assert states(message) == ["failed"]
    assert site(account, "mx.example.net").circuit == Circuit.CLOSED


def test_a_domain_whose_servers_change_moves_its_recipients(lab: DirectLab) -> None:
    old = lab.server("old.example.net")
    new = lab.server("new.example.net")
    lab.record("example.net 0 MX 10 old.example.net")
    account = direct_account()
    queue(account)
    deliver()

    lab.forget("example.net", "MX")
    lab.record("example.net 0 MX 10 new.example.net")
    message = queue(account)
    assert row(message).destination == site(account, "old.example.net")
    deliver()

    assert states(message) == ["sent"]
    assert row(message).destination == site(account, "new.example.net")
    assert (len(old.ledger.accepted), len(new.ledger.accepted)) == (1, 1)
    assert row(message).attempts == 1
    remembered = DomainSite.objects.get(account=account, domain="example.net")
    assert remembered.destination == site(account, "new.example.net")


def test_messages_follow_the_account_to_another_kind_of_delivery(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account(route="smarthost", host="127.0.0.1", port=lab.port)
    message = queue(account)

    Account.objects.filter(pk=account.pk).update(route="direct")
    deliver()

    assert states(message) == ["sent"]
    assert len(server.ledger.accepted) == 1

    smarthost = lab.server("smarthost.example.org")
    waiting = queue(account)
    direct = Recipient.objects.get(message=waiting)
    Recipient.objects.filter(pk=direct.pk).update(destination=site(account, "mx.example.net"))
    Account.objects.filter(pk=account.pk).update(
        route="smarthost", host=smarthost.host, port=smarthost.port, security="none"
    )
    deliver()

    assert states(waiting) == ["sent"]
    assert len(smarthost.ledger.accepted) == 1


def test_both_kinds_of_accounts_are_queued_at_once(lab: DirectLab) -> None:
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    by_server = lab.server("smarthost.example.org")
    accounts = [direct_account(), account_at(by_server, host=by_server.host)]

    api.queue_sources([outgoing(accounts[number % 2]) for number in range(4)])
    deliver()

    assert states() == ["sent"] * 4
    assert (len(server.ledger.accepted), len(by_server.ledger.accepted)) == (2, 2)


@pytest.mark.parametrize("is_default", [False, True])
def test_a_former_server_of_the_account_is_not_used(lab: DirectLab, *, is_default: bool) -> None:
    """One unknown domain fails only its own recipients, and later messages are queued directly."""
    server = lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account(
        route="smarthost", host="127.0.0.1", port=lab.port, is_app_default=is_default
    )
    message = queue(account, "bob@unknown.example", "carol@example.net")
    Account.objects.filter(pk=account.pk).update(route="direct", host="")
    account.refresh_from_db()

    later = queue(None if is_default else account, "dave@new.example")
    deliver()

    assert states(message) == ["failed", "sent"]
    assert len(server.ledger.accepted) == 1
    assert row(later, "dave@new.example").destination == unresolved(account)


def test_a_domain_that_changes_with_each_lookup_is_deferred(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is moved once within some minutes, and gets no further destination."""
    monkeypatch.setattr(dns_resolver, "_SIZE_MAX", 0)  # nothing is kept, as of a large record set
    monkeypatch.setattr(mx_opener, "_KNOWN_FOR", 0)
    lab.server("a.example.net")
    lab.server("b.example.net")
    lab.domain("example.net", "10 a.example.net")
    account = direct_account()

    with Working():
        first = queue(account)
        until(all_in(State.SENT, [first]), "it was sent")
        lab.forget("example.net", "MX")
        lab.domain("example.net", "10 b.example.net")
        second = queue(account)
        until(all_in(State.DEFERRED, [second]), "it was deferred")

    assert row(second).reason.code == ReasonCode.MX_CHANGES
    assert row(second).attempts == 1
    assert row(second).destination == site(account, "a.example.net")
    assert not Destination.objects.filter(key="mx:b.example.net").exists()
    assert site(account, "a.example.net").circuit_faults == 0


def test_the_policy_of_a_domain_is_not_decided_for_each_message(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    monkeypatch.setattr(mx_opener, "_KNOWN_FOR", 60)
    decided: list[str] = []

    async def counted(domain: str, *args: Any, **options: Any) -> Any:
        decided.append(domain)
        return await policy_for(domain, *args, **options)

    monkeypatch.setattr(mx_opener, "policy_for", counted)
    account = direct_account()
    messages = [queue(account) for _ in range(5)]
    deliver()
    assert [states(message) for message in messages] == [["sent"]] * 5
    assert decided == ["example.net"]


def test_a_defect_in_a_lookup_opens_no_circuit(
    lab: DirectLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()

    async def defective(*_: object, **__: object) -> None:
        raise RuntimeError("an unexpected record")

    monkeypatch.setattr(mx_opener, "policy_for", defective)
    messages = [queue(account) for _ in range(3)]
    deliver()

    assert [states(message) for message in messages] == [["deferred"]] * 3
    assert "an unexpected record" in caplog.text
    assert not Destination.objects.filter(circuit_faults__gt=0).exists()


def test_an_error_while_sites_are_stored_returns_the_recipients(
    lab: DirectLab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    account = direct_account()
    message = queue(account)
    DomainSite.objects.create(
        account=account,
        domain="example.net",
        destination=unresolved(account),
        seen_at=database_now(USING),
    )

    with Working() as working:
        with refusing("outbox_domainsite", "NEW.domain = 'example.net'"):
            until(lambda: "could not be stored" in caplog.text, "the row was refused")
        working.engine.wake()
        until(all_in(State.SENT, [message]), "it was sent")
