"""Open alarms are shown to staff who may view them, on the pages and in the admin."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from outbox.db.clock import database_now
from outbox.models import Alarm, AlarmNotification, Channel, Message
from outbox.reasons import Reason, ReasonCode
from tests.integration.web.conftest import signed_in, staff_member

pytestmark = pytest.mark.django_db
HOSTILE = "<b>evil\u202e"
ADMIN_PAGES = ("/admin/", "/admin/outbox/", "/admin/outbox/message/", "/admin/outbox/alarm/")


@pytest.fixture
def alarm() -> Alarm:
    """An open alarm that names an account of a user."""
    return opened("account_blocked", "7", "warning", {"account": HOSTILE, "duration": 420})


def opened(kind: str, key: str, severity: str, arguments: dict[str, object]) -> Alarm:
    now = database_now("default")
    defaults = {"server": "mail.example.com:25", "reason": "login_rejected"}
    return Alarm.objects.create(
        kind=kind,
        key=key,
        severity=severity,
        arguments=defaults | arguments if kind == "account_blocked" else {},
        since=now,
        last_seen=now,
    )


def shown(client: Client, page: str) -> str:
    response = client.get(page)
    assert response.status_code == 200
    return response.content.decode()


def test_staff_with_the_permission_see_alarms_on_every_page(alarm: Alarm) -> None:
    client = signed_in(staff_member("view_alarm", "view_destination"))
    page = shown(client, "/preferences/")

    assert "has needed attention for 7 minutes" in page
    assert "The server rejected the login." in page
    assert "Fix the account" in page
    assert "&lt;b&gt;evil" in page
    assert "\u202e" not in page
    link = "/admin/outbox/destination/?circuit=attention"
    assert f'href="{link}"' in page
    assert client.get(link).status_code == 200


def test_other_users_see_none(alarm: Alarm, django_assert_max_num_queries: object) -> None:
    for client in (signed_in(User.objects.create_user("ann")), signed_in(staff_member())):
        assert "needed attention" not in shown(client, "/preferences/")


def test_three_are_shown_critical_ones_first(alarm: Alarm) -> None:
    for key in ("8", "9", "10"):
        opened("account_blocked", key, "warning", {"account": key, "duration": 60})
    opened("no_worker", "", "critical", {})
    page = shown(signed_in(staff_member("view_alarm")), "/preferences/")

    assert page.count("alarm-notice") == 3
    assert page.index("No worker is running") < page.index("needed attention")
    assert "2 more alarms" in page


def test_a_cleared_alarm_is_not_shown(alarm: Alarm) -> None:
    Alarm.objects.update(cleared_at=database_now("default"))

    assert "needed attention" not in shown(signed_in(staff_member("view_alarm")), "/preferences/")


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_the_admin_shows_alarms(alarm: Alarm, page: str) -> None:
    client = signed_in(User.objects.create_superuser("root"))

    found = shown(client, page)
    assert "has needed attention for 7 minutes" in found
    assert "&lt;b&gt;evil" in found


def test_the_page_of_a_message_shows_alarms(alarm: Alarm, mail: Message) -> None:
    client = signed_in(User.objects.create_superuser("root"))

    page = shown(client, f"/admin/outbox/message/{mail.pk}/change/")
    assert "has needed attention for 7 minutes" in page


def test_the_admin_hides_alarms_from_staff_without_the_permission(alarm: Alarm) -> None:
    client = signed_in(staff_member("view_message"))

    assert "needed attention" not in shown(client, "/admin/outbox/message/")


def test_the_page_of_an_alarm_shows_its_notifications(alarm: Alarm) -> None:
    now = database_now("default")
    AlarmNotification.objects.create(
        alarm=alarm,
        channel=Channel.HTTP,
        failed_at=now,
        failure=Reason(ReasonCode.WEBHOOK_NOT_HTTP),
    )
    client = signed_in(User.objects.create_superuser("root"))
    page = shown(client, f"/admin/outbox/alarm/{alarm.pk}/change/")

    assert "The response is not valid HTTP." in page
    assert "HTTP call" in page


@pytest.mark.parametrize("kind", ["open", "cleared"])
def test_alarms_are_filtered_by_state(alarm: Alarm, kind: str) -> None:
    client = signed_in(User.objects.create_superuser("root"))
    page = shown(client, f"/admin/outbox/alarm/?state={kind}")

    assert (f"/admin/outbox/alarm/{alarm.pk}/change/" in page) is (kind == "open")


def test_every_page_that_an_alarm_names_exists() -> None:
    from django.urls import reverse

    from outbox.api.alarms.conditions import CONDITIONS

    client = signed_in(User.objects.create_superuser("root"))
    for condition in CONDITIONS:
        if condition.page:
            response = client.get(f"{reverse(condition.page)}?{condition.query}")
            assert response.status_code == 200, condition.kind


def test_notices_are_in_chinese(alarm: Alarm) -> None:
    client = signed_in(staff_member("view_alarm"))
    page = client.get("/preferences/", headers={"accept-language": "zh-hans"}).content.decode()

    assert "需要处理，已持续 7 分钟" in page
