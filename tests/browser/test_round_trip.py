"""A conversation and a bounce, from the composer to a mailbox and back, in a real browser.

Everything is real: the site, Redis, a Celery worker, an SMTP server that delivers into a Maildir,
and Dovecot, which offers the Maildir by POP3.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from dev.processes import wait_until
from outbox.models import Account, InboundMessage, Mailbox, Message, Security, State
from outbox.testing.dialogue import Transaction
from outbox.testing.mailserver import MailReceiver, MailServer
from tests.browser.album import PICTURES
from tests.browser.writing import PASSWORD as SIGN_IN_PASSWORD
from tests.browser.writing import sign_in
from tests.conftest import StartWorker
from tests.integration.inbound.returned import bounce
from tests.mailbox_servers.dovecot import PASSWORD, PROGRAM, USER, Dovecot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ADDRESS = "anna@near.test"
UNKNOWN = "missing@far.test"
WAIT = 30_000  # milliseconds for a worker on a busy machine

# What is wider than the card that contains it.
STICKS_OUT = """() => [...document.querySelectorAll(".card")].flatMap((card) => {
    const { right } = card.getBoundingClientRect();
    return [...card.querySelectorAll("button, input, a, p")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > right + 1)
        .map((one) => one.outerHTML);
})"""


class DeliveringReceiver(MailReceiver):
    """Delivers what is for Anna into Dovecot's mailbox, and a bounce for an unknown user."""

    def judge_message(self, transaction: Transaction) -> str:
        server = self._server
        assert isinstance(server, DeliveringServer)
        if ADDRESS in transaction.recipients:
            server.mailbox.deliver(transaction.source)
        if UNKNOWN in transaction.recipients:
            message_id = transaction.message_id.strip("<>")
            returned = bounce(
                to=transaction.sender,
                about=UNKNOWN,
                message_id=message_id,
                diagnostic=f"550 5.1.1 <{UNKNOWN}>: Recipient address rejected: User unknown",
            )
            server.mailbox.deliver(returned)
        return super().judge_message(transaction)


class DeliveringServer(MailServer):
    """An SMTP server that accepts every recipient, and delivers afterwards."""

    def __init__(self, directory: Path, mailbox: Dovecot) -> None:
        super().__init__(directory)
        self.mailbox = mailbox

    def receiver(self) -> DeliveringReceiver:
        return DeliveringReceiver(self, next(self._sessions))


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    if PROGRAM is None:
        pytest.skip("the package dovecot-pop3d is not installed")
    with Dovecot() as running:
        yield running


@pytest.fixture
def account(transactional_db: None, dovecot: Dovecot, tmp_path: Path) -> Iterator[Account]:
    """Anna's account: it sends by the SMTP server, and fetches from Dovecot."""
    anna = User.objects.create_user("anna", password=SIGN_IN_PASSWORD)
    with DeliveringServer(tmp_path / "mail", dovecot) as server:
        account = Account.objects.create(
            owner=anna,
            name="Work",
            from_name="Anna",
            from_address=ADDRESS,
            host=server.host,
            port=server.port,
            security=Security.NONE,
        )
        mailbox = Mailbox(
            account=account,
            host="127.0.0.1",
            port=dovecot.ports["pop3s"],
            security="tls",
            username=USER,
        )
        mailbox.secret = PASSWORD
        mailbox.save()
        yield account


def send(page: "Page", to: str, subject: str, text: str) -> Message:
    """Compose and send a message; return it once the server has accepted it."""
    page.get_by_role("banner").get_by_role("link", name="Compose").click()
    page.locator("#id_to_entry").wait_for()
    page.get_by_label("To", exact=True).fill(to)
    page.get_by_label("Subject").fill(subject)
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("row").filter(has_text=to).get_by_text("sent", exact=True).wait_for(
        timeout=WAIT
    )
    return Message.objects.latest("pk")


def fetch(page: "Page", account: Account, count: int) -> InboundMessage:
    """Click Fetch now; return the newest message once this many were received."""
    page.goto(reverse("outbox:account", args=[account.pk]))
    page.get_by_role("button", name="Fetch now").click()
    wait_until(
        lambda: InboundMessage.objects.count() == count, within=30, what="the messages were fetched"
    )
    return InboundMessage.objects.latest("pk")


def test_a_conversation_and_a_bounce(
    page: "Page", account: Account, dovecot: Dovecot, start_worker: StartWorker
) -> None:
    start_worker(OUTBOX_CA_FILE=dovecot.ca_file)
    sign_in(page)
    first = send(page, ADDRESS, "Lunch on Friday", "Are you free?")
    received = fetch(page, account, 1)

    page.goto(reverse("outbox:inbox"))
    page.get_by_role("link", name="Lunch on Friday").click()
    page.get_by_text("Are you free?").first.wait_for()
    page.get_by_role("button", name="Reply", exact=True).click()
    page.locator("#id_to_entry").wait_for()
    assert page.get_by_label("Subject").input_value() == "Re: Lunch on Friday"
    text = page.get_by_label("Text")
    text.fill(f"Yes, at noon.\n{text.input_value()}")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("row").filter(has_text=ADDRESS).get_by_text("sent", exact=True).wait_for(
        timeout=WAIT
    )
    reply = fetch(page, account, 2)
    assert (reply.in_reply_to, reply.replies_to) == (received.message_id, first)
    page.goto(reverse("outbox:message", args=[first.pk]))
    page.locator("#replies").get_by_role("link", name="Re: Lunch on Friday").wait_for()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "round_trip_reply.png", full_page=True)
    assert page.evaluate(STICKS_OUT) == []

    lost = send(page, UNKNOWN, "Is it you?", "Hello")
    fetch(page, account, 3)
    page.goto(reverse("outbox:message", args=[lost.pk]))
    row = page.get_by_role("row").filter(has_text=UNKNOWN)
    row.get_by_text("bounced", exact=True).wait_for()
    assert "User unknown" in page.locator("#reports").inner_text()
    page.screenshot(path=PICTURES / "round_trip_bounce.png", full_page=True)
    assert lost.recipients.get().state == State.BOUNCED
