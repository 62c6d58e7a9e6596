"""The tab Checks: what other mail programs and servers may do with the message."""

from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.models import Account, Message
from outbox.web.messages.content import Content
from outbox.web.messages.content_checks import DETAILS_SHOWN, Check, read_checks


@pytest.fixture
def queue(anna: User, account: Account) -> "Queue":
    return Queue(anna, account)


class Queue:
    """Queues messages that were rendered elsewhere, as an app does."""

    def __init__(self, owner: User, account: Account) -> None:
        self.owner = owner
        self.account = account

    def __call__(self, html: str = "", text: str | None = None, **headers: str) -> Message:
        rendered = EmailMessage()
        rendered["From"] = "anna@example.com"
        rendered["Subject"] = "News"
        for name, value in headers.items():
            rendered[name.replace("_", "-")] = value
        if text is not None:
            rendered.set_content(text)
        if html and text is not None:
            rendered.add_alternative(html, subtype="html")
        elif html:
            rendered.set_content(html, subtype="html")
        outgoing = api.Outgoing(
            source=rendered.as_bytes(policy=rendered.policy.clone(linesep="\r\n")),
            envelope_sender="anna@example.com",
            recipients=[api.OutgoingRecipient("jane@example.com")],
            account=self.account,
            owner=self.owner,
        )
        (queued,) = api.queue_sources([outgoing])
        return queued


def checks(message: Message) -> dict[str, Check]:
    return {str(check.title): check for check in read_checks(Content(message, "checks"))}


def test_a_plain_message_passes_all_checks(mail: Message) -> None:
    assert {check.tone for check in checks(mail).values()} == {"good", "quiet"}


def test_the_tab_is_shown_in_the_page_and_alone(as_anna: Client, mail: Message) -> None:
    page = as_anna.get(reverse("outbox:message", args=[mail.pk]), {"show": "checks"})
    tab = as_anna.get(reverse("outbox:content", args=[mail.pk, "checks"]))
    for response in (page, tab):
        assert b"The message loads nothing from other servers." in response.content


def test_a_misleading_link_is_shown_with_both_hosts(as_anna: Client, queue: Queue) -> None:
    message = queue('<a href="https://evil.example.org/">www.bank.com</a> <a href="//x.org">y</a>')
    links = checks(message)["Links"]
    assert links.tone == "bad"
    assert links.result.startswith("1 link displays one host")
    url = reverse("outbox:content", args=[message.pk, "checks"])
    page = as_anna.get(url).content.decode()
    assert "https://evil.example.org/" in page
    assert "The text displays www.bank.com." in page


def test_remote_content_is_counted_by_host(queue: Queue) -> None:
    html = '<img src="https://a.org/1"><img src="https://a.org/2"><img src="http://b.org/">'
    found = checks(queue(html))["Remote content"]
    assert found.tone == "wait"
    assert "loads 3 items" in found.result
    assert [(detail.text, detail.note) for detail in found.details] == [
        ("a.org", "2\u202f×"),
        ("b.org", "1\u202f×"),
    ]


@pytest.mark.parametrize(
    ("html", "text", "tone"), [("<p>a", None, "wait"), ("<p>a", "a", "good"), ("", "a", "good")]
)
def test_a_missing_text_part_is_reported(queue: Queue, html: str, text: str, tone: str) -> None:
    assert checks(queue(html, text))["Plain text"].tone == tone


@pytest.mark.parametrize(
    ("length", "tone", "result"),
    [(60, "good", "more than"), (300, "quiet", "has 300 bytes"), (998, "quiet", "998")],
)
def test_the_longest_line_is_found(queue: Queue, length: int, tone: str, result: str) -> None:
    message = queue(text="a")
    source = message.source
    source.data = b"From: a@b.org\r\n\r\n" + b"x" * length + b"\r\n"
    source.save()
    lines = checks(message)["Line lengths"]
    assert lines.tone == tone
    assert result in lines.result


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
def test_the_addresses_to_unsubscribe_are_listed(
    queue: Queue, headers: dict[str, str], tone: str
) -> None:
    found = checks(queue(text="a", **headers))["Unsubscribe"]
    assert found.tone == tone
    listed = [detail.text for detail in found.details]
    assert ("mailto:u@example.com" in listed) == bool(headers)


def test_html_that_gmail_truncates_is_reported(queue: Queue) -> None:
    size = checks(queue("<p>x</p>\n" * 15_000))["Size"]
    assert "Gmail displays only the first" in size.result


def test_the_list_of_links_is_limited(as_anna: Client, queue: Queue) -> None:
    message = queue("".join(f'<a href="https://a.org/{n}">{n}</a>\n' for n in range(60)))
    assert checks(message)["Links"].hidden == 60 - DETAILS_SHOWN
    page = as_anna.get(reverse("outbox:content", args=[message.pk, "checks"])).content
    assert b"and 10 more" in page
