"""The forms of an address are found and replaced; a longer address is another one."""

import base64
import json

import pytest

from outbox.mail.addresses import parse_address
from outbox.mail.traces import PLACEHOLDER, Traces
from outbox.mail.xtext import utf8_xtext

BOB = Traces(parse_address("bob@example.net"))
HEAD = b"From: Ann <ann@example.org>\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "bob@example.net",
        "BOB@Example.NET",
        "Write to bob@example.net.",
        "<bob@example.net>",
        "'bob@example.net'",
        "mailto:bob@example.net?subject=x",
        "https://a.example/?m=bob%40example.net&x=1",
        "mailto%3Abob%40example.net",
        "ORCPT=rfc822;bob@example.net",
        "bob&#64;example.net",
        "bounces+bob=example.net@lists.example.org",
        "bob=40example.net",
        r"line\nbob@example.net",
        r"bob\u0040example.net",
    ],
)
def test_each_form_is_found_and_replaced(text: str) -> None:
    assert BOB.is_in(text)
    without = BOB.without(text)
    assert PLACEHOLDER in without
    assert not BOB.is_in(without)


@pytest.mark.parametrize(
    "text",
    [
        "jim-bob@example.net",
        "jim.bob@example.net",
        "jimbob@example.net",
        "jim+bob@example.net",
        "bob+tag@example.net",
        "bob@example.network",
        "bob@example.net.uk",
        "bob@sub.example.net",
        "bob@example.org",
        "bob at example.net",
        "",
    ],
)
def test_another_address_is_not_touched(text: str) -> None:
    assert not BOB.is_in(text)
    assert BOB.without(text) == text


def test_a_domain_is_found_in_unicode_and_in_a_labels() -> None:
    for spelling in ("bob@exämple.net", "bob@xn--exmple-cua.net"):
        traces = Traces(parse_address(spelling))
        assert traces.is_in("to bob@EXÄMPLE.net")
        assert traces.is_in("to bob@xn--exmple-cua.net")
        assert traces.is_in(json.dumps("bob@exämple.net"))


def test_an_address_with_a_tag_is_found_as_urls_and_dsn_parameters_write_it() -> None:
    traces = Traces(parse_address("bob+tag@example.net"))
    assert traces.is_in("?m=bob%2Btag%40example.net")
    assert traces.is_in("ORCPT=rfc822;bob+2Btag@example.net")
    assert not traces.is_in("bob@example.net")


def test_json_is_replaced_in_texts_and_keys() -> None:
    value = {"bob@example.net": ["x bob@example.net", 1, None], "a": {"b": True}}
    assert BOB.without_in(value) == {PLACEHOLDER: [f"x {PLACEHOLDER}", 1, None], "a": {"b": True}}


def test_a_mailbox_is_removed_from_its_list_with_its_name() -> None:
    to = b"To: Zoe <zoe@example.org>,\r\n =?utf-8?b?Um9iZXJ0?= <bob@example.net>\r\n"
    source = HEAD + to + b"Cc: bob@example.net\r\nX-For: bob@example.net\r\n\r\nHello\r\n"
    without = BOB.source_without(source)
    assert without == HEAD + b"To: Zoe <zoe@example.org>\r\n\r\nHello\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"\r\nDear bob@example.net\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"x bob@example.net"),
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nb=6Fb@exam=\r\nple.net",
        b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode("bob@example.net".encode("utf-16")),
        b'Content-Type: text/csv; name="=?utf-8?q?for_bob=40example.net_only?="\r\n\r\nx\r\n',
    ],
)
def test_a_body_with_the_address_cannot_be_kept(body: bytes) -> None:
    source = HEAD + b"To: zoe@example.org\r\n" + body
    assert BOB.is_in_source(source)
    assert BOB.source_without(source) is None


def test_an_encoded_field_is_read() -> None:
    word = base64.b64encode(b"for bob@example.net").decode()
    source = HEAD.replace(b"Hi", f"=?utf-8?b?{word}?=".encode()) + b"\r\nHello\r\n"
    assert BOB.is_in_source(source)
    without = BOB.source_without(source)
    assert without is not None
    assert b"Subject" not in without
    assert without.endswith(b"\r\n\r\nHello\r\n")


def test_a_source_without_the_address_is_the_same() -> None:
    source = HEAD + b"To: jim-bob@example.net\r\n\r\nHello\r\n"
    assert not BOB.is_in_source(source)
    assert BOB.source_without(source) == source


@pytest.mark.parametrize("address", ["jörg@example.net", "bob@exämple.net", "李@例子.cn"])
def test_an_address_outside_ascii_is_found_as_delivery_reports_write_it(address: str) -> None:
    traces = Traces(parse_address(address))
    field = f"Final-Recipient: utf-8; {utf8_xtext(address)}"
    assert traces.is_in(field)
    assert traces.is_in(json.dumps(field))
    assert traces.without(field) == f"Final-Recipient: utf-8; {PLACEHOLDER}"
