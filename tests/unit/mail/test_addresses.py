"""Reading one address or many, as people type them."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.mail.addresses import (
    Address,
    AddressError,
    parse_address,
    parse_address_header,
    parse_address_list,
    parse_entry,
    split_entries,
    unique,
)

BOB = Address("", "bob", "example.org")
ANN = Address("Ann", "ann", "example.net")

TYPED = {
    "nothing": ("  \n ", []),
    "one bare": ("bob@example.org", [BOB]),
    "commas": ("bob@example.org, Ann <ann@example.net>", [BOB, ANN]),
    "semicolons": ("bob@example.org; Ann <ann@example.net>;", [BOB, ANN]),
    "lines": ("bob@example.org\r\nAnn <ann@example.net>\n\n", [BOB, ANN]),
    "a comma inside quotes": (
        '"Lee, Ann" <ann@example.net>',
        [Address("Lee, Ann", "ann", "example.net")],
    ),
    "a quote inside quotes": (
        r'"Ann \"A\" Lee" <ann@example.net>',
        [Address('Ann "A" Lee', "ann", "example.net")],
    ),
    "an empty display name": ('"" <bob@example.org>', [BOB]),
    "angles alone": ("<bob@example.org>", [BOB]),
    "an address as its own name": (
        "bob@example.org <bob@example.org>",
        [Address("bob@example.org", "bob", "example.org")],
    ),
    "dots in a name": ("J. Doe <j@x.org>", [Address("J. Doe", "j", "x.org")]),
    "a group": ("Team: bob@example.org, Ann <ann@example.net>;", [BOB, ANN]),
    "an empty group": ("undisclosed-recipients:;", []),
    "a group among others": (
        "a@x.org, Team: bob@example.org; ann@example.net",
        [Address("", "a", "x.org"), BOB, Address("", "ann", "example.net")],
    ),
    "a comment as the name": ("ann@example.net (Ann)", [ANN]),
    "a nested comment": (
        r"bob@example.org (a (b) \) c)",
        [Address(r"a (b) \) c", "bob", "example.org")],
    ),
    "comments inside": (
        "bob(x)@(y)example.org, Ann (z) <ann@example.net>",
        [Address("x", "bob", "example.org"), Address("Ann (z)", "ann", "example.net")],
    ),
    "a quoted local part": ('"a b"@example.org', [Address("", "a b", "example.org")]),
    "a quoted local part without need": ('"bob"@example.org', [BOB]),
    "blanks around the at": ("bob @ example.org", [BOB]),
    "an IPv4 literal": ("bob@[192.0.2.1]", [Address("", "bob", "[192.0.2.1]")]),
    "an IPv6 literal": ("bob@[IPv6:2001:db8::1]", [Address("", "bob", "[IPv6:2001:db8::1]")]),
    "encoded words": ("=?utf-8?q?Z=C3=B6e?= <z@x.org>", [Address("Zöe", "z", "x.org")]),
    "what copying leaves": ("\ufeff\u202abob@example.org\u202c\u00a0", [BOB]),
    "a local part outside ASCII": ("zoë@example.org", [Address("", "zoë", "example.org")]),
    "dots in a row": ("taro..suzuki@x.org", [Address("", "taro..suzuki", "x.org")]),
    "dots in a row in quotes": ('"taro..suzuki"@x.org', [Address("", "taro..suzuki", "x.org")]),
    "dots at both ends": (".taro.@x.org", [Address("", ".taro.", "x.org")]),
    "a URI": ("mailto:bob@example.org", [BOB]),
    "a URI in angles": ("Ann <MAILTO:ann@example.net>", [ANN]),
    "an address and its URI": (
        "bob@example.org<mailto:bob@example.org>",
        [Address("bob@example.org", "bob", "example.org")],
    ),
    "spaces": ("bob@example.org \u3000 b@x.org", [BOB, Address("", "b", "x.org")]),
    "spaces after angles": ("Ann <ann@example.net> bob@example.org", [ANN, BOB]),
    "full-width punctuation": ("bob@example.org，Ann＜ann@example.net＞；a＠x.org、b@x.org", [
        BOB, ANN, Address("", "a", "x.org"), Address("", "b", "x.org"),
    ]),
    "full-width parentheses": ("ann@example.net（Ann）", [ANN]),
    "curly quotes": ("“Lee, Ann” <ann@example.net>", [Address("Lee, Ann", "ann", "example.net")]),
    "the last name first": (
        "Lee, Ann <ann@example.net>, Doe, John (x) <j@x.org>; van der Berg, Jan <jan@x.org>",
        [
            Address("Lee, Ann", "ann", "example.net"),
            Address("Doe, John (x)", "j", "x.org"),
            Address("van der Berg, Jan", "jan", "x.org"),
        ],
    ),
    "a name without angles": ("Ann Lee a@x.org", [Address("Ann Lee", "a", "x.org")]),
    "rows of a spreadsheet": (
        "Ann\tann@example.net\r\nDoe\tJohn\tj@x.org\n李 明\t<li@x.org>\nbob@example.org\tb@x.org\n",
        [
            ANN,
            Address("Doe John", "j", "x.org"),
            Address("李 明", "li", "x.org"),
            BOB,
            Address("", "b", "x.org"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TYPED.values(), ids=TYPED)
def test_it_reads_what_a_person_types(text: str, expected: list[Address]) -> None:
    assert parse_address_list(text) == expected


WRONG = {
    "no at": ("bob", "“bob” has no @"),
    "no domain": ("bob@", "“bob@” has no domain"),
    "no local part": ("@example.org", "nothing before the @"),
    "a word after an address": ("a@x.org Ann", "has a space in it"),
    "words and two addresses": ("a@x.org Ann b@x.org", "has more than one @"),
    "an address as a name": ("a@x.org <b@x.org>", "has more than one @"),
    "an address in a name": ("a@x.org Ann <b@x.org>", "has more than one @"),
    "a word and a comma": ("ann, bob@example.org", "“ann” has no @"),
    "a small word and a comma": ("ann, Bob <bob@example.org>", "“ann” has no @"),
    "a small word and a tab": ("ann\tbob@example.org", "“ann” has no @"),
    "a cell that is not an address": ("Ann Lee\tann@example.net\t+49 30 1", "“Ann Lee” has no @"),
    "an open group": ("Team: bob@example.org", "has a colon in the wrong place"),
    "a colon in a name": ("Ann: Lee <ann@example.net>", "has a colon in the wrong place"),
    "a dot at the end": ("bob@example.org.", "“bob@example.org.” has a dot at its end"),
    "a full-width dot at the end": ("bob@example.org。", "has a dot at its end"),
    "a space": ("bob lee@x.org", "has a space in it"),
    "an open angle": ("Bob <b@x.org", "“<” that is never closed"),
    "an open quote": ('"Bob <b@x.org>', "quote that is never closed"),
    "an open curly quote": ("“Bob <b@x.org>", "quote that is never closed"),
    "an open comment": ("b@x.org (Bob", "“(” that is never closed"),
    "text after": ("<b@x.org> Bob", "text after the “>”"),
    "a bad label": ("b@-x.org", "has no valid domain"),
    "an empty label": ("b@x..org", "has no valid domain"),
    "a bad literal": ("b@[300.1.1.1]", "no valid IP address"),
    "a source route": ("<@a.org,@b.org:c@d.org>", "“<” that is never closed"),
    "a NUL": ("b\0@x.org", "control character"),
    "a line break in quotes": ('"a\nb" <b@x.org>', "quote that is never closed"),
    "a line break in a comment": ("b@x.org (a\r\nRCPT TO:<x@y>)", "“(” that is never closed"),
    "a line break in an address": ("bob@\nexample.org", "“bob@” has no domain"),
    "only the second is bad": ("bob@example.org, ann@", "“ann@” has no domain"),
}


@pytest.mark.parametrize(("text", "problem"), WRONG.values(), ids=WRONG)
def test_it_names_the_entry_it_cannot_read(text: str, problem: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse_address_list(text)

    assert problem in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "a@x.org b@x.org", "Team: a@x.org;", "mailto:a@x.org", "Jane: Roe <a@x.org>",
        "Doe, John <a@x.org>", "Jane Roe a@x.org", "a@x.org，b@x.org", "王＜a@x.org＞", "a@x.org\n",
    ],
)  # fmt: skip
def test_a_single_address_keeps_to_the_syntax_of_a_header(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


def test_a_folded_header_is_one_line() -> None:
    value = 'Team: bob@example.org,\r\n "Lee,\r\n Ann" <ann@example.net>;'

    assert parse_address_header(value) == [BOB, Address("Lee, Ann", "ann", "example.net")]


@given(st.text(alphabet="aA@.,;:<> \t\n，；、＜＞＠王", max_size=60))
def test_no_mailbox_joins_what_stood_apart(text: str) -> None:
    entries = split_entries(text)

    assert split_entries("\n".join(entries)) == entries
    written = text.translate(str.maketrans("＠", "@"))
    for entry in entries:
        try:
            address = parse_entry(entry)
        except AddressError:
            continue
        local, domain = map(re.escape, (address.local, address.domain))
        assert re.search(rf"{local} *@ *{domain}", written)


@given(st.text())
def test_entries_split_again_are_the_same_entries(text: str) -> None:
    entries = split_entries(text)

    assert split_entries("\n".join(entries)) == entries


def test_one_address_is_not_two() -> None:
    with pytest.raises(AddressError, match="more than one address"):
        parse_address("a@x.org, b@x.org")


def test_doubles_fold_the_case_of_the_domain_only() -> None:
    """Protocol item 57."""
    typed = "bob@Exämple.org, bob@XN--EXMPLE-CUA.org, Bob@exämple.org, Bob <bob@exämple.ORG>"

    kept = unique(parse_address_list(typed))

    assert [address.spec for address in kept] == ["bob@Exämple.org", "Bob@exämple.org"]


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
# Without what servers may misread: brackets, parameters, line ends and invisible characters.
locals_ = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"], exclude_characters="<>="),
    min_size=1,
    max_size=12,
)
domains = st.sampled_from(["example.org", "exämple.org", "[192.0.2.1]", "localhost", "a_b.x.org"])


@given(st.lists(st.builds(Address, names, locals_, domains), max_size=5))
@example([Address("=?utf-8?q?x?=", "bob", "example.org"), Address(" a  b ", "c", "example.org")])
def test_what_is_written_reads_back_equal(addresses: list[Address]) -> None:
    """Protocol item 17."""
    assert parse_address_list(", ".join(map(str, addresses))) == addresses


@given(st.text(alphabet='ab@.,;:<>()[]"\\ \n\té\u200b', max_size=40) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        addresses = parse_address_list(text)
    except AddressError:
        return
    assert parse_address_list(";".join(address.spec for address in addresses)) == [
        Address("", address.local, address.domain) for address in addresses
    ]


LIMITS = {
    "a local part of a tracker": (f"reply+{'A7' * 100}@x.org", ""),
    "bytes count, not characters": (f"{'é' * 125}@x.org", "more than 254 bytes"),
    "quotes count": (f'"{"a" * 246} "@x.org', "more than 254 bytes"),
    "63 in a label": (f"a@{'b' * 63}.org", ""),
    "64 in a label": (f"a@{'b' * 64}.org", "no valid domain"),
    "254 in all": (f"a@{'b.' * 125}bb", ""),
    "255 in all": (f"a@{'b.' * 126}b", "more than 254 bytes"),
    "256 in the domain": (f"a@{'b.' * 127}bb", "a domain of more than 255 bytes"),
    "A-labels count": (f"a@{'ü.' * 40}de", "no valid domain"),
    "a domain of a book": (f"a@{'ü' * 100_000}", "a domain of more than 255 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), LIMITS.values(), ids=LIMITS)
def test_errors_name_the_limit(text: str, problem: str) -> None:
    """Protocol item 18."""
    if not problem:
        assert parse_address(text).spec == text
        return
    with pytest.raises(AddressError, match=problem) as raised:
        parse_address(text)
    assert len(str(raised.value)) < 130


@pytest.mark.parametrize(
    ("domain", "wire"),
    [
        # IDNA 2008 forbids these labels; IDNA 2003, as Django has it, does not.
        ("i❤.example", "xn--i-7iq.example"),
        ("☃.faß.example", "xn--n3h.xn--fa-hia.example"),
        ("bücher.ab--cd.example", "xn--bcher-kva.ab--cd.example"),
        ("bücher。foo_bar.example", "xn--bcher-kva.foo_bar.example"),
        ("example.org", "example.org"),
        ("Example.ORG", "Example.ORG"),
        ("exämple.org", "xn--exmple-cua.org"),
        ("EXÄMPLE.org", "xn--exmple-cua.org"),
        ("faß.de", "xn--fa-hia.de"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_the_wire_has_a_labels_and_people_have_unicode(domain: str, wire: str) -> None:
    """Protocol item 16."""
    address = parse_address(f"Bob <bob@{domain}>")

    assert (address.spec, address.wire) == (f"bob@{domain}", f"bob@{wire}")
    assert str(address) == f"Bob <bob@{domain}>"


def test_only_a_local_part_outside_ascii_needs_smtputf8() -> None:
    """Protocol items 16 and 52."""
    assert not parse_address("Zoë <zoe@exämple.org>").needs_smtputf8
    assert parse_address("zoë@example.org").needs_smtputf8


@pytest.mark.parametrize("text", ["(" * 100_000, '"\\' * 50_000, "<" * 100_000, ":" * 100_000])
def test_a_hostile_text_takes_linear_time(text: str) -> None:
    started = time.thread_time()

    with pytest.raises(AddressError):
        parse_address_list(text)

    assert time.thread_time() - started < 10  # also on a busy machine
