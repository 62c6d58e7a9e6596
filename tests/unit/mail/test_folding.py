"""Header lines: short where they can be, never over what a server must take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.addresses import Address, parse_address_list
from outbox.mail.mime import AttachmentPart, HeaderError, render
from tests.unit.mail.samples import compose, head_of, modern, texts

LONG = Address("Ann Lee of the Department of Very Long Names and Titles Indeed", "a" * 60, "x.org")


def test_it_folds_only_at_white_space() -> None:
    """Protocol item 10."""
    subject = "All these words are plain and go on for far more than one line, " * 4 + "end"

    lines = head_of(render(compose(subject=subject, to=[LONG] * 5)))

    assert all(len(line) <= 78 or line.count(b" ") == 1 for line in lines)
    assert all(line[:1] == b" " or b":" in line for line in lines)
    assert modern(subject=subject)["Subject"] == subject


def test_a_word_that_cannot_be_folded_stays_whole() -> None:
    url = "https://example.org/" + "x" * 400

    assert f"\r\n {url}\r\n".encode() in render(compose(subject=f"See the page {url}"))


def test_a_subject_of_one_endless_word_is_cut_into_encoded_words() -> None:
    """Protocol item 2."""
    subject = "x" * 2000

    assert max(map(len, head_of(render(compose(subject=subject))))) <= 76
    assert modern(subject=subject)["Subject"] == subject


def test_an_endless_word_in_another_header_is_refused() -> None:
    """Encoded words would break what is no prose, such as the URL of List-Unsubscribe."""
    with pytest.raises(HeaderError) as raised:
        render(compose(headers={"List-Unsubscribe": f"<https://x.org/{'x' * 900}>"}))

    assert raised.value.field == "List-Unsubscribe"


@given(
    subject=st.text(max_size=3000).filter(lambda text: not set("\r\n\0") & set(text)),
    name=texts,
    file_name=texts,
    value=texts,
)
def test_no_line_is_ever_over_998_bytes(
    subject: str, name: str, file_name: str, value: str
) -> None:
    """Protocol item 2."""
    source = render(
        compose(
            subject=subject,
            from_=Address(name, "ann", "example.net"),
            to=[Address(name, "b", "example.net")] * 30,
            references=[f"<{'r' * 200}{n}@x.org>" for n in range(50)],
            headers={"X-Tag": value},
            attachments=[AttachmentPart(name=file_name, content_type="a/b", data=b"")],
        )
    )

    assert max(map(len, source.split(b"\r\n"))) <= 998
    assert source.count(b"\r") == source.count(b"\n") == source.count(b"\r\n")


@given(st.lists(st.builds(Address, texts, st.just("bob"), st.just("exämple.org")), max_size=20))
def test_a_list_of_addresses_comes_back(addresses: list[Address]) -> None:
    """Protocol item 17."""
    source = render(compose(to=addresses, cc=[LONG]))
    value = b"\r\n".join(head_of(source)).decode().partition("\r\nTo: ")[2]
    value = value.partition("\r\nCc: ")[0].replace("\r\n", "")

    found = parse_address_list(value)

    assert [address.name for address in found] == [address.name for address in addresses]
    assert [address.key for address in found] == [address.key for address in addresses]
