"""What a server repeats of a login or of a sensitive message is masked, in whatever form."""

import base64
import html
import json
import quopri
import time
from urllib.parse import quote, quote_plus

import pytest

from outbox.smtp.masking import Masker
from outbox.smtp.reply import LINE_KEPT, ReplyParser

SECRET = "pa55/w=rd&+é x!"
PLAIN = base64.b64encode(f"\0ann\0{SECRET}".encode()).decode()


def masked(text: str, *secrets: str) -> str:
    masker = Masker()
    for secret in secrets or (SECRET, PLAIN):
        masker.add_secret(secret)
    return masker.masked(text)


def split(text: str, at: int, join: str) -> str:
    return text[:at] + join + text[at:]


FORMS = {
    "as it is": SECRET,
    "in a URL": quote(SECRET, safe=""),
    "in a URL, some characters": quote(SECRET, safe="/!"),
    "in a form": quote_plus(SECRET),
    "in lower-case escapes": quote(SECRET, safe="").lower(),
    "in HTML": html.escape(SECRET),
    "in JSON": json.dumps(SECRET),
    "in quoted-printable": quopri.encodestring(SECRET.encode(), quotetabs=True).decode(),
    "in hexadecimal": SECRET.encode().hex(),
    "in Base64": base64.b64encode(SECRET.encode()).decode(),
    "in URL-safe Base64": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "after one byte, in Base64": base64.b64encode(b"x" + SECRET.encode()).decode(),
    "inside, in Base64": base64.b64encode(f"ab{SECRET}yz".encode()).decode(),
    "as it was sent": PLAIN,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["{}", "5.7.8 user ann, login {} is wrong", "x={}; y", "<{}>"])
def test_a_secret_is_masked_in_every_form(form: str, around: str) -> None:
    shown = masked(around.format(FORMS[form]))
    assert FORMS[form] not in shown
    assert "***" in shown
    for start in range(len(FORMS[form]) - 8):  # nor is a half of it left
        assert FORMS[form][start : start + 8] not in shown


@pytest.mark.parametrize("join", ["\n", "\n ", "\n5.7.8 ", " \n2.0.0 "])
@pytest.mark.parametrize("at", [1, 4, 9, 12])
@pytest.mark.parametrize("form", ["as it is", "in Base64", "as it was sent", "in a URL"])
def test_a_secret_is_masked_that_is_split_over_the_lines_of_a_reply(
    form: str, at: int, join: str
) -> None:
    shown = masked(f"5.7.8 no: {split(FORMS[form], at, join)} ann")
    assert FORMS[form][:at] not in shown.replace("5.7.8 no: ", "")
    assert FORMS[form][at:] not in shown
    assert shown.endswith(" ann")


def test_the_rest_of_a_reply_stays() -> None:
    assert masked(f"5.7.8 Login {SECRET} of ann failed\nsee https://a.example/?q=1") == (
        "5.7.8 Login *** of ann failed\nsee https://a.example/?q=1"
    )


@pytest.mark.parametrize(
    "text", ["2.0.0 Ok: queued as 4F2C1", "a=b&c=%20 100% +1", "Zm9vYmFyYmF6Zm9v", "中文 退信"]
)
def test_an_ordinary_reply_is_unchanged(text: str) -> None:
    assert masked(text) == text


def test_a_short_secret_is_masked_in_the_login_only() -> None:
    masker = Masker()
    masker.add_secret("ok")
    assert masker.masked("2.0.0 ok") == "2.0.0 ok"
    assert masker.masked("5.7.8 ok is wrong", in_login=True) == "5.7.8 *** is wrong"


def test_a_secret_at_a_cut_is_masked() -> None:
    parser = ReplyParser()
    line = b"550 " + b"x" * (LINE_KEPT - 4 - 6) + SECRET.encode()
    parser.feed(line + b"\r\n")
    reply = parser.next()
    assert reply is not None
    assert SECRET[:6] in reply.text
    assert SECRET[:4] not in masked(reply.text)


def test_masking_takes_linear_time() -> None:
    """On what an attacker would send: 200 KB that almost match."""
    masker = Masker()
    masker.add_secret("a" * 40)
    for text in ("a" * 39 + "b", "%", "\n", "=61", "&", "\\u0061"):
        began = time.perf_counter()
        masker.masked((text * 200_000)[:200_000])
        assert time.perf_counter() - began < 5


SOURCE = (
    b"From: a@example.org\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?Code_739184?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes("Open https://a.example/reset/K7QX-94TB today, Bob. 您的密码".encode())
)


@pytest.mark.parametrize(
    "leak",
    ["739184", "code:739184.", "K7QX-94TB", "https://a.example/reset/K7QX-94TB", "reset/k7qx"],
)
def test_words_of_a_sensitive_message_are_masked(leak: str) -> None:
    masker = Masker()
    masker.add_content(SOURCE, ("a@example.org", "bob@example.net"))
    for form in (leak, base64.b64encode(leak.encode()).decode(), quote(leak, safe="")):
        shown = masker.masked(f"5.7.1 Message blocked: {form}")
        assert leak not in shown
        assert form not in shown
        assert shown.startswith("5.7.1 Message blocked: ")


def test_an_ordinary_reply_to_a_sensitive_message_is_unchanged() -> None:
    masker = Masker()
    masker.add_content(SOURCE, ("a@example.org", "bob@example.net"))
    for text in (
        "2.0.0 Ok: queued as 4F2C1D9",
        "5.1.1 <bob@example.net>: Recipient address rejected: User unknown",
        "4.7.1 Greylisted, please try again later",
    ):
        assert masker.masked(text) == text
    assert masker.masked("5.7.1 您的密码") == "5.7.1 ***"


def test_an_address_of_one_sensitive_message_may_be_a_secret_of_the_next() -> None:
    masker = Masker()
    masker.add_content(SOURCE, ("a@example.org", "739184@example.net"))
    assert masker.masked("5.1.1 <739184@example.net>: unknown") == (
        "5.1.1 <739184@example.net>: unknown"
    )
    masker.add_content(SOURCE, ("a@example.org", "bob@example.net"))
    assert masker.masked("5.7.1 Message blocked: 739184") == "5.7.1 Message blocked: ***"
    masker.add_content(SOURCE.replace(b"739184", b"Hello"), ("a@example.org", "eve@example.net"))
    assert masker.masked("5.7.1 Message blocked: 739184") == "5.7.1 Message blocked: ***"


def test_replies_are_masked_entirely_after_a_message_that_is_too_large() -> None:
    masker = Masker()
    masker.add_content(SOURCE + b"x" * 400_000, ())
    assert masker.masked("2.0.0 Ok: queued as 4F2C1D9") == "***"
