"""Test connection, against a real server on loopback: each step is shown, nothing is stored."""

import datetime as dt
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.delivery import connection_tests, probe
from outbox.models import Account, AuditEntry, ConnectionTest, Worker
from outbox.reasons import ReasonCode
from outbox.testing.capabilities import Capabilities
from outbox.testing.mailserver import MailServer
from outbox.testing.pytest_plugin import StartLab
from tests.integration.web.conftest import signed_in
from tests.integration.web.probing import page_of_result, result_of
from tests.integration.web.test_accounts import described

TEST = reverse("outbox:account-add-test")
OFFER = Capabilities(
    extensions=("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN"),
    login=("anna", "pale fire"),
    login_required=True,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    """Yield a server that accepts every message after a login."""
    with MailServer(tmp_path, capabilities=OFFER) as server:
        yield server


def reached(server: MailServer, **fields: str) -> dict[str, str]:
    return described(host=server.host, port=str(server.port), security="none") | fields


def test_it_shows_greeting_extensions_and_login(as_anna: Client, server: MailServer) -> None:
    page = result_of(as_anna, TEST, reached(server)).content.decode()
    assert "Connected." in page
    assert "220" in page
    assert "PIPELINING" in page
    assert "AUTH" in page
    assert "<html" not in page


def test_it_stores_nothing_and_shows_no_password(as_anna: Client, server: MailServer) -> None:
    page = page_of_result(as_anna, TEST, reached(server)).content.decode()
    assert not Account.objects.exists()
    assert "pale fire" not in page
    assert "cGFsZSBmaXJl" not in page


def test_a_wrong_password_is_shown_with_the_server_s_words(
    as_anna: Client, server: MailServer
) -> None:
    page = page_of_result(as_anna, TEST, reached(server, password="red herring")).content.decode()
    assert "Connection failed" in page
    assert "535" in page
    assert "red herring" not in page


def test_a_stored_password_is_used_when_none_is_typed(
    as_anna: Client, account: Account, server: MailServer
) -> None:
    account.host, account.port, account.security = server.host, server.port, "none"
    account.secret = "pale fire"
    account.save()
    url = reverse("outbox:account-test", args=[account.pk])
    fields = reached(server, password="", name="Renamed")
    assert b"Connected." in page_of_result(as_anna, url, fields).content
    account.refresh_from_db()
    assert account.name == "Work"


@pytest.fixture
def saved(account: Account, server: MailServer) -> Account:
    """Anna's account as it is stored, on the running server."""
    account.host, account.port, account.security = server.host, server.port, "none"
    account.secret = "pale fire"
    account.save()
    return account


def test_first_page_tests_the_saved_account_at_once(as_anna: Client, saved: Account) -> None:
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    page = result_of(as_anna, url).content.decode()
    assert "Connected." in page
    assert "Connection tested" in page
    assert "<html" not in page
    saved.refresh_from_db()
    assert saved.tested_at is not None


def test_first_page_shows_why_the_test_failed(as_anna: Client, saved: Account) -> None:
    saved.secret = "red herring"
    saved.save()
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    page = result_of(as_anna, url).content.decode()
    assert "Connection failed" in page
    assert "535" in page
    assert f'href="{reverse("outbox:account", args=[saved.pk])}"' in page
    saved.refresh_from_db()
    assert saved.tested_at is None


def test_first_page_tests_without_scripts_too(as_anna: Client, saved: Account) -> None:
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    address = as_anna.post(url)["Location"]
    assert "Connecting to the server" in as_anna.get(address).content.decode()
    connection_tests.run_due("default")
    assert "Connected." in as_anna.get(address).content.decode()


def test_account_of_another_person_is_not_tested(as_ben: Client, saved: Account) -> None:
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    assert as_ben.post(url).status_code == 404


def test_passed_test_updates_the_title_of_the_page(as_anna: Client, saved: Account) -> None:
    url = reverse("outbox:account-test", args=[saved.pk])
    server = {"host": saved.host, "port": str(saved.port), "security": "none"}
    page = result_of(as_anna, url, described(**server) | {"password": ""})
    assert 'id="tested" class="head-note" hx-swap-oob="true"' in page.content.decode()
    assert "Connection tested" in page.content.decode()


def test_title_says_that_tested_values_are_not_saved(
    as_anna: Client, account: Account, server: MailServer
) -> None:
    url = reverse("outbox:account-test", args=[account.pk])
    page = result_of(as_anna, url, reached(server))
    assert "Connection tested. Save the account to keep these settings." in page.content.decode()


def test_it_needs_the_server_s_fields_only(as_anna: Client, server: MailServer) -> None:
    fields = reached(server, name="", from_address="")
    assert b"Connected." in page_of_result(as_anna, TEST, fields).content


def test_a_closed_port_is_shown(as_anna: Client, server: MailServer) -> None:
    fields = reached(server, port="1")
    page = page_of_result(as_anna, TEST, fields).content.decode()
    assert "Connection failed" in page
    assert "No server is listening" in page


def test_the_web_server_opens_no_connection(as_anna: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = {"host": "127.0.0.1", "port": str(listener.getsockname()[1]), "security": "none"}
        page = as_anna.post(TEST, described(**where), HTTP_HX_REQUEST="true").content.decode()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "No worker is running" in page
    test = ConnectionTest.objects.get()
    assert "pale fire" not in f"{test.settings} {test.secret_encrypted}"


def test_one_user_has_one_test_at_a_time(as_anna: Client, ben: User, server: MailServer) -> None:
    first = as_anna.post(TEST, reached(server), HTTP_HX_REQUEST="true")
    second = as_anna.post(TEST, reached(server), HTTP_HX_REQUEST="true")
    assert "has not ended yet" in second.content.decode()
    signed_in(ben).post(TEST, reached(server), HTTP_HX_REQUEST="true")
    assert ConnectionTest.objects.count() == 2
    connection_tests.run_due("default")
    url = reverse("outbox:account-test-result", args=[first.context["pending"].token])
    assert "Connected." in as_anna.get(url).content.decode()
    assert signed_in(ben).get(url).status_code == 404
    assert not ConnectionTest.objects.exclude(secret_encrypted="").exists()
    assert AuditEntry.objects.filter(action="connection_tested").count() == 2
    assert "Connected." in result_of(as_anna, TEST, reached(server)).content.decode()


def test_a_test_that_no_worker_ends_says_so(as_anna: Client, server: MailServer) -> None:
    now = timezone.now()
    Worker.objects.create(
        host="w", pid=1, started_at=now, heartbeat_at=now, lease_until=now + dt.timedelta(hours=1)
    )
    response = as_anna.post(TEST, reached(server), HTTP_HX_REQUEST="true")
    url = reverse("outbox:account-test-result", args=[response.context["pending"].token])
    assert "Connecting to the server" in as_anna.get(url).content.decode()
    tests = ConnectionTest.objects.all()
    tests.update(requested_at=now - dt.timedelta(seconds=20))
    assert "No worker has started the test yet" in as_anna.get(url).content.decode()
    tests.update(started_at=now - dt.timedelta(minutes=5))
    page = as_anna.get(url).content.decode()
    assert "has ended. Test the connection again." in page
    assert "hx-get" not in page  # nothing more to ask for
    assert "Connected." in result_of(as_anna, TEST, reached(server)).content.decode()


def test_the_password_of_an_abandoned_test_is_erased(as_anna: Client, server: MailServer) -> None:
    as_anna.post(TEST, reached(server), HTTP_HX_REQUEST="true")
    connection_tests._forget_abandoned("default")
    assert ConnectionTest.objects.get().secret_encrypted
    ConnectionTest.objects.update(requested_at=timezone.now() - dt.timedelta(minutes=5))
    connection_tests.run_in_background("default")
    assert not ConnectionTest.objects.get().secret_encrypted


def test_one_deadline_limits_the_whole_test(
    fault_lab: StartLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reply comes in time, all of them together do not."""
    lab = fault_lab("at greeting: late 0.4\nat ehlo: late 0.4")
    account = Account(host=lab.host, port=lab.port, security="none")
    monkeypatch.setattr(probe, "SECONDS", 0.6)
    began = time.monotonic()
    report = probe.probe(account, secret="")
    assert time.monotonic() - began < 10
    assert not report.ok
    assert report.steps[-1].reason.code == ReasonCode.SERVER_TIMEOUT


def test_at_most_three_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, 11)]

    async def resolve(_server: object) -> list[str]:
        return addresses

    monkeypatch.setattr("outbox.smtp.connection.resolve", resolve)
    with socket.socket() as closed:  # it does not listen, and keeps its port reserved
        closed.bind(("127.0.0.1", 0))
        account = Account(host="many.example", port=closed.getsockname()[1], security="none")
        report = probe.probe(account, secret="")
    tried = [line for line in map(str, report.transcript) if "connecting" in line]
    assert len(tried) == 3


def test_a_report_survives_being_stored(server: MailServer) -> None:
    account = Account(host=server.host, port=server.port, security="none", username="anna")
    report = probe.probe(account, secret="wrong")
    stored = json.loads(json.dumps(report.dump()))
    assert probe.ProbeReport.load(stored).dump() == report.dump()
    assert str(probe.ProbeReport.load(stored).steps[-1].reason) == str(report.steps[-1].reason)
