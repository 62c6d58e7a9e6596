"""The page “Sender domain”, the checks that it shows, and the alarm of a record that broke."""

import datetime as dt
import socket
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from outbox import api
from outbox.api import domain_checks
from outbox.api.alarms.check import check
from outbox.api.domain_checks import check_due
from outbox.db.clock import database_now
from outbox.models import Account, AlarmKind, DomainCheck, LastRun
from tests.dns_zones import BROKEN, Zone, dns_server
from tests.integration.web.conftest import signed_in, staff_member

DOMAIN, ADDRESS = "example.org", "192.0.2.1"
SPF = (DOMAIN, "TXT")


@pytest.fixture
def zone(settings: LazySettings) -> Iterator[Zone]:
    """Serve a zone in which nothing is wrong. A test changes it."""
    zone: Zone = {
        SPF: [f"v=spf1 ip4:{ADDRESS} -all"],
        (DOMAIN, "MX"): ["10 mx.example.org."],
        ("mx.example.org", "A"): [ADDRESS],
        ("_dmarc.example.org", "TXT"): ["v=DMARC1; p=reject; rua=mailto:a@example.org"],
        ("1.2.0.192.in-addr.arpa", "PTR"): ["mx.example.org."],
    }
    with dns_server(zone) as server:
        settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": [server], "ALARM_CLEAR_AFTER": 0}
        yield zone


@pytest.fixture
def sender(account: Account) -> Account:
    account.from_address = f"anna@{DOMAIN}"
    account.save()
    return account


def page_of(account: Account) -> str:
    return f"/accounts/{account.pk}/domain/"


def request_again(client: Client, account: Account) -> str:
    """Request a check as if the last one was some time ago, make it, and return the page."""
    DomainCheck.objects.update(checked_at=None)
    client.post(f"{page_of(account)}check/")
    assert check_due("default") == 1
    return client.get(page_of(account)).content.decode()


def test_the_page_shows_the_stored_result_with_the_record_to_publish(
    as_anna: Client, sender: Account, zone: Zone
) -> None:
    assert "has not been checked yet" in as_anna.get(page_of(sender)).content.decode()
    del zone[("_dmarc.example.org", "TXT")]
    as_anna.post(f"{page_of(sender)}check/")
    assert "No worker is running" in as_anna.get(page_of(sender)).content.decode()
    page = request_again(as_anna, sender)
    assert "The SPF record is valid" in page
    assert "No DMARC policy applies to example.org" in page
    assert 'data-copy="_dmarc.example.org"' in page
    assert 'data-copy="v=DMARC1; p=none; rua=mailto:postmaster@example.org"' in page
    assert "SENDING_ADDRESSES" not in page
    assert page_of(sender) in as_anna.get(f"/accounts/{sender.pk}/").content.decode()


def test_rendering_asks_no_dns(as_anna: Client, sender: Account, settings: LazySettings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0)
        port = server.getsockname()[1]
        settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": [f"127.0.0.1:{port}"]}
        as_anna.post(f"{page_of(sender)}check/")
        assert as_anna.get(page_of(sender)).status_code == 200
        with pytest.raises(BlockingIOError):
            server.recv(1)


