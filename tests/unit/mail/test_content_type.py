"""The content type that a caller gives for a file is kept, or refused by name."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.mime_writer import AttachmentPart, HeaderError, render
from tests.unit.mail.samples import compose, modern

CALENDAR = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


def sent(content_type: str, data: bytes = CALENDAR) -> email.message.EmailMessage:
    part = AttachmentPart(name="a", content_type=content_type, data=data)
    return next(modern(attachments=[part]).iter_attachments())


KEPT = {
    "plain": ("application/pdf", "application/pdf", {}),
    "token": (
        "text/calendar; method=REQUEST; charset=UTF-8",
        "text/calendar",
        {"method": "REQUEST", "charset": "UTF-8"},
    ),
    "quoted": (
        'text/calendar; charset="utf-8"; method=REQUEST',
        "text/calendar",
        {"method": "REQUEST", "charset": "utf-8"},
    ),
    "all quoted, without blanks": (
        'text/calendar;charset="utf-8";method="REPLY";component="VEVENT"',
        "text/calendar",
        {"method": "REPLY", "charset": "utf-8", "component": "VEVENT"},
    ),
    "upper case": (
        "TEXT/CALENDAR; METHOD=REQUEST; CHARSET=utf-8", "text/calendar", {"method": "REQUEST"},
    ),
    "semicolon in quotes": (
        'application/x-a; title="a; b=c, d"', "application/x-a", {"title": "a; b=c, d"},
    ),
    "quotes in quotes": (r'application/x-a; title="a \"b\" \\ c"', "application/x-a",
                         {"title": r'a "b" \ c'}),
    "outside ASCII": ('application/x-a; title="Zoë 日"', "application/x-a", {"title": "Zoë 日"}),
    "bare outside ASCII": ("application/x-a; title=Zoë", "application/x-a", {"title": "Zoë"}),
    "RFC 2231": (
        "application/x-a; title*=utf-8''Zo%C3%AB", "application/x-a", {"title": "Zoë"},
    ),
    "RFC 2231 in sections": (
        "application/x-a; title*0=abc; title*1=def", "application/x-a", {"title": "abcdef"},
    ),
    "quotes missing": (
        "application/soap+xml; action=http://example.com/a", "application/soap+xml",
        {"action": "http://example.com/a"},
    ),
    "comment": (
        "(a) text/x-a (b; c) ; (d) charset (e) = (f) us-ascii (g)", "text/x-a",
        {"charset": "us-ascii"},
    ),
    "blanks": (" text/x-a\t;  charset = us-ascii ;", "text/x-a", {"charset": "us-ascii"}),
    "empty value": ('application/x-a; title=""', "application/x-a", {"title": ""}),
    "long value": (
        f'application/x-a; title="{"word " * 300}"', "application/x-a", {"title": "word " * 300},
    ),
    "structured suffix": (
        "application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text", {},
    ),
    "none given": ("", "application/octet-stream", {}),
}  # fmt: skip


@pytest.mark.parametrize(("given", "content_type", "parameters"), KEPT.values(), ids=KEPT)
def test_a_content_type_is_kept_with_its_parameters(
    given: str, content_type: str, parameters: dict[str, str]
) -> None:
    part = sent(given)

    assert part.get_content_type() == content_type
    assert {name: part.get_param(name) for name in parameters} | parameters == {
        name: as_text(part.get_param(name)) for name in parameters
    }
    assert part.get_payload(decode=True) == CALENDAR


def as_text(value: object) -> object:
    """Join what the library gives for a value by RFC 2231."""
    return value[2] if isinstance(value, tuple) else value


REFUSED = {
    "no subtype": "pdf",
    "an extension": ".pdf",
    "empty subtype": "text/",
    "blank inside": "text/plain charset=utf-8",
    "two types": "text/plain, text/html",
    "parameter without a value": "text/html; a",
    "parameter without a name": "text/html; =a",
    "blank in a bare value": "text/html; title=a b",
    "open quote": 'text/html; title="a',
    "open comment": "text/html (a",
    "text after quotes": 'text/html; title="a"b',
    "twice": "text/html; charset=utf-8; CHARSET=latin1",
    "line break": "a/b\r\nX: y",
    "line break in quotes": 'text/plain; n="\n"',
    "NUL": "a/b; c=\0",
    "half a character": "a/b; c=\ud800",
    "outside ASCII": "täxt/plain",
    "long": "x" * 300 + "/x",
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_a_content_type_that_cannot_be_read_is_refused(given: str) -> None:
    with pytest.raises(HeaderError) as raised:
        sent(given)

    assert raised.value.field == "content_type"


# The standard library drops "<" and ">" around a value that it reads back.
parameter_values = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300
).filter(lambda value: not (value.startswith("<") and value.endswith(">")))


@given(parameter_values)
def test_any_quoted_value_comes_back(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    part = AttachmentPart(name="", content_type=f'application/x-a; title="{quoted}"', data=b"x")

    source = render(compose(attachments=[part]))

    assert max(map(len, source.split(b"\r\n"))) <= 998
    found = email.message_from_bytes(source, policy=email.policy.compat32).get_payload(1)
    assert isinstance(found, email.message.Message)
    read = found.get_param("title")
    # It would remove the quotes of a plain value once more.
    assert (email.utils.collapse_rfc2231_value(read) if isinstance(read, tuple) else read) == value


def test_endless_input_takes_linear_time() -> None:
    for piece in ("a/b", "a/b;", "a/b;(", "a/b; a=", 'a/b; a="\\', "a/b (", ";" * 9, "a/b; a=b;"):
        with pytest.raises(HeaderError):
            sent(piece * 50_000)
