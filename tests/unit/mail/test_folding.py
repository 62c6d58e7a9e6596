"""Header lines: short where they can be, never over what a server must take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.addresses import Address, parse_address_list
from outbox.mail.mime_writer import AttachmentPart, HeaderError, render
from tests.unit.mail.samples import BOB, compose, head_of, modern, texts

LONG = Address("Ann Lee of the Department of Very Long Names and Titles Indeed", "a" * 60, "x.org")


def test_it_folds_only_at_white_space() -> None:
    """Protocol item 10."""
    subject = "All these words are plain and go on for far more than one line, " * 4 + "end"

    lines = head_of(render(compose(subject=subject, to=[BOB] * 9)))

    assert max(map(len, lines)) <= 78
    assert all(line[:1] == b" " or b":" in line for line in lines)
    assert modern(subject=subject)["Subject"] == subject


NAMES = {
    "short": "Ann Lee",
    "long": "Advanced Data Marketing and Communication Services International Ltd",
    "quoted": "Lee, Ann, of Advanced Data Marketing (International) Ltd",
    "one encoded word": "Zoë Müller von der Käserei am Großen See",
    "Chinese": "北京市海淀区人民医院",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_line_ends_between_a_name_and_its_address(name: str) -> None:
    """Servers exist that read the first line of From alone, and refuse the message."""
    sender = Address(name, "contact", f"{'advanced-data-marketing-' * 2}department.example.com")
    lines = head_of(
        render(compose(from_=sender, sender=BOB, reply_to=[sender], to=[sender, LONG, sender]))
    )

    fields = [line for line in lines if line.startswith((b"From:", b"Reply-To:", b"To:"))]
    assert [field.count(b"<contact@advanced") for field in fields] == [1, 1, 1]
    assert all(b"@" in line for line in lines[1 : lines.index(b"Subject: Hello")])
    assert max(map(len, lines)) <= 998


@pytest.mark.parametrize("mailbox", ["ann", "contact.of.a.long.local.part", "l" * 60])
@given(name=texts.filter(lambda text: not text.isascii()))
def test_the_last_encoded_word_of_a_name_shares_a_line_with_the_address(
    mailbox: str, name: str
) -> None:
    """Between the words of a name RFC 2047 2 asks for the fold."""
    lines = head_of(render(compose(from_=Address(name, mailbox, "example.net"))))

    lines = lines[1 : lines.index(b"To: bob@example.org")]
    assert all(len(line) <= 76 for line in lines[:-1])
    assert b"?= <" in lines[-1]


def test_a_name_that_fits_no_line_is_still_folded() -> None:
    sender = Address("Ann " * 14 + "Lee", "ann", "example.net")
    source = render(compose(from_=sender, headers={"List-Id": f"{'word ' * 300}<list.example>"}))

    assert max(map(len, head_of(source))) <= 998
    assert b"\r\n word word" in source
    assert b" word <list.example>\r\n" in source


def test_a_word_that_cannot_be_folded_stays_whole() -> None:
    url = "https://example.org/" + "x" * 400

    assert f"\r\n {url}\r\n".encode() in render(compose(subject=f"See the page {url}"))


def test_a_subject_of_one_endless_word_is_cut_into_encoded_words() -> None:
    """Protocol item 2."""
    subject = "x" * 2000

    assert max(map(len, head_of(render(compose(subject=subject))))) <= 76
    assert modern(subject=subject)["Subject"] == subject


@pytest.mark.parametrize("length", [961, 962, 981])
def test_a_word_as_long_as_a_line_is_sent(length: int) -> None:
    """After the name of its field if it fits there, else on a separate line."""
    url = f"<https://x.org/{'x' * length}>"
    source = render(compose(headers={"List-Unsubscribe": url}))

    assert max(map(len, head_of(source))) <= 998
    assert f" {url}\r\n".encode() in source
    assert modern(headers={"List-Unsubscribe": url})["List-Unsubscribe"].strip() == url


def test_an_endless_word_in_another_header_is_refused() -> None:
    """Encoded words would break values that are not prose, such as the URL of List-Unsubscribe."""
    with pytest.raises(HeaderError, match="more than 997") as raised:
        render(compose(headers={"List-Unsubscribe": f"<https://x.org/{'x' * 982}>"}))

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
