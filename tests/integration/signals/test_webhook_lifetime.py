"""Calls of webhooks are kept for a while once they are over, and then go by themselves."""

import datetime as dt

import pytest
from django.conf import LazySettings

from outbox import api
from outbox.db.clock import database_now
from outbox.delivery.sweep import sweep
from outbox.models import Webhook, WebhookCall
from outbox.webhooks import calls

pytestmark = pytest.mark.django_db
LIFETIME = dt.timedelta(days=30)


@pytest.fixture
def hook() -> Webhook:
    return Webhook.objects.create(name="the warehouse", url="http://127.0.0.1:9/")


def a_call(hook: Webhook, age: dt.timedelta, *, taken: bool = False, due: bool = False) -> int:
    now = database_now("default")
    call = WebhookCall.objects.create(
        webhook=hook,
        body="{}",
        created_at=now - age,
        taken_at=now - age if taken else None,
        next_attempt_at=now if due else None,
    )
    return call.pk


def kept() -> list[int]:
    return list(WebhookCall.objects.values_list("pk", flat=True))


def test_what_is_over_and_old_is_deleted_by_the_sweep(hook: Webhook) -> None:
    a_call(hook, LIFETIME, taken=True)
    a_call(hook, LIFETIME)  # after its last attempt
    young = a_call(hook, LIFETIME - dt.timedelta(minutes=1), taken=True)

    assert sweep("default").deleted == 2
    assert kept() == [young]


def test_what_is_still_to_be_tried_is_kept_however_old(hook: Webhook) -> None:
    waiting = a_call(hook, 100 * LIFETIME, due=True)
    again = WebhookCall.objects.get(pk=a_call(hook, LIFETIME))
    assert api.call_again(again)

    assert sweep("default").deleted == 0
    assert kept() == [waiting, again.pk]


def test_the_setting_says_how_old(hook: Webhook, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "WEBHOOK_CALL_RETENTION": 60}
    a_call(hook, dt.timedelta(minutes=1), taken=True)
    young = a_call(hook, dt.timedelta(seconds=10), taken=True)

    sweep("default")

    assert kept() == [young]


def test_a_sweep_deletes_the_oldest_few(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_DELETED_AT_ONCE", 2)
    later = a_call(hook, LIFETIME, taken=True)
    for days in (1, 2):
        a_call(hook, LIFETIME + dt.timedelta(days=days), taken=True)

    assert sweep("default").deleted == 2
    assert kept() == [later]
    sweep("default")
    assert kept() == []
