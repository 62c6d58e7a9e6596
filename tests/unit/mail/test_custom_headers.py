"""Header fields of a caller arrive as given; no URI or address is part of an encoded word."""

import contextlib
import email.utils
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.mime_writer import HeaderError, render
from tests.unit.mail.samples import classic, compose, head_of, modern, texts
from tests.unit.mail.test_encoded_words import decoded_by_the_classic_parser

URI = "<https://lists.example.com/leave/1>"
TOKEN = "b" * 300


def written(name: str, value: str) -> str:
    """The value as sent, unfolded."""
    lines = head_of(render(compose(headers={name: value})))
    start = next(at for at, line in enumerate(lines) if line.startswith(f"{name}:".encode()))
    more = (line for line in lines[start + 1 :])
    value_lines = [lines[start]]
    for line in more:
        if line[:1] != b" ":
            break
        value_lines.append(line)
    return b"".join(value_lines).decode().partition(":")[2].strip(" ")


STRAY_BLANKS = {
    "at the end": f"{URI} ",
    "at the front": f" {URI}",
    "tab at the end": f"{URI}\t",
    "no-break space at the end": f"{URI}\xa0",
    "narrow no-break space at the front": f"\u202f{URI}",
    "zero-width space at the front": f"\u200b{URI}",
    "byte order mark and blanks": f" \ufeff {URI} \u2060",
    "ideographic space": f"\u3000{URI}\u3000",
}
URI_FIELDS = [
    "List-Unsubscribe", "List-Subscribe", "List-Help", "List-Post", "List-Owner", "List-Archive",
    "Archived-At", "X-Landing-Page", "X-Mailer-Callback",
]  # fmt: skip


@pytest.mark.parametrize("value", STRAY_BLANKS.values(), ids=STRAY_BLANKS)
@pytest.mark.parametrize("name", URI_FIELDS)
def test_stray_blanks_around_a_uri_are_dropped(name: str, value: str) -> None:
    assert written(name, value) == URI


@pytest.mark.parametrize("between", ["  ", "\t", "\xa0", " \xa0\t "])
def test_blanks_between_two_uris_become_one(between: str) -> None:
    value = f"{URI},{between}<mailto:leave@example.com>"

    assert written("List-Unsubscribe", value) == f"{URI}, <mailto:leave@example.com>"


def test_a_no_break_space_in_an_unknown_field_does_not_encode_its_uris() -> None:
    value = f"{URI},\xa0<mailto:leave@example.com>"

    assert written("X-Leave", value) == f"{URI}, <mailto:leave@example.com>"


AS_THEY_ARE = {
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "List-Unsubscribe": f"<https://example.com/u?a=?b&c=%C3%A4#{'x' * 700}>",
    "List-Post": "NO (posting not allowed)",
    "List-Help": "<https://example.com/help>,<mailto:help@example.com>",
    "Autocrypt": f"addr=ann@example.com; prefer-encrypt=mutual; keydata={TOKEN}",
    "Feedback-ID": "campaign:customer:type:sender",
    "X-SES-CONFIGURATION-SET": "main",
    "X-SES-MESSAGE-TAGS": "a=b, c=d",
    "X-Mailgun-Variables": json.dumps({"a": "b  c", "=?": [1, {"d": "<e@example.com>"}]}),
    "X-SMTPAPI": json.dumps({"to": [f"user{n}@example.com" for n in range(100)]}),
    "Authentication-Results": "mx.example.com; spf=pass smtp.mailfrom=example.com; dkim=pass",
    "X-Google-DKIM-Signature": f"v=1; a=rsa-sha256; h=from:to; bh={TOKEN}=; b={TOKEN}==",
    "ARC-Seal": f"i=1; a=rsa-sha256; t=12345; cv=none; b={TOKEN}",
    "X-References": "<1@example.com> <2@example.com>",
    "Disposition-Notification-To": '"Lee, Ann" <ann@example.com>, bob@example.com (Bob)',
    "Resent-From": "Ann Lee <ann@example.com>",
    "Resent-Date": "Sun, 01 Mar 2026 12:30:00 +0000",
    "List-Id": '"The List" <list.example.com>',
    "X-Envelope-To": "ann@example.com",
    "X-Double": "two  blanks   three",
    "X-Question": "is=?this an encoded word?= no",
    "X-Less": "a < b and c > d",
    "X-Report-Abuse": "Please report abuse here: https://example.com/abuse?id=1=?2",
}


