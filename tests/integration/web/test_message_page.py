"""The message page: what it shows of a delivery, and how it refreshes until the end.

The delivery is a real one to a fault lab, so that the page reads what the recorder writes.
"""

import datetime as dt
import re
from collections.abc import Callable

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_init
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.delivery.engine import Engine
from outbox.models import (
    Account,
    Attempt,
    Event,
    EventKind,
    Message,
    Recipient,
    SmtpSession,
    State,
)
from outbox.models.rollup import roll_up
from outbox.reasons import Reason, ReasonCode
from outbox.testing.pytest_plugin import StartLab
from outbox.web.folders.message_list import NOT_CHANGED
from tests.states import set_state

SCENARIO = """
offer PIPELINING, SIZE 35882577, 8BITMIME, STARTTLS, AUTH PLAIN
login anna swordfish
at rcpt <joe@*>: 550 5.1.1 <joe@example.org>: no such user
"""


@pytest.fixture
def deliver(transactional_db: None, fault_lab: StartLab) -> Callable[[Message], Attempt]:
    """Deliver a message to a lab that rejects Joe, and return the attempt."""

    def run(message: Message) -> Attempt:
        lab = fault_lab(SCENARIO)
        account = Account.objects.get()
        account.host, account.port, account.security = lab.host, lab.port, "starttls"
        account.secret = "swordfish"
        account.save()
        with override_settings(OUTBOX={**settings.OUTBOX, "CA_FILE": lab.ca_file}):
            Engine().drain()
        message.refresh_from_db()
        return Attempt.objects.latest("pk")

    return run


def page_of(client: Client, message: Message, **query: str) -> str:
    return client.get(reverse("outbox:message", args=[message.pk]), query).content.decode()


