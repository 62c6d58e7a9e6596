"""The preview has its own address and policy, and a permit instead of a session."""

import base64
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Message
from outbox.web.messages.preview import VALID_FOR
from tests.integration.web.conftest import preview_seen_by

HTML = (
    '<p>Hello <b>Jane</b></p><script>alert(1)</script><img src="https://tracker.example/p.gif">'
    '<img src="cid:dot">'
)


@pytest.fixture
def letter(mail: Message) -> Message:
    """A message with HTML, an inline picture and a remote picture."""
    source = EmailMessage()
    source["Subject"] = "Figures"
    source.set_content("Hello Jane")
    source.add_alternative(HTML, subtype="html")
    _text, html = source.iter_parts()
    html.add_related(b"png", "image", "png", cid="<dot>")
    mail.source.data = source.as_bytes()
    mail.source.save()
    return mail


def test_it_shows_cleaned_html_with_inline_pictures(letter: Message, as_anna: Client) -> None:
    response = Client().get(preview_seen_by(as_anna, letter))
    page = response.content.decode()
    assert "<p>Hello <b>Jane</b></p>" in page
    assert 'src="data:image/png;base64,cG5n"' in page
    assert "script" not in page
    assert "tracker.example" not in page


def test_a_footer_is_below_the_text_in_every_tab(as_anna: Client, letter: Message) -> None:
    """A mailing list adds the footer beside the alternative, as plain text only."""
    head, _, body = letter.source.read().decode().partition("\n\n")
    alternative = head.partition("Content-Type:")[2]
    letter.source.data = (
        "Subject: Figures\nContent-Type: multipart/mixed; boundary=list\n\n"
        f"--list\nContent-Type:{alternative}\n\n{body}\n"
        "--list\nContent-Type: text/plain\n\nLeave <the list> here.\n--list--\n"
    ).encode()
    letter.source.save()

    preview = Client().get(preview_seen_by(as_anna, letter)).content.decode()
    assert preview.index("Hello <b>Jane</b>") < preview.index("Leave &lt;the list&gt; here.")
    for tab in ("text", "html"):
        page = as_anna.get(
            reverse("outbox:message", args=[letter.pk]), {"show": tab}
        ).content.decode()
        assert page.index("Hello") < page.index("the list")


def test_an_encoded_multipart_is_shown(as_anna: Client, letter: Message) -> None:
    letter.source.data = (
        "Subject: Figures\nContent-Type: multipart/mixed\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes("Grüße aus Köln\n".encode()).decode()
    ).encode()
    letter.source.save()

    page = as_anna.get(reverse("outbox:message", args=[letter.pk])).content.decode()

    assert "Grüße aus Köln" in page


def test_its_policy_allows_no_scripts_and_requests(letter: Message, as_anna: Client) -> None:
    response = Client().get(preview_seen_by(as_anna, letter))
    policy = dict.fromkeys(response["Content-Security-Policy"].split("; "))
    assert {"default-src 'none'", "img-src data:", "form-action 'none'"} <= policy.keys()
    (sandbox,) = (directive for directive in policy if directive.startswith("sandbox"))
    assert "allow-scripts" not in sandbox
    assert "allow-same-origin" not in sandbox
    assert "allow-top-navigation" not in sandbox
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-DNS-Prefetch-Control"] == "off"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]


def test_the_page_shows_it_in_a_frame_and_lists_blocked_hosts(
    as_anna: Client, letter: Message
) -> None:
    page = as_anna.get(reverse("outbox:message", args=[letter.pk])).content.decode()
    assert '<iframe id="preview-light"' in page
    assert "1 host is blocked" in page
    assert "tracker.example" in page
    assert "<script>alert" not in page


def test_the_html_is_shown_as_text_too(as_anna: Client, letter: Message) -> None:
    page = as_anna.get(reverse("outbox:content", args=[letter.pk, "html"])).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_plain_text_message_has_no_preview(as_anna: Client, mail: Message) -> None:
    page = as_anna.get(reverse("outbox:message", args=[mail.pk]), {"show": "preview"})
    assert b"iframe" not in page.content
    assert b'id="tab-preview"' not in page.content


def test_a_permit_is_for_one_message_and_one_user(
    letter: Message, draft: Message, as_anna: Client, as_ben: Client
) -> None:
    permit = preview_seen_by(as_anna, letter).split("/")[-2]
    of_draft = preview_seen_by(as_anna, draft).split("/")[-2]
    of_ben = preview_seen_by(as_ben, letter).split("/")[-2]

    def status(text: str) -> int:
        return as_anna.get(reverse("outbox:preview", args=[letter.pk, text])).status_code

    assert status(permit) == 200
    assert status(of_draft) == 403
    assert status(of_ben) == 404
    assert status(permit[:-1]) == 403
    assert status("x") == 403
    assert status(signing.dumps([letter.pk, 1], salt="outbox.preview")) == 403


def test_the_address_does_not_reveal_the_session(letter: Message, as_anna: Client) -> None:
    permit = preview_seen_by(as_anna, letter).split("/")[-2]
    decoded = base64.urlsafe_b64decode(permit)
    assert (as_anna.session.session_key or "missing").encode() not in decoded


def test_a_permit_ends_when_the_user_signs_out(letter: Message, as_anna: Client) -> None:
    address = preview_seen_by(as_anna, letter)
    as_anna.logout()
    refused = Client().get(address)
    assert refused.status_code == 403
    assert b"Jane" not in refused.content


def test_a_permit_ends_when_the_password_changes(
    letter: Message, as_anna: Client, anna: User
) -> None:
    address = preview_seen_by(as_anna, letter)
    anna.set_password("another long password")
    anna.save()
    assert Client().get(address).status_code == 403


def test_a_permit_expires(
    letter: Message, as_anna: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = preview_seen_by(as_anna, letter)
    over = timezone.now().timestamp() + VALID_FOR + 1
    monkeypatch.setattr("time.time", lambda: over)
    response = Client().get(address)
    assert response.status_code == 403
    assert b"Reload the page" in response.content
    assert "sandbox" in response["Content-Security-Policy"]


def test_an_inactive_user_has_no_preview(letter: Message, as_anna: Client, anna: User) -> None:
    address = preview_seen_by(as_anna, letter)
    anna.is_active = False
    anna.save()
    assert Client().get(address).status_code == 403