@pytest.mark.parametrize(("name", "value"), AS_THEY_ARE.items(), ids=AS_THEY_ARE)
def test_plain_ascii_stays_as_it_is(name: str, value: str) -> None:
    assert written(name, value) == value
    assert written(name, f" {value}\xa0 ") == value


@pytest.mark.parametrize("name", ["Disposition-Notification-To", "List-Id", "X-Original-From"])
def test_a_name_that_the_caller_encoded_is_not_encoded_again(name: str) -> None:
    value = email.utils.formataddr(("Zoë Müller", "zoe@example.com"))

    assert written(name, value) == value


def test_prose_that_looks_like_an_encoded_word_arrives_as_given() -> None:
    value = "write =?utf-8?q?x?= for x"

    assert modern(headers={"X-Hint": value})["X-Hint"] == value


@pytest.mark.parametrize("name", ["Autocrypt", "ARC-Seal", "X-Google-DKIM-Signature", "Face"])
def test_base64_longer_than_a_line_is_folded(name: str) -> None:
    value = f"addr=ann@example.com; prefer-encrypt=mutual; keydata={'aB3+/' * 800}=="

    lines = head_of(render(compose(headers={name: value})))

    assert max(map(len, lines)) <= 78
    assert written(name, value).replace(" ", "") == value.replace(" ", "")


def test_uris_without_blanks_between_are_folded_where_they_are_too_long() -> None:
    value = f"<https://example.com/{'a' * 700}>,<https://example.net/{'b' * 700}>"

    assert max(map(len, head_of(render(compose(headers={"List-Unsubscribe": value}))))) <= 998
    assert written("List-Unsubscribe", value) == value.replace(",", ", ")


ADDRESS_FIELDS = [
    "Disposition-Notification-To", "Return-Receipt-To", "Errors-To", "Mail-Followup-To",
    "Mail-Reply-To", "Resent-From", "Resent-To", "X-Confirm-Reading-To", "X-Original-From",
    "X-Forwarded-To",
]  # fmt: skip


@pytest.mark.parametrize("name", ADDRESS_FIELDS)
@pytest.mark.parametrize(
    ("value", "mailboxes"),
    [
        ("Zoë Müller <zoe@example.com>", ["<zoe@example.com>"]),
        ("Zoë Müller  <zoe@example.com> ", ["<zoe@example.com>"]),
        ("Zoë Müller<zoe@example.com>", ["<zoe@example.com>"]),
        ("Zoë <zoe@example.com>, 王 <w@example.com>", ["<zoe@example.com>", "<w@example.com>"]),
        ("Zoë <zoe@exämple.com>", ["<zoe@xn--exmple-cua.com>"]),
        (f"{'Zoë Müller von Käse ' * 9}<zoe@example.com>", ["<zoe@example.com>"]),
    ],
)  # fmt: skip
def test_only_the_name_of_an_address_is_encoded(
    name: str, value: str, mailboxes: list[str]
) -> None:
    found = written(name, value)

    assert re.findall(r"<[^>]*>", re.sub(r"=\?[^ ]*\?=", "", found)) == mailboxes
    assert found.isascii()
    assert all("@" not in word for word in re.findall(r"=\?[^ ]*\?=", found))


def test_a_single_address_in_an_unknown_field_gets_a_labels() -> None:
    assert written("X-Original-To", "zoe@exämple.com") == "zoe@xn--exmple-cua.com"


def test_the_id_of_a_list_is_never_encoded() -> None:
    assert written("List-Id", "Freunde der Käse <kaese.example.com>").endswith(
        " <kaese.example.com>"
    )
    assert written("List-Id", "Käse <käse.example.com>").endswith(" <xn--kse-qla.example.com>")


URIS = {
    "path": ("<https://example.com/käse>", "<https://example.com/k%C3%A4se>"),
    "host": ("<https://käse.example/?a=ä>", "<https://xn--kse-qla.example/?a=%C3%A4>"),
    "port": ("<https://käse.example:8443/>", "<https://xn--kse-qla.example:8443/>"),
    "escapes stay": ("<https://example.com/%C3%A4/ä>", "<https://example.com/%C3%A4/%C3%A4>"),
    "mailto": (
        "<mailto:leave@example.com?subject=Abmelden für immer>",
        "<mailto:leave@example.com?subject=Abmelden%20f%C3%BCr%20immer>",
    ),
    "two": (
        "<https://example.com/ä>, <mailto:a@example.com>",
        "<https://example.com/%C3%A4>, <mailto:a@example.com>",
    ),
    "without brackets": ("https://example.com/ä", "https://example.com/%C3%A4"),
    "custom scheme": ("<urn:x-ä:1>", "<urn:x-%C3%A4:1>"),
}


