"""The page “Sender domain” in a browser: it fits, is accessible, and copies a record."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.api import domain_checks
from outbox.db.clock import database_now
from outbox.models import DomainCheck, State
from outbox.net.sender_domain import Finding, Level, Record
from tests.browser import scenes
from tests.browser.album import CHINESE, open_album
from tests.browser.writing import authenticate
from tests.states import set_state

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

DKIM = "v=DKIM1; k=rsa; p=" + "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu" * 8
FINDINGS = [
    Finding("SPF", Level.ERROR, "The SPF record allows every server (“+all”)."),
    Finding(
        "DMARC",
        Level.ERROR,
        "%(name)s has several TXT records. Publish only one.",
        {"name": "outbox-202611-rsa._domainkey.example.org"},
        Record("outbox-202611-rsa._domainkey.example.org", "TXT", DKIM),
    ),
    Finding(
        "MX",
        Level.WARNING,
        "%(host)s, which an MX record names, is a CNAME (RFC 5321 5.1).",
        {"host": "mx.example.org"},
    ),
    Finding(
        "DMARC",
        Level.UNKNOWN,
        "The DNS did not respond about %(name)s: %(cause)s",
        {"name": "_dmarc.example.org", "cause": "SERVFAIL"},
    ),
]
POLICY = (
    "5.7.26 This message does not have authentication information or fails to pass\n"
    "5.7.26 authentication checks (SPF or DKIM)."
)


def store_check(domain: str) -> None:
    DomainCheck.objects.create(
        domain=domain,
        checked_at=database_now("default"),
        findings=[finding.dump() for finding in FINDINGS],
    )


def test_a_click_copies_the_value_and_requests_a_check(
    page: "Page", anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain_checks, "WAITS_FOR", dt.timedelta(hours=1))
    sender = scenes.account(anna)
    store_check(sender.from_address.partition("@")[2])
    DomainCheck.objects.update(checked_at=database_now("default").replace(year=2020))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    authenticate(page)
    page.goto(reverse("outbox:account", args=[sender.pk]))
    page.get_by_role("link", name="Sender domain").click()
    page.get_by_role("button", name="Copy the value of the record").click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == DKIM
    page.get_by_role("button", name="Check now").click()
    page.get_by_text("No worker is running.").wait_for()


def test_the_copy_buttons_appear_with_their_script(page: "Page", anna: User) -> None:
    sender = scenes.account(anna)
    store_check(sender.from_address.partition("@")[2])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    authenticate(page)
    held: list[Route] = []

    def hold(route: "Route") -> None:
        held.append(route)

    page.route("**/copy*.js", hold)
    page.goto(reverse("outbox:account-domain", args=[sender.pk]), wait_until="commit")
    button = page.get_by_label("Copy the value of the record")
    button.wait_for(state="attached")
    assert not button.is_visible()
    while not held:
        page.wait_for_timeout(20)
    held.pop().continue_()
    button.click()
    page.get_by_text("Copied.").wait_for()


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_the_pages_fit_and_are_accessible(browser: "Browser", live_server: Any, anna: User) -> None:
    sender = scenes.account(anna)
    store_check(sender.from_address.partition("@")[2])
    rejected = scenes.mail(sender, "Invoice", [("bob@gmail.com", State.FAILED)])
    set_state(
        rejected.recipients.all(),
        State.FAILED,
        reply_code=550,
        reply_enhanced="5.7.26",
        reply_text=POLICY,
    )
    page = reverse("outbox:account-domain", args=[sender.pk])
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("sender-domain", page)
        album.visit("policy-reply", reverse("outbox:message", args=[rejected.pk]))
        album.visit("policy-group", reverse("outbox:failed-by-reply"))
    with open_album(browser, live_server.url, locale=CHINESE) as album:
        album.sign_in()
        album.visit("sender-domain-chinese", page)
