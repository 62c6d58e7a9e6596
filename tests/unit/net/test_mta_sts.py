"""MTA-STS: records, policy files, their life, and which servers they permit (RFC 8461)."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.net.mta_sts import (
    FETCH_PAUSE,
    MAX_AGE,
    REFRESH_AFTER,
    KnownPolicy,
    Mode,
    Policy,
    PolicyError,
    parse_policy,
    parse_record,
)
from outbox.reasons import Reason, ReasonCode

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mx.x.test\r\nmx: *.y.test\r\nmax_age: 86400\r\n"
POLICY = Policy(Mode.ENFORCE, ("mx.x.test",), 1_000)
UNREAD = PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain="x.test", cause="x"))


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=a1"], "a1"),
        (["v=spf1 -all", "v=STSv1; other=1; id=a1; more=2"], "a1"),
        (["v=STSv1; id=a1", "v=STSv1; id=a2"], None),
        (["v=STSv10; id=a1"], None),
        (["V=STSv1; id=a1"], None),
        ([" v=STSv1; id=a1"], None),
        (["v=STSv1; id=not-alphanumeric"], None),
        (["v=STSv1; id=" + "a" * 33], None),
        (["v=STSv1"], None),
        ([], None),
    ],
)
def test_a_record_has_an_id(texts: list[str], found: str | None) -> None:
    """Protocol item 121."""
    assert parse_record(texts) == found


def test_a_policy_is_read_with_either_line_end() -> None:
    policy = Policy(Mode.ENFORCE, ("mx.x.test", "*.y.test"), 86_400)
    assert parse_policy(GOOD) == policy
    assert parse_policy(GOOD.replace(b"\r\n", b"\n")) == policy
    assert parse_policy(GOOD + b"mode: none\nmax_age: 5\nextra: ignored\n") == policy
    assert parse_policy(b"version:STSv1\nmode: none\nmax_age: 1") == Policy(Mode.NONE, (), 1)


def test_no_policy_is_kept_for_more_than_a_year() -> None:
    found = parse_policy(GOOD.replace(b"86400", b"9999999999"))
    assert found.max_age == MAX_AGE == 31_557_600


@pytest.mark.parametrize(
    "body",
    [
        b"",
        GOOD.replace(b"STSv1", b"STSv2"),
        GOOD.replace(b"enforce", b"strict"),
        GOOD.replace(b"86400", b"-1"),
        GOOD.replace(b"86400", b"1e9"),
        GOOD.replace(b"86400", b"12345678901"),
        GOOD.replace(b"mx:", b"m:"),
        GOOD.replace(b"*.y", b"a.*.y"),
        GOOD.replace(b"*.y.test", b"*"),
        GOOD.replace(b"*.y.test", b"*y.test"),
        GOOD.replace(b"*.y.test", b"192.0.2.1"),
        GOOD + b"no colon\r\n",
        GOOD + b"\xff\r\n",
        GOOD + b"mx: a.test\n" * 600,
    ],
)
def test_an_invalid_policy_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_policy(body)


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_a_policy_or_an_error(body: bytes) -> None:
    for one in (body, GOOD + body):
        with suppress(ValueError):
            found = parse_policy(one)
            assert 0 <= found.max_age <= MAX_AGE


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("MX.x.test", True),
        ("a.y.test", True),
        ("y.test", False),
        ("a.b.y.test", False),
        ("b.mx.x.test", False),
        ("", False),
    ],
)
def test_a_wildcard_is_one_leftmost_label(host: str, fits: bool) -> None:
    """Protocol item 121."""
    assert parse_policy(GOOD).allows(host) is fits


def test_a_live_policy_holds_whatever_happens_to_dns_and_to_the_web_server() -> None:
    """Protocol item 123."""
    known = KnownPolicy().after(POLICY, "a1", now=100.0)
    assert not known.needs_fetch("a1", now=200.0)
    assert not known.needs_fetch(None, now=200.0)
    assert known.needs_fetch("a2", now=100.0 + FETCH_PAUSE)
    failed = known.after(UNREAD, "a2", now=500.0)
    assert failed.live_policy(now=1_099.0) == POLICY
    assert not failed.needs_fetch("a2", now=500.0 + FETCH_PAUSE - 1)
    assert failed.needs_fetch("a2", now=500.0 + FETCH_PAUSE)
    assert failed.live_policy(now=1_100.0) is None
    assert known.needs_fetch("a1", now=1_100.0)


def test_a_policy_is_read_again_daily_also_without_a_record() -> None:
    known = KnownPolicy().after(Policy(Mode.ENFORCE, ("mx.x.test",), MAX_AGE), "a1", now=0.0)
    for record_id in ("a1", None):
        assert not known.needs_fetch(record_id, now=REFRESH_AFTER - 1)
        assert known.needs_fetch(record_id, now=REFRESH_AFTER)
    assert known.after(POLICY, None, now=REFRESH_AFTER).id == "a1"
    failed = known.after(UNREAD, None, now=REFRESH_AFTER)
    assert not failed.needs_fetch(None, now=REFRESH_AFTER + FETCH_PAUSE - 1)


@pytest.mark.parametrize(("max_age", "record_id"), [(0, "a1"), (1_000, "a2")])
def test_a_short_life_or_a_changing_id_causes_no_fetch_for_each_message(
    max_age: int, record_id: str
) -> None:
    known = KnownPolicy().after(Policy(Mode.ENFORCE, ("mx.x.test",), max_age), "a1", now=0.0)
    assert not known.needs_fetch(record_id, now=FETCH_PAUSE - 1)
    assert known.needs_fetch(record_id, now=FETCH_PAUSE)


def test_without_a_policy_a_failed_fetch_means_none() -> None:
    failed = KnownPolicy().after(UNREAD, "a1", now=0.0)
    assert failed.live_policy(now=1.0) is None
    assert not failed.needs_fetch("a1", now=1.0)
