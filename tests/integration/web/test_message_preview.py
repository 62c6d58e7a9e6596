"""The preview: an address of its own, a policy of its own, and a permit instead of a session."""

import base64
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Message
from outbox.web.messages.preview import GOOD_FOR, preview_address
from tests.integration.web.conftest import signed_in

HTML = (
    '<p>Hello <b>Jane</b></p><script>alert(1)</script><img src="https://tracker.example/p.gif">'
    '<img src="cid:dot">'
)


@pytest.fixture
def letter(mail: Message) -> Message:
    """A mail with HTML, a picture of its own and one that is elsewhere."""
    source = EmailMessage()
    source["Subject"] = "Figures"
    source.set_content("Hello Jane")
    source.add_alternative(HTML, subtype="html")
    _text, html = source.iter_parts()
    html.add_related(b"png", "image", "png", cid="<dot>")
    mail.source.data = source.as_bytes()
    mail.source.save()
    return mail


def test_it_shows_cleaned_html_with_the_mail_s_own_pictures(letter: Message, anna: User) -> None:
    answer = Client().get(preview_address(letter, anna))
    page = answer.content.decode()
    assert "<p>Hello <b>Jane</b></p>" in page
    assert 'src="data:image/png;base64,cG5n"' in page
    assert "script" not in page
    assert "tracker.example" not in page


def test_a_footer_stands_below_the_letter_in_every_view(
    as_anna: Client, letter: Message, anna: User
) -> None:
    """As a mailing list adds it: beside the alternative, in plain text alone."""
    head, _, body = letter.source.read().decode().partition("\n\n")
    alternative = head.partition("Content-Type:")[2]
    letter.source.data = (
        "Subject: Figures\nContent-Type: multipart/mixed; boundary=list\n\n"
        f"--list\nContent-Type:{alternative}\n\n{body}\n"
        "--list\nContent-Type: text/plain\n\nLeave <the list> here.\n--list--\n"
    ).encode()
    letter.source.save()

    preview = Client().get(preview_address(letter, anna)).content.decode()
    assert preview.index("Hello <b>Jane</b>") < preview.index("Leave &lt;the list&gt; here.")
    for tab in ("text", "html"):
        page = as_anna.get(
            reverse("outbox:message", args=[letter.pk]), {"show": tab}
        ).content.decode()
        assert page.index("Hello") < page.index("the list")


def test_an_encoded_container_is_shown(as_anna: Client, letter: Message) -> None:
    letter.source.data = (
        "Subject: Figures\nContent-Type: multipart/mixed\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes("Grüße aus Köln\n".encode()).decode()
    ).encode()
    letter.source.save()

    page = as_anna.get(reverse("outbox:message", args=[letter.pk])).content.decode()

    assert "Grüße aus Köln" in page


def test_it_allows_nothing(letter: Message, anna: User) -> None:
    answer = Client().get(preview_address(letter, anna))
    policy = dict.fromkeys(answer["Content-Security-Policy"].split("; "))
    assert {"default-src 'none'", "img-src data:", "form-action 'none'"} <= policy.keys()
    (sandbox,) = (directive for directive in policy if directive.startswith("sandbox"))
    assert "allow-scripts" not in sandbox
    assert "allow-same-origin" not in sandbox
    assert "allow-top-navigation" not in sandbox
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-DNS-Prefetch-Control"] == "off"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer["Cache-Control"]


def test_the_page_frames_it_and_names_what_was_left_out(as_anna: Client, letter: Message) -> None:
    page = as_anna.get(reverse("outbox:message", args=[letter.pk])).content.decode()
    assert '<iframe id="preview-light"' in page
    assert "1 host was left out" in page
    assert "tracker.example" in page
    assert "<script>alert" not in page


def test_the_html_is_shown_as_text_too(as_anna: Client, letter: Message) -> None:
    page = as_anna.get(reverse("outbox:content", args=[letter.pk, "html"])).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_mail_without_html_offers_no_preview(as_anna: Client, mail: Message) -> None:
    page = as_anna.get(reverse("outbox:message", args=[mail.pk]), {"show": "preview"})
    assert b"iframe" not in page.content
    assert b'id="tab-preview"' not in page.content


def permit(*values: object) -> str:
    return signing.dumps(list(values), salt="outbox.preview")


def test_a_permit_is_for_one_mail_and_one_person(
    letter: Message, draft: Message, anna: User, ben: User
) -> None:
    def status(text: str) -> int:
        address = reverse("outbox:preview", args=[letter.pk, text])
        return signed_in(anna).get(address).status_code

    assert status(permit(letter.pk, anna.pk)) == 200
    assert status(permit(draft.pk, anna.pk)) == 403
    assert status(permit(letter.pk, ben.pk)) == 404
    assert status(permit(letter.pk, 0)) == 404
    assert status(permit(letter.pk, anna.pk)[:-1]) == 403
    assert status(signing.dumps([letter.pk, anna.pk], salt="another")) == 403


def test_a_permit_ends(letter: Message, anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    address = preview_address(letter, anna)
    over = timezone.now().timestamp() + GOOD_FOR + 1
    monkeypatch.setattr("time.time", lambda: over)
    answer = Client().get(address)
    assert answer.status_code == 403
    assert b"Load the page again" in answer.content
    assert "sandbox" in answer["Content-Security-Policy"]


def test_it_is_gone_for_who_may_not_sign_in_any_more(letter: Message, anna: User) -> None:
    address = preview_address(letter, anna)
    anna.is_active = False
    anna.save()
    assert Client().get(address).status_code == 404
