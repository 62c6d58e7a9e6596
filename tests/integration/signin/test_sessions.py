"""Sign-in sessions: their list, their limits, and how they are ended."""

import datetime as dt

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from outbox.models import AuditAction, AuditEntry
from signin import sessions
from signin.models import SignInSession
from tests.integration.signin.conftest import PASSWORD, is_signed_in, sign_in

PAGE = "/accounts/security/"
HOUR = 3600


@pytest.fixture
def phone(alice: User) -> Client:
    return signed_in("Phone <b>", "198.51.100.1")


@pytest.fixture
def laptop(alice: User) -> Client:
    return signed_in("Laptop", "203.0.113.7")


def signed_in(browser: str, address: str) -> Client:
    client = Client(headers={"user-agent": browser}, REMOTE_ADDR=address)
    assert (
        client.post("/accounts/login/", {"username": "alice", "password": PASSWORD}).status_code
        == 302
    )
    client.get("/preferences/")
    return client


def age(client: Client, **seconds: float) -> None:
    """Move the beginning or the last use of the session into the past."""
    session = client.session
    state = session[sessions.STATE]
    session[sessions.STATE] = {name: at - seconds.get(name, 0) for name, at in state.items()}
    session.save()


def test_the_list_shows_each_session_of_the_user_only(
    phone: Client, laptop: Client, root: User
) -> None:
    other = Client(headers={"user-agent": "Of root"})
    sign_in(other, "root")
    other.get("/preferences/")
    page = laptop.get(PAGE).content.decode()
    assert "Phone &lt;b&gt;" in page
    assert "198.51.100.1" in page
    assert "Laptop" in page
    assert "Of root" not in page
    assert page.count("this session") == 1


def test_one_session_is_ended_at_once(phone: Client, laptop: Client) -> None:
    chosen = SignInSession.objects.get(address="198.51.100.1")
    laptop.post("/accounts/security/sessions/end/", {"session": chosen.pk})
    assert not is_signed_in(phone)
    assert is_signed_in(laptop)
    assert AuditEntry.objects.filter(action=AuditAction.SESSION_ENDED).count() == 1


def test_all_other_sessions_are_ended(phone: Client, laptop: Client) -> None:
    third = signed_in("Tablet", "192.0.2.1")
    laptop.post("/accounts/security/sessions/end/")
    assert [is_signed_in(each) for each in (phone, third, laptop)] == [False, False, True]


def test_a_user_cannot_end_the_session_of_another(phone: Client, root: User) -> None:
    other = Client()
    sign_in(other, "root")
    chosen = SignInSession.objects.get(user__username="alice")
    response = other.post("/accounts/security/sessions/end/", {"session": chosen.pk})
    assert response.status_code == 404
    assert is_signed_in(phone)


def test_a_session_without_activity_ends(laptop: Client, settings: LazySettings) -> None:
    settings.SESSION_IDLE_LIMIT = HOUR
    age(laptop, seen=HOUR - 60)
    assert is_signed_in(laptop)
    age(laptop, seen=HOUR + 60)
    assert not is_signed_in(laptop)
    assert "Your sign-in session has ended." in laptop.get("/accounts/login/").content.decode()


def test_a_session_that_was_never_used_ends_too(alice: User, settings: LazySettings) -> None:
    settings.SESSION_IDLE_LIMIT = HOUR
    client = Client()
    sign_in(client, "alice")
    age(client, began=HOUR + 60, seen=HOUR + 60)
    assert not is_signed_in(client)


def test_a_page_that_refreshes_itself_does_not_count_as_activity(
    laptop: Client, settings: LazySettings
) -> None:
    settings.SESSION_IDLE_LIMIT = HOUR
    age(laptop, seen=HOUR - 60)
    laptop.get("/folders/sent/rows/", headers={"hx-request": "true"})
    age(laptop, seen=120)
    assert not is_signed_in(laptop)


def test_a_session_in_use_ends_after_the_longest_duration(
    laptop: Client, settings: LazySettings
) -> None:
    age(laptop, began=settings.SESSION_COOKIE_AGE + 60, seen=120)
    assert not is_signed_in(laptop)


def test_a_request_within_a_minute_stores_nothing(laptop: Client) -> None:
    laptop.get("/preferences/")
    before = SignInSession.objects.get().seen_at
    laptop.get("/preferences/")
    assert SignInSession.objects.get().seen_at == before


def test_sign_out_and_a_changed_password_leave_the_list(phone: Client, laptop: Client) -> None:
    phone.post("/accounts/logout/")
    assert b"198.51.100.1" not in laptop.get(PAGE).content
    fields = {
        "old_password": PASSWORD,
        "new_password1": PASSWORD[::-1],
        "new_password2": PASSWORD[::-1],
    }
    assert laptop.post("/accounts/password_change/", fields).status_code == 302
    age(laptop, seen=120)
    laptop.get("/preferences/")
    assert laptop.get(PAGE).content.count(b">Laptop<") == 1


def test_ended_sessions_are_deleted_every_hour(laptop: Client, settings: LazySettings) -> None:
    SignInSession.objects.update(started_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    call_command("clearsessions")
    sessions.remove_old()
    assert not SignInSession.objects.exists()
    entry = settings.CELERY_BEAT_SCHEDULE["ended sign-in sessions"]
    assert entry["schedule"] == HOUR
