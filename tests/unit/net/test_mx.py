"""From MX records to the servers that are tried, without DNS."""

import random
from contextlib import suppress

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.net.address import is_public
from outbox.net.dns_resolver import RecordSet
from outbox.net.mx import (
    ADDRESSES_MAX,
    Exchanger,
    OwnHost,
    RoutingError,
    interleaved,
    is_host,
    named_hosts,
    ordered,
    usable_hosts,
)
from outbox.reasons import Reason, ReasonCode

PUBLIC, PUBLIC_6 = "192.0.43.8", "2600:1::8"
NO_HOST = OwnHost()
FAULT = RoutingError(Reason(ReasonCode.DNS_TIMEOUT, host="a.test"), is_permanent=False)


def record_set(*records: str) -> RecordSet:
    return RecordSet(tuple(dns.rdata.from_text("IN", "MX", record) for record in records))


def usable(
    *hosts: Exchanger, own_host: OwnHost = NO_HOST, faults: tuple[str, ...] = ()
) -> list[str]:
    found = {one: FAULT if one.host in faults else None for one in hosts}
    return [one.host for one in usable_hosts("x.test", found, own_host, is_public)]


def code_of(error: RoutingError) -> tuple[str, bool]:
    return error.reason.code, error.is_permanent


def test_the_lowest_preference_comes_first() -> None:
    found = named_hosts("x.test", record_set("20 B.test.", "5 c.test.", "20 a.test."))
    assert [(one.host, one.preference) for one in found] == [
        ("c.test", 5), ("a.test", 20), ("b.test", 20),
    ]  # fmt: skip


def test_a_host_that_is_named_twice_is_tried_once() -> None:
    found = named_hosts("x.test", record_set("20 a.test.", "5 a.test."))
    assert [(one.host, one.preference) for one in found] == [("a.test", 5)]


def test_hosts_of_equal_preference_are_shuffled() -> None:
    hosts = [Exchanger(f"{letter}.test", 10) for letter in "abcdefgh"]
    orders = {ordered(hosts, random.Random(seed).shuffle) for seed in range(20)}  # noqa: S311
    assert len(orders) > 10
    last = Exchanger("z.test", 5)
    assert {order[0] for order in (ordered([*hosts, last], random.shuffle),)} == {last}


def test_without_mx_records_the_domain_is_its_own_server() -> None:
    assert named_hosts("x.test", RecordSet()) == [Exchanger("x.test")]


@pytest.mark.parametrize("record", ["0 .", "10 ."])
def test_a_null_mx_is_permanent(record: str) -> None:
    with pytest.raises(RoutingError) as caught:
        named_hosts("x.test", record_set(record))
    assert code_of(caught.value) == ("mx_null", True)
    assert str(caught.value.reason).startswith("5.1.10 ")


def test_a_root_target_among_others_is_ignored() -> None:
    assert [one.host for one in named_hosts("x.test", record_set("0 .", "10 a.test."))] == [
        "a.test"
    ]


@pytest.mark.parametrize("target", ["192.0.2.1.", r"a\032b.test.", r"a\.b\@c.", "b!c."])
def test_invalid_targets_cause_no_fallback_to_the_domain(target: str) -> None:
    with pytest.raises(RoutingError) as caught:
        named_hosts("x.test", record_set(f"10 {target}"))
    assert code_of(caught.value) == ("mx_unusable", True)


def test_only_servers_that_are_preferred_to_this_one_count() -> None:
    """RFC 5321 5.1; found by name, by the target of an alias, and by address."""
    hosts = [
        Exchanger("a.test", 5, (PUBLIC,)),
        Exchanger("b.test", 10, (PUBLIC,)),
        Exchanger("c.test", 10, ("192.0.43.9",), canonical="real.test"),
        Exchanger("d.test", 20, (PUBLIC,)),
    ]
    for own in (
        OwnHost(names=frozenset({"c.test"})),
        OwnHost(names=frozenset({"real.test"})),
        OwnHost(addresses=frozenset({"192.0.43.9"})),
    ):
        assert usable(*hosts, own_host=own) == ["a.test"]


def test_a_domain_that_names_this_server_first_is_a_loop() -> None:
    own = OwnHost(names=frozenset({"a.test"}))
    with pytest.raises(RoutingError) as caught:
        usable(Exchanger("a.test", 5, (PUBLIC,)), Exchanger("b.test", 5, (PUBLIC,)), own_host=own)
    assert code_of(caught.value) == ("mx_loop", True)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "::1", "::ffff:10.0.0.5", "fe80::1"])
def test_private_targets_are_refused(address: str) -> None:
    with pytest.raises(RoutingError) as caught:
        usable(Exchanger("a.test", 5, (address,)))
    assert code_of(caught.value) == ("mx_forbidden", True)
    assert address not in str(caught.value)
    mixed = usable_hosts(
        "x.test", {Exchanger("a.test", 5, (address, PUBLIC)): None}, NO_HOST, is_public
    )
    assert mixed[0].addresses == (PUBLIC,)


def test_a_failed_lookup_is_temporary_only_if_no_server_is_left() -> None:
    known, unknown = Exchanger("a.test", 5, (PUBLIC,)), Exchanger("b.test", 1)
    assert usable(unknown, known, faults=("b.test",)) == ["a.test"]
    with pytest.raises(RoutingError) as caught:
        usable(unknown, Exchanger("c.test", 2), faults=("b.test",))
    assert code_of(caught.value) == ("dns_timeout", False)


def test_servers_without_an_address_are_permanently_unusable() -> None:
    with pytest.raises(RoutingError) as caught:
        usable(Exchanger("a.test", 5))
    assert code_of(caught.value) == ("mx_unusable", True)


def test_addresses_of_both_families_are_tried_in_turn() -> None:
    four, six = ["192.0.43.1", "192.0.43.2", "192.0.43.3"], ["2600:1::1"]
    assert interleaved([*four, *six]) == ["2600:1::1", *four]
    assert interleaved(["192.0.43.1", "2600:1::1", "2600:1::2", "192.0.43.1"]) == [
        "2600:1::1", "192.0.43.1", "2600:1::2",
    ]  # fmt: skip


def test_a_host_with_hundreds_of_addresses_is_tried_at_a_few() -> None:
    many = tuple(f"192.0.43.{number}" for number in range(200))
    found = usable_hosts("x.test", {Exchanger("a.test", 5, many): None}, NO_HOST, is_public)
    assert found[0].addresses == many[:ADDRESSES_MAX]


def _escaped(parts: list[bytes]) -> str:
    return "".join("".join(f"\\{byte:03}" for byte in part) + "." for part in parts) or "."


labels = st.binary(min_size=1, max_size=12)


@given(st.lists(st.tuples(st.integers(0, 65_535), st.lists(labels, max_size=4)), max_size=12))
def test_any_targets_give_valid_hosts_or_a_reason(
    targets: list[tuple[int, list[bytes]]],
) -> None:
    records = record_set(*(f"{preference} {_escaped(parts)}" for preference, parts in targets))
    with suppress(RoutingError):
        found = named_hosts("x.test", records)
        assert all(is_host(one.host) for one in found)
        preferences = [one.preference for one in found]
        assert preferences == sorted(preferences)
