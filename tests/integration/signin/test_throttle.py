"""Attempts to sign in are limited by username and by network, at every page that asks."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from outbox.models import AuditAction, AuditEntry
from signin import throttle
from signin.models import AttemptCount
from signin.tasks import remove_old
from tests.integration.signin.conftest import (
    ADMIN_LOGIN,
    LOGIN,
    PASSWORD,
    is_signed_in,
    sign_in,
)

WRONG = "wrong password"
FREE = throttle.BY_NAME.free


def pass_time(**duration: float) -> None:
    """Move all limits into the past."""
    for row in AttemptCount.objects.all():
        row.last_at -= dt.timedelta(**duration)
        row.blocked_until = row.blocked_until and row.blocked_until - dt.timedelta(**duration)
        row.save()


@pytest.mark.parametrize("page", [LOGIN, ADMIN_LOGIN])
def test_after_some_wrong_passwords_the_right_one_waits_at_both_pages(
    client: Client, root: User, page: str
) -> None:
    statuses = [sign_in(client, "root", WRONG, page=page) for _ in range(FREE)]
    assert statuses == [200] * FREE
    for door in (LOGIN, ADMIN_LOGIN):
        response = client.post(door, {"username": "root", "password": PASSWORD})
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 16
        assert "Too many failed attempts." in response.content.decode()
    assert not is_signed_in(client)
    pass_time(seconds=16)
    assert sign_in(client, "root", page=page) == 302
    assert is_signed_in(client)


def test_the_wait_grows_and_is_limited() -> None:
    waits = [throttle.BY_NAME.wait(count) for count in range(1, 60)]
    assert waits[: FREE - 1] == [None] * (FREE - 1)
    seconds = [wait.total_seconds() for wait in waits if wait]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[-1]) == (15, 900)


@pytest.mark.parametrize("name", ["ALICE", " alice", "ａｌｉｃｅ"])
def test_another_spelling_of_the_name_is_not_free(client: Client, alice: User, name: str) -> None:
    for _ in range(FREE):
        sign_in(client, name, WRONG)
    assert sign_in(client, "alice") == 429


def test_a_network_is_limited_over_all_names(client: Client, alice: User) -> None:
    for number in range(throttle.BY_NETWORK.free):
        address = f"2001:db8:1:2::{number:x}"
        assert sign_in(client, f"user{number}", WRONG, address=address) == 200
    assert sign_in(client, "alice", address="2001:db8:1:2:ffff::1") == 429
    assert sign_in(client, "alice", address="2001:db8:1:3::1") == 302


def test_a_success_does_not_clear_the_network(client: Client, alice: User) -> None:
    """Otherwise a client with a user of its own could try others for ever."""
    for number in range(throttle.BY_NETWORK.free - 1):
        sign_in(client, f"user{number}", WRONG)
    assert sign_in(client, "alice") == 302
    assert sign_in(Client(), "bob", WRONG) == 200
    assert sign_in(Client(), "carol", WRONG) == 429


def test_a_forged_header_is_no_other_network(client: Client, alice: User) -> None:
    for number in range(throttle.BY_NETWORK.free):
        client.post(
            LOGIN,
            {"username": f"user{number}", "password": WRONG},
            REMOTE_ADDR="203.0.113.7",
            HTTP_X_FORWARDED_FOR=f"198.51.100.{number}",
        )
    assert sign_in(client, "alice") == 429


def test_failures_are_forgotten_after_a_day(client: Client, alice: User) -> None:
    for _ in range(FREE):
        sign_in(client, "alice", WRONG)
    pass_time(days=1.1)
    assert [sign_in(client, "alice", WRONG) for _ in range(FREE)] == [200] * FREE


@pytest.mark.django_db(transaction=True)
def test_attempts_at_the_same_time_are_not_free(alice: User) -> None:
    def attempt(_number: int) -> int:
        try:
            return sign_in(Client(), "alice", WRONG)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(attempt, range(24)))
    assert statuses.count(200) == FREE
    assert statuses.count(429) == 24 - FREE


def test_the_change_of_a_password_limits_attempts_at_the_old_one(
    client: Client, alice: User
) -> None:
    client.force_login(alice)
    fields = {"new_password1": "a new long password", "new_password2": "a new long password"}
    for _ in range(FREE):
        client.post("/accounts/password_change/", {"old_password": WRONG, **fields})
    page = client.post("/accounts/password_change/", {"old_password": PASSWORD, **fields})
    assert "Too many failed attempts." in page.content.decode()
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_the_confirmation_of_a_password_is_limited(client: Client, alice: User) -> None:
    client.force_login(alice)
    for _ in range(FREE):
        client.post("/reauthenticate/", {"confirmed_password": WRONG})
    response = client.post("/reauthenticate/", {"confirmed_password": PASSWORD})
    assert response.status_code == 429


def test_failures_and_blocked_attempts_are_recorded_without_what_was_typed(
    client: Client, alice: User
) -> None:
    sign_in(client, "my secret password", WRONG)
    for _ in range(FREE + 1):
        sign_in(client, "alice", WRONG)
    found = AuditEntry.objects.filter(action=AuditAction.SIGN_IN_FAILED)
    assert set(found.values_list("target_name", flat=True)) == {"alice", "unknown user"}
    assert set(found.values_list("address", flat=True)) == {"203.0.113.7"}
    assert AuditEntry.objects.filter(action=AuditAction.SIGN_IN_BLOCKED).count() == 1
    assert not AttemptCount.objects.filter(key__contains="secret").exists()


def test_attempts_that_wait_do_not_fill_the_disk(client: Client, alice: User) -> None:
    """Without a limit, each of them added rows for a name and for the audit log."""
    for number in range(throttle.BY_NETWORK.free + 12):
        sign_in(client, f"user{number}", WRONG)
    blocked = AuditEntry.objects.filter(action=AuditAction.SIGN_IN_BLOCKED)
    assert blocked.count() == 2  # the first and the tenth
    assert AttemptCount.objects.count() == throttle.BY_NETWORK.free + 1
    pass_time(seconds=10)
    assert sign_in(client, "user1", WRONG) == 200
    assert sign_in(client, "user1", WRONG) == 429
    assert blocked.count() == 3  # of the next wait


def test_sign_in_and_sign_out_are_recorded(client: Client, alice: User) -> None:
    sign_in(client, "alice")
    client.post("/accounts/logout/")
    actions = AuditEntry.objects.order_by("pk").values_list("action", "actor_name")
    assert list(actions) == [("sign_in", "alice"), ("sign_out", "alice")]


def test_old_counts_are_deleted(client: Client, alice: User) -> None:
    """Each name that a client types has a row, so they would fill the disk."""
    sign_in(client, "a name that no user has", WRONG)
    remove_old()
    assert AttemptCount.objects.exists()
    pass_time(days=1, seconds=1)
    remove_old()
    assert not AttemptCount.objects.exists()


def test_the_message_is_translated(client: Client, alice: User) -> None:
    for _ in range(FREE + 1):
        response = client.post(
            LOGIN,
            {"username": "alice", "password": WRONG},
            headers={"accept-language": "zh-hans"},
        )
    assert "请在 1 分钟后重试" in response.content.decode()


@pytest.mark.usefixtures("outbox_database")
def test_attempts_are_counted_in_the_database_of_the_users() -> None:
    counted = throttle.of_name("password", "alice", None)
    waits = [throttle.reserve(counted) for _ in range(throttle.BY_NAME.free + 1)]
    assert waits[-1] > 0
    assert AttemptCount.objects.using("default").get().count == throttle.BY_NAME.free
    throttle.succeed(counted)
    throttle.remove_old()
    assert not AttemptCount.objects.using("default").exists()
