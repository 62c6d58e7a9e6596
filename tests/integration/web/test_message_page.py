"""The message page: what it tells of a delivery, and that it follows it to its end."""

import datetime as dt
import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Attempt, Message, Outcome, Recipient, Session, State
from outbox.models.rollup import roll_up

JANE_SAID = "2.0.0 Ok: queued as 4Xk2pQ"
JOE_SAID = "5.1.1 <joe@example.org>: no such user"


def delivered(mail: Message, *, ended: bool = True) -> Attempt:
    """What a worker leaves behind that reached one of the two recipients."""
    now = timezone.now()
    session = Session.objects.create(
        host="mx.example.net",
        address="192.0.2.7",
        port=587,
        started_at=now,
        ended_at=now if ended else None,
        tls={"version": "TLSv1.3", "cipher": "TLS_AES_128", "verified": True, "subject": "CN=mx"},
        auth_mechanism="PLAIN",
        phases_ms={"connect": 12.0, "tls": 30.0},
        opening=json.dumps([[1.0, "S", "220 mx ready"], [2.0, "C", "AUTH PLAIN ***"]]),
        closing=json.dumps([[90.0, "C", "QUIT"], [91.0, "S", "221 Bye"]]) if ended else "",
    )
    results = [
        {"address": "jane@example.com", "state": "sent", "code": 250, "text": JANE_SAID},
        {"address": "joe@example.org", "state": "failed", "code": 550, "text": JOE_SAID},
    ]
    attempt = Attempt.objects.create(
        message=mail,
        session=session,
        results=json.dumps(results),
        number_in_session=1,
        started_at=now,
        ended_at=now,
        outcome=Outcome.PARTIAL,
        transfer=json.dumps([[10.0, "C", "RCPT TO:<joe@example.org>"], [11.0, "S", "550 no"]]),
        phases_ms=json.dumps({"rcpt": 5.0, "dot": 80.0}),
    )
    common = {"attempt": attempt, "attempts": 1, "remote_host": "mx.example.net"}
    jane, joe = mail.recipients.order_by("pk")
    rows = Recipient.objects
    rows.filter(pk=jane.pk).update(
        state=State.SENT, reply_code=250, reply_text=JANE_SAID, reply_command="DOT", **common
    )
    rows.filter(pk=joe.pk).update(
        state=State.FAILED, reply_code=550, reply_enhanced="5.1.1", reply_text=JOE_SAID,
        reply_command="RCPT", **common,
    )  # fmt: skip
    roll_up([mail.pk], now, "default")
    mail.refresh_from_db()
    return attempt


def page_of(client: Client, mail: Message, **query: str) -> str:
    return client.get(reverse("outbox:message", args=[mail.pk]), query).content.decode()


def test_it_shows_each_reply_word_for_word(as_anna: Client, mail: Message) -> None:
    delivered(mail)
    page = page_of(as_anna, mail)
    assert JANE_SAID in page
    assert "5.1.1 &lt;joe@example.org&gt;: no such user" in page
    assert "<strong>550</strong>" in page
    assert "after RCPT TO" in page
    assert "after the end of DATA" in page
    assert "mx.example.net" in page


def test_it_shows_the_conversation_in_three_phases(as_anna: Client, mail: Message) -> None:
    delivered(mail)
    page = page_of(as_anna, mail)
    order = ["Connection", "220 mx ready", "AUTH PLAIN ***", "Transfer", "550 no", "Close", "QUIT"]
    places = [page.rindex(text) for text in order]
    assert places == sorted(places)
    assert "TLSv1.3" in page
    assert "certificate verified" in page


def test_each_attempt_keeps_what_it_came_to(as_anna: Client, mail: Message) -> None:
    delivered(mail)
    delivered(mail)
    mail.recipients.update(reply_text="2.0.0 a later answer")
    assert "no such user" in page_of(as_anna, mail)


def test_of_very_many_recipients_those_in_trouble_come_first(
    as_anna: Client, mail: Message
) -> None:
    mail.recipients.update(state=State.SENT)
    Recipient.objects.bulk_create(
        Recipient(message=mail, address=f"r{n}@example.com", state=State.SENT) for n in range(300)
    )
    Recipient.objects.create(message=mail, address="last@example.com", state=State.FAILED)
    page = page_of(as_anna, mail)
    assert page.index("last<wbr>@") < page.index("jane<wbr>@")
    assert "103 more recipients" in page


def test_a_conversation_under_way_says_what_is_still_missing(
    as_anna: Client, mail: Message
) -> None:
    Attempt.objects.create(message=mail, started_at=timezone.now())
    mail.recipients.update(state=State.SENDING)
    roll_up([mail.pk], timezone.now(), "default")
    assert "No conversation recorded yet." in page_of(as_anna, mail)