@pytest.mark.parametrize("name", ["List-Unsubscribe", "X-Landing-Page"])
@pytest.mark.parametrize(("value", "expected"), URIS.values(), ids=URIS)
def test_a_uri_outside_ascii_is_percent_encoded(name: str, value: str, expected: str) -> None:
    assert written(name, value) == expected


def test_a_uri_in_prose_is_not_encoded_with_the_prose() -> None:
    found = written("X-Hinweis", "Käse gibt es auf https://example.com/a?b=c und bei Zoë")

    assert " https://example.com/a?b=c " in found
    assert "gibt es auf https" in found


REFUSED = {
    "no address": ("Disposition-Notification-To", "hello"),
    "a comma in a name": ("Errors-To", "Lee, Ann <ann@example.com>"),
    "an open bracket": ("Return-Receipt-To", "Zoë <zoe@example.com"),
    "no host": ("List-Unsubscribe", f"<https://{'ä' * 80}.example/>"),
    "no list id": ("List-Id", f"Käse <{'ä' * 80}.example>"),
    "a line break": ("X-Tag", "a\r\nBcc: b@example.com"),
}


@pytest.mark.parametrize(("name", "value"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(HeaderError) as raised:
        render(compose(headers={name: value}))

    assert raised.value.field == name


def normalized(value: str) -> str:
    """The text that a reader gets: no blanks around it, plain ones where nothing else is odd."""
    text = value.strip().strip("\u200b\u2060\ufeff").strip()
    spaced = re.sub(r"\s", " ", text)
    return spaced if re.fullmatch("[ -~]*", spaced) else text


words = st.sampled_from(
    ["Zoë", "plain", "=?utf-8?q?x?=", "=?", "?=", "<a@example.com>", "<b@example.com>,", "a,", "ä;",
     "(c)", '"d"', "日本", "=?utf-8?q?", "a b?=", " ", "  ", "<", ">", "[e]", "f=g;", "x" * 90,
     "\u00a0", "{", "%C3", "_"]
)  # fmt: skip
values = (
    texts | st.lists(words, max_size=12).map(" ".join) | st.lists(words, max_size=9).map("".join)
)


def may_get_a_blank(value: str) -> bool:
    """Return whether text that is encoded may touch a bracket: a blank is put between them."""
    return "<" in value and (not value.isascii() or "=?" in value)


@given(values.filter(lambda value: not ("=?" in value and "@" in value)))
def test_any_value_comes_back_from_two_parsers(value: str) -> None:
    expected = normalized(value)
    found = modern(headers={"X-Tag": value})["X-Tag"]

    if may_get_a_blank(value):
        assert found.replace(" ", "") == expected.replace(" ", "")
    else:
        assert found == expected
        assert decoded_by_the_classic_parser(classic(headers={"X-Tag": value})["X-Tag"]) == expected


@given(values)
def test_no_line_of_any_value_is_too_long(value: str) -> None:
    lines = head_of(render(compose(headers={"X-Tag": value})))

    assert max(map(len, lines)) <= 998
    assert all(line.strip() for line in lines)
    assert not any(line.endswith(b" ") for line in lines)
    if "=?" in value and "<" in value:
        return  # the caller's own words stay as they are
    encoded = [line for line in lines if re.search(rb"=\?utf-8\?[bq]\?[^? ]*\?=", line)]
    assert all(len(line) <= 76 for line in encoded if b"<" not in line)


@pytest.mark.parametrize(
    "piece", ["<", " <", "a ", "ä ", "=?utf-8?q?", "<ä> ", "ä<", "<a:", "a@", "http://", "ä", ","]
)
def test_an_endless_value_takes_bounded_time(piece: str) -> None:
    started = time.process_time()

    with contextlib.suppress(HeaderError):
        render(compose(headers={"X-Tag": piece * (100_000 // len(piece))}))

    assert time.process_time() - started < 2


@pytest.mark.parametrize("value", ["0@\ufff9", "a <b@\ufff9>", "http://\ufff9/x"])
def test_text_that_only_looks_like_an_address_is_encoded(value: str) -> None:
    assert modern(headers={"X-Tag": value})["X-Tag"] == value


def test_host_of_a_structured_field_must_be_valid() -> None:
    with pytest.raises(HeaderError, match="not a valid host name"):
        render(compose(headers={"List-Help": "<https://\ufff9/help>"}))
