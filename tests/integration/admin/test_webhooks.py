"""Webhooks are edited here, and their calls read and made again; no page gives a secret away."""

import datetime as dt
import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from outbox.models import Webhook, WebhookCall

LIST = "/admin/outbox/webhook/"
CALLS = "/admin/outbox/webhookcall/"
SECRET = "known to two only"


def form(**fields: Any) -> dict[str, Any]:
    plain = {
        "name": "the warehouse",
        "url": "https://warehouse.example.com/hook",
        "is_active": "on",
    }
    return {**plain, **fields}


@pytest.fixture
def hook(db: None) -> Webhook:
    hook = Webhook(name="the warehouse", url="https://warehouse.example.com/hook?key=in-the-url")
    hook.secret = SECRET
    hook.save()
    return hook


def call(hook: Webhook, **fields: Any) -> WebhookCall:
    told = {"type": "recipient.failed", "data": {"address": "jané@example.com"}}
    made = {"body": json.dumps(told), "created_at": timezone.now()} | fields
    return WebhookCall.objects.create(webhook=hook, **made)


@pytest.fixture
def given_up(hook: Webhook) -> WebhookCall:
    return call(hook, attempts=12, reply_code=503, detail="503 Service Unavailable")


def test_a_webhook_is_stored_with_its_secret_encrypted(staff: Client) -> None:
    answer = staff.post(f"{LIST}add/", form(new_secret=SECRET, states=["failed", "bounced"]))

    assert answer.status_code == 302
    hook = Webhook.objects.get()
    assert (hook.secret, hook.states) == (SECRET, ["failed", "bounced"])
    assert SECRET not in hook.secret_encrypted


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({}, "Without a secret", id="no secret"),
        pytest.param({"new_secret": "short"}, "at least 16 characters", id="a short one"),
        pytest.param({"new_secret": "whsec_no base64, that"}, "is not Base64", id="a broken one"),
        pytest.param({"states": ["sending"]}, "not one of the available", id="no news"),
        pytest.param({"url": "file:///etc/passwd"}, "valid URL", id="no web address"),
        pytest.param({"url": "https://a:b@example.com/"}, "name and password", id="a login in it"),
    ],
)
def test_a_mistake_is_told_and_saves_nothing(
    fields: dict[str, Any], said: str, staff: Client
) -> None:
    secret = {} if "Without" in said else {"new_secret": SECRET}

    shown = staff.post(f"{LIST}add/", form(**(secret | fields))).content.decode()

    assert said in shown
    assert SECRET not in shown
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("typed", "kept"), [("", SECRET), ("another one, as long", "another one, as long")]
)
def test_an_empty_field_keeps_the_secret(
    typed: str, kept: str, staff: Client, hook: Webhook
) -> None:
    staff.post(f"{LIST}{hook.pk}/change/", form(new_secret=typed, name="renamed"))

    hook.refresh_from_db()
    assert (hook.secret, hook.name, hook.states) == (kept, "renamed", [])


def test_no_page_shows_the_secret(staff: Client, hook: Webhook) -> None:
    pages = [LIST, f"{LIST}{hook.pk}/change/", f"{LIST}{hook.pk}/history/"]

    shown = "".join(staff.get(page).content.decode() for page in pages)

    assert SECRET not in shown
    assert hook.secret_encrypted not in shown
    assert "there is one" in shown


def test_a_list_shows_no_key_that_stands_in_a_url(onlooker: Client, hook: Webhook) -> None:
    shown = onlooker.get(LIST).content.decode()

    assert "warehouse.example.com" in shown
    assert "in-the-url" not in shown


def test_the_list_says_where_calls_wait(staff: Client, hook: Webhook) -> None:
    call(hook, next_attempt_at=timezone.now())
    Webhook.objects.create(name="idle", url="https://example.com/")

    page: Any = staff.get(LIST)

    waiting = {row.name: row.waiting for row in page.context["cl"].result_list}
    assert waiting == {"the warehouse": True, "idle": False}


def test_a_webhook_goes_with_all_its_calls(staff: Client, given_up: WebhookCall) -> None:
    page = f"{LIST}{given_up.webhook_id}/delete/"
    assert staff.get(page).status_code == 200

    staff.post(page, {"post": "yes"})

    assert not Webhook.objects.exists()
    assert not WebhookCall.objects.exists()


def test_calls_are_told_apart_by_what_became_of_them(
    onlooker: Client, hook: Webhook, given_up: WebhookCall
) -> None:
    waiting = call(hook, next_attempt_at=timezone.now() + dt.timedelta(hours=1))
    taken = call(hook, taken_at=timezone.now())

    found = {
        state: [row.pk for row in onlooker.get(CALLS, {"state": state}).context["cl"].result_list]
        for state in ("waiting", "given-up", "taken")
    }

    assert found == {"waiting": [waiting.pk], "given-up": [given_up.pk], "taken": [taken.pk]}


def test_a_call_shows_what_was_told_and_what_was_answered(
    onlooker: Client, given_up: WebhookCall
) -> None:
    in_list = onlooker.get(CALLS).content.decode()
    page = onlooker.get(f"{CALLS}{given_up.pk}/change/").content.decode()

    for shown in (in_list, page):
        assert "503 Service Unavailable" in shown
        assert "given up" in shown
        assert "jané@example.com" in shown


def again(client: Client, *calls: WebhookCall) -> str:
    chosen = {"action": "call_again", "_selected_action": [each.pk for each in calls]}
    return client.post(CALLS, chosen, follow=True).content.decode()


def test_a_call_that_was_given_up_can_be_made_again(staff: Client, given_up: WebhookCall) -> None:
    assert "1 call is made again" in again(staff, given_up)

    given_up.refresh_from_db()
    assert given_up.attempts == 0
    assert given_up.next_attempt_at is not None
    assert given_up.next_attempt_at <= timezone.now()


def test_what_was_taken_is_not_told_again(staff: Client, hook: Webhook) -> None:
    taken = call(hook, taken_at=timezone.now())

    assert "0 calls are made again" in again(staff, taken)

    taken.refresh_from_db()
    assert taken.next_attempt_at is None


def test_who_may_only_look_calls_nobody(onlooker: Client, given_up: WebhookCall) -> None:
    again(onlooker, given_up)

    given_up.refresh_from_db()
    assert given_up.next_attempt_at is None
    assert onlooker.get(f"{LIST}add/").status_code == 403
    assert onlooker.get(f"{LIST}{given_up.webhook_id}/change/").status_code == 200


def test_who_may_not_look_sees_nothing(given_up: WebhookCall) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename="view_message"))
    client = Client()
    client.force_login(user)

    for page in (LIST, CALLS, f"{CALLS}{given_up.pk}/change/"):
        assert client.get(page).status_code == 403
