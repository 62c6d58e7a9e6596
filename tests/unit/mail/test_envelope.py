"""How addresses are written between MAIL's and RCPT's angle brackets."""

import pytest

from outbox.mail.envelope import PATH_MAX, UnsendableError, needs_smtputf8, path


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("bob@far.test", b"<bob@far.test>"),
        ("bob+tag.x=y@far.test", b"<bob+tag.x=y@far.test>"),
        ('"bob smith"@far.test', b'<"bob smith"@far.test>'),
        ('"a\\"b,c"@far.test', b'<"a\\"b,c"@far.test>'),
        ("bob@[192.0.2.1]", b"<bob@[192.0.2.1]>"),
        ("bob@[IPv6:2001:db8::1]", b"<bob@[IPv6:2001:db8::1]>"),
        ("root", b"<root>"),  # a user of the server that is asked
        ("bob@bücher.test", b"<bob@xn--bcher-kva.test>"),
        ("bob@BÜCHER.test", b"<bob@xn--bcher-kva.test>"),
        ("bob@faß.test", b"<bob@xn--fa-hia.test>"),
    ],
)
def test_it_writes_the_address_in_brackets(address: str, written: bytes) -> None:
    """Protocol items 47 and 52: a domain outside ASCII goes out in A-labels."""
    assert path(address, as_is=False) == written


def test_it_writes_an_address_unchanged_with_smtputf8() -> None:
    assert path("jörg@bücher.test", as_is=True) == "<jörg@bücher.test>".encode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "jörg",
        "@far.test",
        "bob@",
        "bob@far.test\r\nDATA",
        "bob\n@far.test",
        "bob@far.test> SIZE=1",
        "bob @far.test",
        "<bob@far.test>",
        "bob@far.test\0",
        '"bob\r\n"@far.test',
        '"bob@far.test',
        "@relay.test:bob@far.test",
        "bob@[1.2.3.4",
        "bob@a@b.test",
        "bob,al@far.test",
    ],
)
def test_it_rejects_an_address_that_could_contain_a_command(address: str) -> None:
    """Protocol item 61: locally, with a reason that begins with a status code."""
    with pytest.raises(UnsendableError, match=r"^5\.1\.3 .*not an address") as caught:
        path(address, as_is=False)
    assert str(caught.value).isprintable()


def test_it_rejects_a_domain_without_a_labels() -> None:
    with pytest.raises(UnsendableError, match=r"^5\.1\.2 .*not a domain"):
        path("bob@bü..test", as_is=False)


def test_it_rejects_a_path_above_the_limit_of_smtp() -> None:
    """Protocol item 61: so no command line can exceed its limit."""
    domain = ".".join(["x" * 60] * 4)
    longest = "a" * (PATH_MAX - 3 - len(domain)) + "@" + domain
    assert len(path(longest, as_is=False)) == PATH_MAX
    with pytest.raises(UnsendableError, match=r"^5\.1\.3 .*longer than"):
        path("a" + longest, as_is=False)


@pytest.mark.parametrize(
    ("address", "needs"),
    [
        ("bob@far.test", False),
        ("bob@bücher.test", False),
        ("jörg@far.test", True),
        ("", False),
    ],
)
def test_it_needs_smtputf8_for_the_local_part_only(address: str, needs: bool) -> None:
    """Protocol item 52."""
    assert needs_smtputf8(address) is needs
