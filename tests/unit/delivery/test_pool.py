"""What the accounts of one worker share stays divided fairly, and nothing waits for ever."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from outbox.delivery.descriptors import connection_ceiling
from outbox.delivery.pool import Pool, owner_of
from outbox.models import Account


def test_one_owner_gets_half_of_what_is_counted() -> None:
    pool = Pool(300)
    assert pool.take_up_to("mallory", 500) == 150


def test_a_later_owner_gets_a_part_of_the_rest() -> None:
    pool = Pool(300)
    pool.take_up_to("mallory", 500)
    assert pool.take_up_to("alice", 10) == 10
    assert pool.take_up_to("bob", 500) == 70
    assert pool.take_up_to("carol", 500) > 0


def test_what_was_given_back_can_be_taken_again() -> None:
    pool = Pool(10)
    assert pool.take_up_to("alice", 5) == 5
    assert not pool.take("alice", 1)
    pool.give_back("alice", 1)
    assert pool.take("alice", 1)
    pool.give_back("alice", 5)
    assert pool.used == 0


def test_the_smallest_pool_serves_one_after_the_other() -> None:
    pool = Pool(1)
    assert pool.take("alice", 1)
    assert not pool.take("bob", 1)
    pool.give_back("alice", 1)
    assert pool.take("bob", 1)


def test_one_amount_above_the_share_is_given_to_an_owner_that_holds_nothing() -> None:
    pool = Pool(100)
    assert pool.take("alice", 60)
    assert not pool.take("alice", 1)
    assert pool.take("bob", 40)


def test_one_amount_above_the_whole_pool_is_given_when_nothing_is_held() -> None:
    pool = Pool(100)
    assert pool.take("alice", 1_000)
    assert not pool.take("bob", 1)
    pool.give_back("alice", 1_000)
    assert pool.take("bob", 1)


def test_all_accounts_of_a_person_are_one_owner() -> None:
    assert owner_of(Account(pk=1, owner_id=7)) == owner_of(Account(pk=2, owner_id=7))
    assert owner_of(Account(pk=1)) != owner_of(Account(pk=2))
    assert owner_of(Account(pk=7)) != owner_of(Account(pk=1, owner_id=7))


@contextmanager
def descriptors_limited_to(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("limit", "ceiling"), [(1_024, 824), (300, 150), (20, 10)])
def test_some_file_descriptors_are_reserved(limit: int, ceiling: int) -> None:
    with descriptors_limited_to(limit):
        assert connection_ceiling() == ceiling