def test_each_reply_is_shown_word_for_word(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    deliver(mail)
    page = page_of(as_anna, mail)
    sent = mail.recipients.get(address="jane@example.com")
    assert sent.state == State.SENT
    assert f"<strong>250</strong> <bdi>{sent.reply_text}</bdi>" in page
    assert "<strong>550</strong>" in page
    assert "5.1.1 &lt;joe@example.org&gt;: no such user" in page
    assert "after RCPT TO" in page
    assert "after the end of DATA" in page


def test_the_transcript_has_three_sections(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    deliver(mail)
    page = page_of(as_anna, mail)
    order = ["Connection", "220 ", "AUTH PLAIN", "Transfer", "550 5.1.1", "Close", "QUIT"]
    places = [page.rindex(text) for text in order]
    assert places == sorted(places)
    assert "TLSv1.3" in page
    assert "certificate verified" in page
    assert "swordfish" not in page


def test_each_attempt_keeps_its_results(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    deliver(mail)
    api.retry(mail)
    deliver(mail)
    mail.recipients.update(reply_text="2.0.0 a later reply")
    assert "no such user" in page_of(as_anna, mail)


def test_the_level_of_tls_is_shown_with_its_reasons(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    attempt = deliver(mail)
    assert "Requested TLS" not in page_of(as_anna, mail)  # the account's setting decides
    assert attempt.session is not None
    SmtpSession.objects.filter(pk=attempt.session.pk).update(
        tls_requested="opportunistic",
        tls_policy=Reason(ReasonCode.TLS_STS_TESTING, domain="<b>.example"),
        tls_achieved="encrypted",
        tls_why=Reason(ReasonCode.CERTIFICATE_REJECTED, cause="expired"),
    )
    page = page_of(as_anna, mail)
    assert "TLS if the server offers it" in page
    assert "MTA-STS policy of &lt;b&gt;.example in testing mode" in page
    assert "encrypted, server not verified" in page
    assert "certificate is not valid: expired." in page
    as_anna.cookies.load({settings.LANGUAGE_COOKIE_NAME: "zh-hans"})
    chinese = page_of(as_anna, mail)
    assert "要求的 TLS" in chinese
    assert "已加密，服务器未经验证" in chinese


def test_the_page_refreshes_until_every_state_is_final(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    url = reverse("outbox:live", args=[mail.pk])
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).context["page"]
    assert page.refresh_after == 1
    assert as_anna.get(url, {"seen": page.fingerprint}).status_code == 204
    deliver(mail)
    changed = as_anna.get(url, {"seen": page.fingerprint})
    assert changed.status_code == 200
    assert b"no such user" in changed.content
    assert b'hx-trigger="every' not in changed.content
    assert b'id="timeline"' in changed.content


def test_the_page_refreshes_until_an_open_session_is_closed(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    attempt = deliver(mail)
    assert 'hx-trigger="every' not in page_of(as_anna, mail)
    assert attempt.session is not None
    SmtpSession.objects.filter(pk=attempt.session.pk).update(ended_at=None, closing="")
    assert 'hx-trigger="every 1s"' in page_of(as_anna, mail)
    assert "kept open for further messages" in page_of(as_anna, mail)


def test_the_page_takes_as_many_queries_for_ten_attempts_as_for_one(
    deliver: Callable[[Message], Attempt], as_anna: Client, mail: Message
) -> None:
    attempt = deliver(mail)
    page_of(as_anna, mail)  # the first visit marks a failure as seen
    one = queries_of_page(as_anna, mail)
    for _ in range(9):
        attempt.pk = None
        attempt.save()
    assert queries_of_page(as_anna, mail) == one


def queries_of_page(client: Client, mail: Message) -> int:
    """Return the fewer queries of two visits: one may read what a process reads now and then."""
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            page_of(client, mail)
        counts.append(len(captured))
    return min(counts)


def test_a_refresh_reads_a_bounded_number_of_rows(as_anna: Client, mail: Message) -> None:
    many = [
        Recipient(message=mail, address=f"r{n}@example.com", next_attempt_at=timezone.now())
        for n in range(2_000)
    ]
    Recipient.objects.bulk_create(many)
    set_state(mail.recipients.filter(address="r7@example.com"), State.FAILED)
    Message.objects.filter(pk=mail.pk).update(recipient_count=mail.recipients.count())
    Event.objects.bulk_create(
        Event(message=mail, kind=EventKind.HELD, at=timezone.now()) for _ in range(1_000)
    )
    page = page_of(as_anna, mail)
    assert page.index("r7<wbr>@") < page.index("jane<wbr>@")
    assert f"{mail.recipients.count() - 200} more recipients are not listed." in page
    assert "Older events are not listed." in page

    seen = re.search(r"live/\?seen=(\w+)", page)
    assert seen is not None
    live = reverse("outbox:live", args=[mail.pk])
    read: list[object] = []

    def count(instance: object, **_: object) -> None:
        read.append(instance)

    post_init.connect(count)
    try:
        assert as_anna.get(live, {"seen": seen[1]}).status_code == NOT_CHANGED
        unchanged = len(read)
        set_state(mail.recipients.filter(address="r8@example.com"), State.FAILED)
        read.clear()
        changed = as_anna.get(live, {"seen": seen[1]}).content.decode()
    finally:
        post_init.disconnect(count)
    assert "r8<wbr>@" in changed
    assert unchanged < 150
    assert len(read) < 1_000


def test_recipients_that_need_attention_come_first(as_anna: Client, mail: Message) -> None:
    set_state(mail.recipients, State.SENT)
    Recipient.objects.bulk_create(
        Recipient(message=mail, address=f"r{n}@example.com", state=State.SENT) for n in range(300)
    )
    Recipient.objects.create(message=mail, address="last@example.com", state=State.FAILED)
    page = page_of(as_anna, mail)
    assert page.index("last<wbr>@") < page.index("jane<wbr>@")
    assert "103 more recipients" in page


def test_an_attempt_in_progress_has_no_transcript_yet(as_anna: Client, mail: Message) -> None:
    Attempt.objects.create(message=mail, started_at=timezone.now())
    set_state(mail.recipients, State.SENDING)
    roll_up([mail.pk], timezone.now(), "default")
    assert "No conversation recorded yet." in page_of(as_anna, mail)


def test_a_message_of_an_app_has_a_page(as_anna: Client, anna: User, account: Account) -> None:
    outgoing = api.Outgoing(
        source=b"From: shop@example.com\r\nSubject: Invoice\r\n\r\nPlease pay.\r\n",
        envelope_sender="",
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=account,
        owner=anna,
    )
    (message,) = api.queue_sources([outgoing])
    page = page_of(as_anna, message)
    assert "Invoice" in page
    assert "Please pay." in page
    assert "null sender" in page


def test_the_source_is_shown_and_can_be_downloaded(as_anna: Client, mail: Message) -> None:
    assert "Subject: Figures" in page_of(as_anna, mail, show="raw")
    response = as_anna.get(reverse("outbox:source", args=[mail.pk]))
    assert response.content == mail.source.read()
    assert response["Content-Disposition"] == 'attachment; filename="Figures.eml"'


@pytest.mark.parametrize(
    ("tab", "text"),
    [("text", "Hello"), ("headers", "MIME-Version"), ("parts", "figures.csv"), ("x", "Hello")],
)
def test_each_tab_is_shown_in_the_page_and_alone(
    as_anna: Client, mail: Message, tab: str, text: str
) -> None:
    assert text in page_of(as_anna, mail, show=tab)
    alone = as_anna.get(reverse("outbox:content", args=[mail.pk, tab])).content.decode()
    assert text in alone
    assert "<html" not in alone


def test_a_large_source_is_truncated_on_the_page(as_anna: Client, mail: Message) -> None:
    source = mail.source
    source.data = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 10_000
    source.save()
    page = page_of(as_anna, mail, show="raw")
    assert "The first 64 kB of" in page
    assert len(page) < 120_000


def test_a_missing_source_is_reported(as_anna: Client, mail: Message) -> None:
    mail.source.delete()
    assert "source of this message is missing" in page_of(as_anna, mail)
    assert as_anna.get(reverse("outbox:source", args=[mail.pk])).status_code == 404


def test_the_page_refreshes_slowly_while_nothing_is_due(as_anna: Client, mail: Message) -> None:
    later = timezone.now() + dt.timedelta(hours=1)
    set_state(mail.recipients, State.DEFERRED, next_attempt_at=later, attempts=1)
    roll_up([mail.pk], timezone.now(), "default")
    assert 'hx-trigger="every 5s"' in page_of(as_anna, mail)


def test_only_the_latest_attempts_are_shown_at_first(as_anna: Client, mail: Message) -> None:
    for _ in range(25):
        Attempt.objects.create(
            message=mail, started_at=timezone.now(), ended_at=timezone.now(), outcome="deferred"
        )
    assert page_of(as_anna, mail).count('<details class="attempt"') == 10
    assert "Show 15 older attempts" in page_of(as_anna, mail)
    assert page_of(as_anna, mail, attempts="all").count('<details class="attempt"') == 25