def test_a_mail_that_an_app_queued_has_a_page_too(
    as_anna: Client, anna: User, account: Account
) -> None:
    outgoing = api.Outgoing(
        source=b"From: shop@example.com\r\nSubject: Invoice\r\n\r\nPlease pay.\r\n",
        envelope_sender="",
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=account,
        owner=anna,
    )
    (mail,) = api.queue_sources([outgoing])
    page = page_of(as_anna, mail)
    assert "Invoice" in page
    assert "Please pay." in page
    assert "null sender" in page


def test_it_shows_the_exact_source_and_offers_it(as_anna: Client, mail: Message) -> None:
    assert "Subject: Figures" in page_of(as_anna, mail, show="raw")
    answer = as_anna.get(reverse("outbox:source", args=[mail.pk]))
    assert answer.content == mail.source.read()
    assert answer["Content-Disposition"] == 'attachment; filename="Figures.eml"'


@pytest.mark.parametrize(
    ("tab", "said"),
    [("text", "Hello"), ("headers", "MIME-Version"), ("parts", "figures.csv"), ("x", "Hello")],
)
def test_each_tab_stands_in_the_page_and_by_itself(
    as_anna: Client, mail: Message, tab: str, said: str
) -> None:
    assert said in page_of(as_anna, mail, show=tab)
    alone = as_anna.get(reverse("outbox:content", args=[mail.pk, tab])).content.decode()
    assert said in alone
    assert "<html" not in alone


def test_a_large_source_is_cut_on_the_page(as_anna: Client, mail: Message) -> None:
    source = mail.source
    source.data = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 10_000
    source.save()
    page = page_of(as_anna, mail, show="raw")
    assert "The first 64 kB of" in page
    assert len(page) < 120_000


def test_a_source_whose_file_is_gone_is_told(as_anna: Client, mail: Message) -> None:
    mail.source.delete()
    assert "source of this message is missing" in page_of(as_anna, mail)
    assert as_anna.get(reverse("outbox:source", args=[mail.pk])).status_code == 404


def test_it_looks_again_until_all_is_final(as_anna: Client, mail: Message) -> None:
    url = reverse("outbox:live", args=[mail.pk])
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).context["page"]
    assert page.look_again_after == 1
    assert as_anna.get(url, {"seen": page.fingerprint}).status_code == 204
    delivered(mail)
    changed = as_anna.get(url, {"seen": page.fingerprint})
    assert changed.status_code == 200
    assert b"no such user" in changed.content
    assert b'hx-trigger="every' not in changed.content
    assert b'id="timeline"' in changed.content


def test_it_looks_seldom_while_nothing_is_due(as_anna: Client, mail: Message) -> None:
    later = timezone.now() + dt.timedelta(hours=1)
    mail.recipients.update(state=State.DEFERRED, next_attempt_at=later, attempts=1)
    roll_up([mail.pk], timezone.now(), "default")
    assert 'hx-trigger="every 5s"' in page_of(as_anna, mail)


def test_it_waits_for_the_farewell_of_a_warm_connection(as_anna: Client, mail: Message) -> None:
    attempt = delivered(mail, ended=False)
    assert 'hx-trigger="every 1s"' in page_of(as_anna, mail)
    assert "kept open for further messages" in page_of(as_anna, mail)
    assert attempt.session is not None
    Session.objects.filter(pk=attempt.session.pk).update(ended_at=timezone.now())
    assert 'hx-trigger="every' not in page_of(as_anna, mail)


def test_a_mail_tried_often_shows_the_latest_and_offers_the_rest(
    as_anna: Client, mail: Message
) -> None:
    for _ in range(25):
        Attempt.objects.create(
            message=mail, started_at=timezone.now(), ended_at=timezone.now(), outcome="deferred"
        )
    assert page_of(as_anna, mail).count('<details class="attempt"') == 10
    assert "Show 15 older attempts" in page_of(as_anna, mail)
    assert page_of(as_anna, mail, attempts="all").count('<details class="attempt"') == 25


def test_the_page_costs_the_same_for_one_attempt_and_for_ten(
    as_anna: Client, mail: Message
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    delivered(mail)
    page_of(as_anna, mail)  # the first visit marks a failure as seen
    with CaptureQueriesContext(connection) as one:
        page_of(as_anna, mail)
    for _ in range(9):
        attempt = Attempt.objects.get(pk=Attempt.objects.latest("pk").pk)
        attempt.pk = None
        attempt.save()
    with CaptureQueriesContext(connection) as ten:
        page_of(as_anna, mail)
    assert len(ten) == len(one)