def test_a_second_request_has_to_wait(
    as_anna: Client, sender: Account, zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAUSE", "WAITS_FOR"):  # longer than this test takes on a busy machine
        monkeypatch.setattr(domain_checks, name, dt.timedelta(hours=1))
    as_anna.post(f"{page_of(sender)}check/")
    page = as_anna.post(f"{page_of(sender)}check/", follow=True).content.decode()
    assert "Wait a moment" in page
    check_due("default")
    page = as_anna.post(f"{page_of(sender)}check/", follow=True).content.decode()
    assert "Wait a moment" in page  # it ended a moment ago
    assert check_due("default") == 0


def test_a_user_requests_a_limited_number_of_domains(
    as_anna: Client, sender: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain_checks, "DOMAINS_PER_HOUR", 1)
    now = database_now("default")
    DomainCheck.objects.create(domain="a.example", requested_by=sender.owner, checked_at=now)
    page = as_anna.post(f"{page_of(sender)}check/", follow=True).content.decode()
    assert "Try again in an hour" in page
    assert not DomainCheck.objects.filter(domain=DOMAIN).exists()
    DomainCheck.objects.update(checked_at=now - dt.timedelta(hours=2))
    as_anna.post(f"{page_of(sender)}check/")
    assert DomainCheck.objects.filter(domain=DOMAIN).exists()


@pytest.mark.parametrize(
    ("permissions", "status"), [((), 404), (("view_message",), 404), (("view_account",), 200)]
)
def test_staff_who_see_the_account_see_the_page(
    sender: Account, permissions: tuple[str, ...], status: int
) -> None:
    client = signed_in(staff_member(*permissions))
    assert client.get(page_of(sender)).status_code == status


def test_staff_of_another_group_do_not_see_the_page(sender: Account) -> None:
    staff = staff_member("view_account")
    all_accounts = staff.user_permissions.filter(codename="view_all_accounts")
    staff.user_permissions.remove(*all_accounts)
    client = signed_in(staff)
    assert client.get(page_of(sender)).status_code == 404
    assert client.post(f"{page_of(sender)}check/").status_code == 404
    assert not DomainCheck.objects.exists()


def test_what_the_settings_turn_on_is_checked(
    sender: Account, zone: Zone, settings: LazySettings
) -> None:
    listed = "1.2.0.192.list.example"
    zone |= {(listed, "A"): ["127.0.0.2"], (listed, "TXT"): ["Spam was seen"]}
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.OUTBOX = settings.OUTBOX | {
            "SENDER_DOMAINS": [DOMAIN],
            "SENDING_ADDRESSES": [ADDRESS],
            "EHLO_NAME": "mx.example.org",
            "BLOCKLISTS": ["list.example", "clean.example"],
            "PORT_25_SERVER": f"127.0.0.1:{server.getsockname()[1]}",
        }
        as_staff = signed_in(staff_member("view_account"))
        page = request_again(as_staff, sender)
    assert "192.0.2.1 has the name mx.example.org, which leads back to it." in page
    assert "mx.example.org, which the server sends in EHLO, leads to it." in page
    assert "192.0.2.1 is on the blocklist list.example." in page
    assert "Spam was seen" in page
    assert "192.0.2.1 is not on the blocklist clean.example." in page
    assert "Port 25 of 127.0.0.1 can be reached from here." in page
    zone[(listed, "A")] = ["127.255.255.254"]
    settings.OUTBOX = settings.OUTBOX | {"EHLO_NAME": "other.example.org"}
    page = request_again(as_staff, sender)
    assert "does not respond to this DNS server" in page
    assert "does not lead to a sending address" in page
    assert "cannot be reached from here" in page


def test_the_addresses_of_the_site_do_not_concern_the_servers_of_users(
    as_anna: Client, sender: Account, zone: Zone, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SENDING_ADDRESSES": ["198.51.100.7"]}
    assert "198.51.100.7" not in request_again(as_anna, sender)
    staff = signed_in(staff_member("view_account"))
    assert "SENDING_ADDRESSES" in staff.get(page_of(sender)).content.decode()
    Account.objects.update(owner=None)
    DomainCheck.objects.update(due_at=database_now("default"))
    assert check_due("default") == 1
    assert "does not allow 198.51.100.7" in staff.get(page_of(sender)).content.decode()


@pytest.mark.parametrize(
    ("return_path", "aspf", "said"),
    [
        ("", "s", "aligns with example.org: SPF counts"),
        ("bounces@mail.example.org", "r", "aligns with example.org: SPF counts"),
        ("bounces@mail.example.org", "s", "does not align with example.org"),
        ("bounces@other.example", "r", "does not align with example.org"),
    ],
)
def test_alignment_of_the_envelope_sender(
    as_anna: Client, sender: Account, zone: Zone, return_path: str, aspf: str, said: str
) -> None:
    Account.objects.filter(pk=sender.pk).update(return_path=return_path)
    zone[("_dmarc.example.org", "TXT")] = [f"v=DMARC1; p=reject; aspf={aspf}; rua=mailto:a@b.c"]
    assert said in request_again(as_anna, sender)


def test_controls_in_a_record_are_replaced(as_anna: Client, sender: Account, zone: Zone) -> None:
    zone[SPF] = ["v=spf1 ip4:192.0.2.1 exp=a\\000b\u202ec -all"]
    assert "\ufffd" in request_again(as_anna, sender)


def test_the_domains_of_active_accounts_are_checked_every_hour(
    sender: Account, zone: Zone, settings: LazySettings
) -> None:
    assert check_due("default") == 0
    settings.OUTBOX = settings.OUTBOX | {"DOMAIN_CHECK_INTERVAL": 3600}
    assert check_due("default") == 1
    assert check_due("default") == 0
    row = DomainCheck.objects.get()
    assert row.domain == DOMAIN
    assert row.due_at is not None
    assert 3500 < (row.due_at - database_now("default")).total_seconds() <= 3600
    Account.objects.update(is_active=False)
    LastRun.objects.all().delete()
    check_due("default")
    assert not DomainCheck.objects.exists()


def test_a_sweep_costs_one_query_without_due_domains(settings: LazySettings, db: None) -> None:
    settings.OUTBOX = settings.OUTBOX | {"DOMAIN_CHECK_INTERVAL": 0}
    with CaptureQueriesContext(connection) as queries:
        domain_checks.check_in_background("default")
    assert len([one for one in queries if "domaincheck" in one["sql"]]) == 1


def test_users_see_neither_the_site_nor_accounts_of_others(
    as_anna: Client, sender: Account, zone: Zone, settings: LazySettings
) -> None:
    """Any user may enter a sender address of any domain."""
    settings.OUTBOX = settings.OUTBOX | {
        "SENDER_DOMAINS": [DOMAIN],
        "SENDING_ADDRESSES": [ADDRESS],
        "BLOCKLISTS": ["clean.example"],
    }
    key = api.generate_signing_key(DOMAIN)
    Account.objects.filter(pk=sender.pk).update(return_path="bounces@own.example")
    other = Account.objects.create(
        name="other",
        owner=User.objects.create_user("other"),
        from_address=f"other@{DOMAIN}",
        return_path="bounces@secret.example",
        host="smtp.example.org",
    )
    page = request_again(as_anna, sender)
    staff = signed_in(staff_member("view_account")).get(page_of(sender)).content.decode()
    assert "The SPF record is valid" in page
    assert "own.example" in page
    for text in ("secret.example", key.selector, "allows 192.0.2.1", "blocklist clean.example"):
        assert text not in page
        assert text in staff
    del zone[SPF]
    zone[("_dmarc.secret.example", "TXT")] = BROKEN
    page = request_again(as_anna, sender)
    assert "secret.example" not in page
    assert f"ip4:{ADDRESS}" not in page
    other.delete()


def test_an_alarm_names_what_changed_until_it_is_repaired(
    as_anna: Client, sender: Account, zone: Zone, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SENDER_DOMAINS": [DOMAIN]}
    good = zone[SPF]
    zone[("_dmarc.example.org", "TXT")] = []  # wrong from the start
    request_again(as_anna, sender)
    assert alarms() == []
    zone[SPF] = BROKEN  # a temporary failure changes nothing
    request_again(as_anna, sender)
    assert alarms() == []
    zone[SPF] = ["v=spf1 +all"]
    request_again(as_anna, sender)
    [sentence] = alarms()
    assert sentence.startswith("The check “SPF” of example.org has a new error. Before: The SPF")
    assert f"v=spf1 ip4:{ADDRESS} -all Now: The SPF record allows every server" in sentence
    zone[SPF] = BROKEN
    request_again(as_anna, sender)
    assert alarms() == [sentence]
    zone[SPF] = good
    request_again(as_anna, sender)
    assert alarms() == []


def alarms() -> list[str]:
    return [one.sentence for one in check().alarms if one.alarm.kind == AlarmKind.SENDER_DOMAIN]


def test_it_is_in_chinese_as_well(as_anna: Client, sender: Account, zone: Zone) -> None:
    del zone[SPF]
    request_again(as_anna, sender)
    page = as_anna.get(page_of(sender), headers={"Accept-Language": "zh-hans"}).content.decode()
    assert "发件域名" in page
    with translation.override("zh-hans"):
        assert DOMAIN in page
