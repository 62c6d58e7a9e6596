"""The checks of a mail: what its readers' programs may make of it, said with what it is about."""

from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.models import Account, Message
from outbox.web.messages.checks import DETAILS_SHOWN, Check, read_checks
from outbox.web.messages.content import Content


@pytest.fixture
def queue(anna: User, account: Account) -> "Queue":
    return Queue(anna, account)


class Queue:
    """Queues a mail as an app would that renders its own."""

    def __init__(self, owner: User, account: Account) -> None:
        self.owner = owner
        self.account = account

    def __call__(self, html: str = "", text: str | None = None, **headers: str) -> Message:
        mail = EmailMessage()
        mail["From"] = "anna@example.com"
        mail["Subject"] = "Offer"
        for name, value in headers.items():
            mail[name.replace("_", "-")] = value
        if text is not None:
            mail.set_content(text)
        if html and text is not None:
            mail.add_alternative(html, subtype="html")
        elif html:
            mail.set_content(html, subtype="html")
        outgoing = api.Outgoing(
            source=mail.as_bytes(policy=mail.policy.clone(linesep="\r\n")),
            envelope_sender="anna@example.com",
            recipients=[api.OutgoingRecipient("jane@example.com")],
            account=self.account,
            owner=self.owner,
        )
        (queued,) = api.queue_sources([outgoing])
        return queued


def checks(mail: Message) -> dict[str, Check]:
    return {str(check.title): check for check in read_checks(Content(mail, "checks"))}


def test_nothing_is_wrong_with_an_ordinary_letter(mail: Message) -> None:
    assert {check.tone for check in checks(mail).values()} == {"good", "quiet"}


def test_the_tab_shows_them_in_the_page_and_by_itself(as_anna: Client, mail: Message) -> None:
    page = as_anna.get(reverse("outbox:message", args=[mail.pk]), {"show": "checks"})
    alone = as_anna.get(reverse("outbox:content", args=[mail.pk, "checks"]))
    for answer in (page, alone):
        assert b"It fetches nothing when it is opened." in answer.content


def test_a_link_that_deceives_is_named_with_both_hosts(as_anna: Client, queue: Queue) -> None:
    mail = queue('<a href="https://evil.example.org/">www.bank.com</a> <a href="//x.org">y</a>')
    links = checks(mail)["Links"]
    assert links.tone == "bad"
    assert links.answer.startswith("1 link names another host")
    url = reverse("outbox:content", args=[mail.pk, "checks"])
    page = as_anna.get(url).content.decode()
    assert "https://evil.example.org/" in page
    assert "The text names www.bank.com." in page


def test_what_it_would_fetch_is_counted_by_host(queue: Queue) -> None:
    mail = queue('<img src="https://a.org/1"><img src="https://a.org/2"><img src="http://b.org/">')
    found = checks(mail)["Remote content"]
    assert found.tone == "wait"
    assert "fetches 3 things" in found.answer
    assert [(one.what, one.note) for one in found.details] == [
        ("a.org", "2\u202f×"),
        ("b.org", "1\u202f×"),
    ]


@pytest.mark.parametrize(
    ("html", "text", "tone"), [("<p>a", None, "wait"), ("<p>a", "a", "good"), ("", "a", "good")]
)
def test_a_missing_text_part_is_told(queue: Queue, html: str, text: str, tone: str) -> None:
    assert checks(queue(html, text))["Text part"].tone == tone


@pytest.mark.parametrize(
    ("length", "tone", "said"),
    [(60, "good", "more than"), (300, "quiet", "has 300 bytes"), (998, "quiet", "998")],
)
def test_the_longest_line_is_found(queue: Queue, length: int, tone: str, said: str) -> None:
    mail = queue(text="a")
    source = mail.source
    source.data = b"From: a@b.org\r\n\r\n" + b"x" * length + b"\r\n"
    source.save()
    lines = checks(mail)["Line lengths"]
    assert lines.tone == tone
    assert said in lines.answer


@pytest.mark.parametrize(
    ("headers", "tone"),
    [
        ({}, "quiet"),
        ({"List_Unsubscribe": "<mailto:u@example.com>"}, "wait"),
        (
            {
                "List_Unsubscribe": "<mailto:u@example.com>, <https://example.com/u>",
                "List_Unsubscribe_Post": "List-Unsubscribe=One-Click",
            },
            "good",
        ),
    ],
)
def test_the_ways_to_unsubscribe_are_told(queue: Queue, headers: dict[str, str], tone: str) -> None:
    found = checks(queue(text="a", **headers))["Unsubscribing"]
    assert found.tone == tone
    assert ("mailto:u@example.com" in [one.what for one in found.details]) == bool(headers)


def test_html_that_gmail_cuts_is_told(queue: Queue) -> None:
    assert "Gmail shows the first" in checks(queue("<p>x</p>\n" * 15_000))["Size"].answer


def test_of_very_many_links_some_are_only_counted(as_anna: Client, queue: Queue) -> None:
    mail = queue("".join(f'<a href="https://a.org/{n}">{n}</a>\n' for n in range(60)))
    assert checks(mail)["Links"].hidden == 60 - DETAILS_SHOWN
    page = as_anna.get(reverse("outbox:content", args=[mail.pk, "checks"])).content
    assert b"and 10 more" in page
