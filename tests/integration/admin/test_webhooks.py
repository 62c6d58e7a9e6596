"""Webhooks in the admin: editing them, and viewing and repeating calls; secrets stay hidden."""

import datetime as dt
import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from outbox.models import Webhook, WebhookCall
from outbox.reasons import quoted

LIST = "/admin/outbox/webhook/"
CALLS = "/admin/outbox/webhookcall/"
SECRET = "known to two programs only"


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
    body = {"type": "recipient.failed", "data": {"address": "jané@example.com"}}
    made = {"body": json.dumps(body), "created_at": timezone.now()} | fields
    return WebhookCall.objects.create(webhook=hook, **made)


@pytest.fixture
def failed(hook: Webhook) -> WebhookCall:
    return call(hook, attempts=12, reply_code=503, result=quoted("503 Service Unavailable"))


def test_a_webhook_is_stored_with_its_secret_encrypted(staff: Client) -> None:
    response = staff.post(f"{LIST}add/", form(new_secret=SECRET, states=["failed", "bounced"]))

    assert response.status_code == 302
    hook = Webhook.objects.get()
    assert (hook.secret, hook.states) == (SECRET, ["failed", "bounced"])
    assert SECRET not in hook.secret_encrypted


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({}, "Enter a secret.", id="no secret"),
        pytest.param({"new_secret": "x" * 23}, "24 to 64 bytes", id="a short one"),
        pytest.param({"new_secret": "x" * 65}, "24 to 64 bytes", id="a long one"),
        pytest.param({"new_secret": "whsec_c2hvcnQ="}, "This one has 5.", id="a short key"),
        pytest.param({"url": "http://example.com/"}, "begins with “https://”", id="no TLS"),
        pytest.param(
            {"new_secret": "whsec_no base64, that"}, "Enter Base64 after", id="a broken one"
        ),
        pytest.param({"states": ["sending"]}, "not one of the available", id="no news"),
        pytest.param({"url": "file:///etc/passwd"}, "valid URL", id="no web address"),
        pytest.param({"url": "https://a:b@example.com/"}, "name and password", id="a login in it"),
    ],
)
def test_an_invalid_webhook_is_reported_and_not_saved(
    fields: dict[str, Any], said: str, staff: Client
) -> None:
    secret = {} if "Enter a secret" in said else {"new_secret": SECRET}

    shown = staff.post(f"{LIST}add/", form(**(secret | fields))).content.decode()

    assert said in shown
    assert SECRET not in shown
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(("typed", "kept"), [("", SECRET), ("another one, which is as long",) * 2])
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
    assert '<div class="readonly">set</div>' in shown


def test_a_list_does_not_show_the_path_of_a_url(onlooker: Client, hook: Webhook) -> None:
    shown = onlooker.get(LIST).content.decode()

    assert "warehouse.example.com" in shown
    assert "in-the-url" not in shown


def test_the_list_shows_webhooks_with_waiting_calls(staff: Client, hook: Webhook) -> None:
    call(hook, next_attempt_at=timezone.now())
    Webhook.objects.create(name="idle", url="https://example.com/")

    page: Any = staff.get(LIST)

    waiting = {row.name: row.waiting for row in page.context["cl"].result_list}
    assert waiting == {"the warehouse": True, "idle": False}


def test_a_webhook_is_deleted_with_its_calls(staff: Client, failed: WebhookCall) -> None:
    page = f"{LIST}{failed.webhook_id}/delete/"
    assert staff.get(page).status_code == 200

    staff.post(page, {"post": "yes"})

    assert not Webhook.objects.exists()
    assert not WebhookCall.objects.exists()


def test_calls_are_filtered_by_state(onlooker: Client, hook: Webhook, failed: WebhookCall) -> None:
    waiting = call(hook, next_attempt_at=timezone.now() + dt.timedelta(hours=1))
    accepted = call(hook, taken_at=timezone.now())

    found = {
        state: [row.pk for row in onlooker.get(CALLS, {"state": state}).context["cl"].result_list]
        for state in ("waiting", "failed", "accepted")
    }

    assert found == {"waiting": [waiting.pk], "failed": [failed.pk], "accepted": [accepted.pk]}


def test_a_call_shows_its_content_and_the_last_response(
    onlooker: Client, failed: WebhookCall
) -> None:
    in_list = onlooker.get(CALLS).content.decode()
    page = onlooker.get(f"{CALLS}{failed.pk}/change/").content.decode()

    for shown in (in_list, page):
        assert "503 Service Unavailable" in shown
        assert "failed" in shown
        assert "jané@example.com" in shown


def repeat(client: Client, *calls: WebhookCall) -> str:
    chosen = {"action": "call_again", "_selected_action": [each.pk for each in calls]}
    return client.post(CALLS, chosen, follow=True).content.decode()


def test_a_failed_call_can_be_repeated(staff: Client, failed: WebhookCall) -> None:
    assert "1 call is retried" in repeat(staff, failed)

    failed.refresh_from_db()
    assert failed.attempts == 0
    assert failed.next_attempt_at is not None
    assert failed.next_attempt_at <= timezone.now()


def test_an_accepted_call_is_not_repeated(staff: Client, hook: Webhook) -> None:
    accepted = call(hook, taken_at=timezone.now())

    assert "0 calls are retried" in repeat(staff, accepted)

    accepted.refresh_from_db()
    assert accepted.next_attempt_at is None


def test_a_viewer_cannot_repeat_a_call(onlooker: Client, failed: WebhookCall) -> None:
    repeat(onlooker, failed)

    failed.refresh_from_db()
    assert failed.next_attempt_at is None
    assert onlooker.get(f"{LIST}add/").status_code == 403
    assert onlooker.get(f"{LIST}{failed.webhook_id}/change/").status_code == 200


def test_staff_without_permission_see_nothing(failed: WebhookCall) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(
        *Permission.objects.filter(codename__in=("view_message", "view_all_accounts"))
    )
    client = Client()
    client.force_login(user)

    for page in (LIST, CALLS, f"{CALLS}{failed.pk}/change/"):
        assert client.get(page).status_code == 403
