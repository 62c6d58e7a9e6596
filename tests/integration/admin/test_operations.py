"""The operations dashboard: who sees it, what it shows, and what it costs."""

import datetime as dt
import re
from collections import Counter

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox import api
from outbox.admin.operations import dashboard
from outbox.admin.operations.charts import round_up, stacked
from outbox.api.times import format_clock
from outbox.db.clock import database_now
from outbox.delivery import snapshot
from outbox.mail.reply_kinds import kind_of_reply
from outbox.mail.server_replies import FailureKind, NormalizedReply, normalized_reply
from outbox.models import (
    Account,
    Alarm,
    AlarmKind,
    Circuit,
    Destination,
    InboundReport,
    Message,
    Pause,
    QueueSnapshot,
    Recipient,
    Severity,
    Slot,
    Worker,
)
from outbox.models.delivery_count import CountKey, add
from outbox.models.reply_group import store
from outbox.reasons import Reason, ReasonCode
from tests.integration.admin.conftest import queue

PAGE = "/admin/outbox/operations/"
LIVE = f"{PAGE}live/"
USING = "default"
MINUTE = dt.timedelta(minutes=1)
UNKNOWN = (550, "5.1.1", "5.1.1 User unknown in table 17")
SPAM = (550, "5.7.1", "5.7.1 This message looks like spam")
BLOCKED = (554, "5.7.1", "5.7.1 Client host blocked using zen.spamhaus.org")


def count(outcome: str, number: int, *, ago: int = 2, group: int = 0, worker: int = 1) -> None:
    minute = database_now().replace(second=0, microsecond=0) - ago * MINUTE
    add({CountKey(minute, worker, 1, "example.net", outcome, group): number}, USING)


def group(reply: tuple[int, str, str]) -> int:
    store([(normalized_reply(*reply), kind_of_reply(*reply))], USING)
    return normalized_reply(*reply).key


def test_bounces_that_no_rule_explains_are_counted(client: Client, busy: Account) -> None:
    for number in range(3):
        InboundReport.objects.create(
            kind="bounce", text=f"Wibble {number}x77 wobble & co", at=database_now(USING)
        )
    InboundReport.objects.create(kind="bounce", text="Known", rule="full", at=database_now(USING))
    InboundReport.objects.create(kind="bounce", text="Old", at=database_now(USING) - 90 * MINUTE)
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(PAGE).content.decode()
    section = page.partition("Bounces that no rule explains")[2].partition("</section>")[0]
    assert "wibble … wobble &amp; co" in section
    assert re.findall(r"<td>(\d+)</td>", section) == ["3"]


@pytest.fixture
def busy(account: Account) -> Account:
    """Outcomes, failures of each kind, a blocked destination, a worker and an alarm."""
    now = database_now()
    queue(account, "ann@qq.com", "bob@example.net")
    for reply in (UNKNOWN, SPAM, BLOCKED):
        count("failed", 3, group=group(reply))
    lost = NormalizedReply(0, "", ReasonCode.CONNECT_TIMEOUT)
    store([(lost, FailureKind.INFRASTRUCTURE)], USING)
    count("deferred", 4, group=lost.key)
    count("sent", 90)
    destination = Destination.objects.get(account=account)
    Destination.objects.filter(pk=destination.pk).update(
        circuit=Circuit.OPEN,
        circuit_until=now + 5 * MINUTE,
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED),
        circuit_needs_person=True,
    )
    worker = Worker.objects.create(
        host="mx1.example.com", pid=4711, started_at=now, heartbeat_at=now, lease_until=now + MINUTE
    )
    Slot.objects.create(destination=destination, number=1, worker=worker)
    Alarm.objects.create(
        kind=AlarmKind.NO_BEAT, severity=Severity.WARNING, since=now, last_seen=now
    )
    snapshot.refresh(USING)
    return account


@pytest.mark.parametrize(
    ("permissions", "is_staff", "expected"),
    [
        pytest.param((), True, 403, id="staff only"),
        pytest.param(("view_alarm", "view_worker"), True, 403, id="other permissions"),
        pytest.param(("view_message",), True, 403, id="the accounts of groups only"),
        pytest.param(("view_message", "view_all_accounts"), False, 302, id="not staff"),
        pytest.param(("view_message", "view_all_accounts"), True, 200, id="viewer"),
        pytest.param(("change_message", "view_all_accounts"), True, 200, id="operator"),
    ],
)
def test_a_permission_opens(
    permissions: tuple[str, ...], is_staff: bool, expected: int, db: None
) -> None:
    user = User.objects.create_user("user", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)

    assert client.get(PAGE).status_code == expected
    index = client.get("/admin/", follow=True).content.decode()
    assert (f'href="{PAGE}"' in index) is (expected == 200)
    part = client.get(LIVE)
    if is_staff:
        assert part.status_code == expected
    else:  # htmx loads the whole page, which asks to sign in
        assert part["HX-Refresh"] == "true"
        assert not part.content


def text_of(client: Client, address: str = PAGE, form: dict[str, str] | None = None) -> str:
    """Return the text of the page, or of the response to a form, without tags, in one line."""
    response = client.get(address) if form is None else client.post(address, form, follow=True)
    shown = response.content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))


def test_an_empty_outbox_has_a_dashboard(onlooker: Client) -> None:
    text = text_of(onlooker)

    for expected in (
        "No alarm is open.",
        "The sweep has not counted the queue yet.",
        "Nothing was delivered in this period.",
        "No account has sent anything yet.",
        "Nothing failed in this period.",
        "No worker is running.",
    ):
        assert expected in text


@pytest.mark.usefixtures("busy")
def test_the_dashboard_shows_what_blocks_delivery(onlooker: Client) -> None:
    text = text_of(onlooker)

    for expected in (
        "Celery beat",  # the alarm
        "Recipients in the queue 2",
        "QQ Mail",
        "example.net",
        "9.1%",  # 9 of 99
        "1 of 10",  # connections
        "The server rejected the login.",
        "needs attention",
        "user unknown in table",
        "looks like spam",
        "client host blocked",
        "mx1.example.com 4711 running",
    ):
        assert expected in text
    titles = [text.index(f"{kind} ") for kind in ("Recipient 3", "Content 3", "Infrastructure 7")]
    assert titles == sorted(titles)


@pytest.mark.usefixtures("busy")
def test_the_part_that_refreshes_is_the_page_without_its_frame(onlooker: Client) -> None:
    page = onlooker.get(f"{PAGE}?period=day").content.decode()
    part = onlooker.get(f"{LIVE}?period=day").content.decode()

    assert part.lstrip().startswith('<div id="live"')
    assert f'hx-get="{LIVE}?period=day"' in page
    assert "Last 24 hours" in part
    assert "style=" not in part  # the policy of the site forbids it


@pytest.mark.usefixtures("busy")
def test_it_shows_the_first_of_many_destinations_and_replies(
    onlooker: Client, busy: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "The first destinations are shown" not in text_of(onlooker)
    Destination.objects.create(account=busy, key="unblocked.example.net")
    monkeypatch.setattr(dashboard, "DESTINATIONS_SHOWN", 1)
    count("failed", 1, group=group((550, "5.1.1", "5.1.1 Mailbox disabled")))
    monkeypatch.setattr(dashboard, "REPLIES_SHOWN", 1)
    text = text_of(onlooker)
    assert "unblocked.example.net" not in text
    assert "Mailbox disabled".lower() not in text.lower()
    assert text.count("The first destinations are shown") == 1
    assert text.count("The most frequent replies are shown") >= 1


def test_it_says_that_numbers_are_estimated(onlooker: Client, busy: Account) -> None:
    snapshot.refresh(USING)
    assert "estimated from a sample" not in text_of(onlooker)
    QueueSnapshot.objects.update(one_in=10)
    assert text_of(onlooker).count("estimated from a sample") == 2


def test_alarms_need_their_permission(db: None) -> None:
    user = User.objects.create_user("user", is_staff=True)
    names = ("view_message", "view_all_accounts")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)

    assert "Open alarms" not in text_of(client, LIVE)


def queries(client: Client, period: str) -> int:
    """Return the number of queries of the page, besides those for PostgreSQL's time."""
    with CaptureQueriesContext(connection) as found:
        assert client.get(f"{LIVE}?period={period}").status_code == 200
    return sum("clock_timestamp" not in one["sql"] for one in found)


@pytest.mark.parametrize("period", ["hour", "day", "week"])
def test_the_number_of_queries_is_constant(onlooker: Client, busy: Account, period: str) -> None:
    few = queries(onlooker, period)
    now = database_now()
    for number in range(5):
        other = Account.objects.create(name=f"a{number}", from_address="a@qq.com", host="h")
        Destination.objects.create(account=other)
        queue(other, f"x@host{number}.example")
        count("failed", 2, ago=number, group=group((550, "5.1.1", f"no {'abcde'[number]} here")))
        api.pause(other, reason="Why", actor=User.objects.create(username=f"u{number}"))
        Worker.objects.create(
            host=f"h{number}", pid=1, started_at=now, heartbeat_at=now, lease_until=now
        )
    QueueSnapshot.objects.update(next_at=now)
    snapshot.refresh(USING)

    assert queries(onlooker, period) == few <= 20


def test_a_pause_names_what_it_stops_once(onlooker: Client, busy: Account) -> None:
    api.pause(reason="Move of the data center")
    api.pause(tag="news", reason="Wrong list")
    text = text_of(onlooker)
    assert "everything Move of the data center" in text
    assert "tag “news” Wrong list" in text
    assert "tag tag" not in text


def test_a_pause_of_no_account_is_not_found(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser("root"))
    for key in ("0", "x", "9" * 5_000):
        assert client.get(f"{PAGE}pause/", {"account": key}).status_code == 404


def test_no_query_is_repeated(onlooker: Client, busy: Account) -> None:
    api.pause(busy, reason="Why")
    QueueSnapshot.objects.update(next_at=database_now())
    snapshot.refresh(USING)
    with CaptureQueriesContext(connection) as captured:
        assert onlooker.get(LIVE).status_code == 200
    asked = Counter(one["sql"] for one in captured)
    assert [sql for sql, times in asked.items() if times > 1] == []


@pytest.mark.usefixtures("busy")
def test_it_is_translated(onlooker: Client) -> None:
    onlooker.cookies["django_language"] = "zh-hans"
    text = text_of(onlooker)

    assert "运维" in text
    for english in (
        "Recipients in the queue",
        "Why messages are waiting",
        "Show messages",
        "Backlog",
    ):
        assert english not in text


def test_a_group_leads_to_its_messages(onlooker: Client, busy: Account) -> None:
    message = queue(busy, "carl@example.net")
    Recipient.objects.filter(message=message).update(reply_key=group(UNKNOWN), reply_code=550)
    shown = onlooker.get(PAGE).content.decode()
    address = f"/admin/outbox/message/?reply={group(UNKNOWN)}"

    assert f'href="{address}"' in shown
    assert found_by(onlooker, address) == [message.pk]
    assert found_by(onlooker, "/admin/outbox/message/?reply=17") == []
    assert found_by(onlooker, "/admin/outbox/message/?reply=junk") == []
    assert "user unknown in table" in onlooker.get(address).content.decode()


def found_by(client: Client, address: str) -> list[int]:
    response = client.get(address)
    assert response.status_code == 200
    rows: list[Message] = response.context["cl"].result_list
    return [row.pk for row in rows]


def test_bars_are_stacked_and_fit() -> None:
    chart = stacked([("good", "sent"), ("bad", "failed")], [(30, 10), (0, 0), (50, 0)], top_min=5)

    assert (chart.top, chart.view_box) == (50, "0 0 12 100")
    assert chart.series[0].path == "M0 100.00v-60.00h3v60.00zM8 100.00v-100.00h3v100.00z"
    assert chart.series[1].path == "M0 40.00v-20.00h3v20.00z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (1, 1), (1.01, 2), (3, 5), (7, 10), (10, 10), (11, 20), (0.3, 0.5), (999, 1000)],
)
def test_the_axis_ends_at_a_round_number(value: float, expected: float) -> None:
    assert round_up(value) == pytest.approx(expected)


def test_a_pause_is_asked_for_shown_and_ended(staff: Client, busy: Account) -> None:
    address = f"{PAGE}pause/?account={busy.pk}"
    assert f'href="{address}"' in staff.get(PAGE).content.decode()
    assert "Pause delivery with the account" in text_of(staff, address)
    assert "This field is required." in staff.post(address, {"hours": "4"}).content.decode()
    assert not Pause.objects.exists()

    shown = staff.post(address, {"reason": "Wrong <list>", "hours": "4"}, follow=True)
    text = shown.content.decode()
    assert "Delivery is paused." in text
    assert "Wrong &lt;list&gt;" in text
    paused = Pause.objects.get()
    assert (paused.account, paused.created_by) == (busy, User.objects.get(username="staff"))
    assert paused.until is not None
    assert f"Paused by staff until {format_clock(paused.until)}" in text_of(staff)

    resume = f"{PAGE}resume/{paused.pk}/"
    assert f'href="{resume}"' in text
    assert "Wrong &lt;list&gt;" in staff.get(resume).content.decode()
    assert "Delivery is resumed." in staff.post(resume, follow=True).content.decode()
    assert "The pause had already ended." in staff.post(resume, follow=True).content.decode()


def test_a_tag_is_paused_and_resumed(staff: Client, busy: Account) -> None:
    address = f"{PAGE}pause/?tag="
    assert f'href="{address}"' in staff.get(PAGE).content.decode()
    assert "Pause delivery of messages with a tag?" in text_of(staff, address)
    assert 'value="news"' in staff.get(f"{address}news").content.decode()
    assert "This field is required." in text_of(staff, address, {"reason": "Wrong list"})
    assert not Pause.objects.exists()

    fields = {"tag": "news", "reason": "Wrong list", "hours": ""}
    assert "Delivery is paused." in text_of(staff, address, fields)
    assert "tag “news”" in text_of(staff)
    paused = Pause.objects.get()
    assert (paused.scope, paused.tag, paused.until) == ("tag", "news", None)
    resume = f"{PAGE}resume/{paused.pk}/"
    assert "Delivery is resumed." in staff.post(resume, follow=True).content.decode()
    assert api.pauses() == []


def test_everything_is_paused_without_an_end(staff: Client) -> None:
    staff.post(f"{PAGE}pause/", {"reason": "Wrong list", "hours": ""})

    paused = Pause.objects.get()
    assert (paused.scope, paused.until) == ("everything", None)
    assert staff.get(f"{PAGE}pause/?account=999").status_code == 404
    assert staff.get(f"{PAGE}pause/?account=x").status_code == 404


def test_a_worker_is_drained_and_claims_again(staff: Client, busy: Account) -> None:
    worker = Worker.objects.get()
    address = f"{PAGE}drain/{worker.pk}/"
    assert f'href="{address}"' in staff.get(PAGE).content.decode()
    assert "Drain worker" in text_of(staff, address)

    assert "The worker is being drained." in staff.post(address, follow=True).content.decode()
    assert Worker.objects.get().drain_requested_at is not None
    assert "draining" in text_of(staff)
    Slot.objects.all().delete()
    assert "drained" in text_of(staff)
    assert "claims messages again" in staff.post(address, follow=True).content.decode()
    assert Worker.objects.get().drain_requested_at is None
    assert staff.get(f"{PAGE}drain/999/").status_code == 404


def test_an_open_circuit_is_probed_at_once(staff: Client, busy: Account) -> None:
    blocked = Destination.objects.get(circuit=Circuit.OPEN)
    address = f"{PAGE}probe/{blocked.pk}/"
    assert f'href="{address}"' in staff.get(PAGE).content.decode()
    assert "Connect to" in text_of(staff, address)

    assert "A worker connects now." in staff.post(address, follow=True).content.decode()
    blocked.refresh_from_db()
    assert blocked.circuit == Circuit.CLOSED
    assert f'href="{address}"' not in staff.get(PAGE).content.decode()
    assert "closed already" in staff.post(address, follow=True).content.decode()


def test_a_viewer_sees_pauses_and_changes_none(onlooker: Client, busy: Account) -> None:
    paused = api.pause(busy, reason="Wrong list")
    text = text_of(onlooker)
    assert "Wrong list" in text
    assert "Resume delivery" not in text
    assert "Pause all" not in text
    worker, destination = Worker.objects.get(), Destination.objects.get(circuit=Circuit.OPEN)
    others = (f"{PAGE}drain/{worker.pk}/", f"{PAGE}probe/{destination.pk}/")
    for address in (f"{PAGE}pause/", f"{PAGE}resume/{paused.pk}/", *others):
        assert onlooker.post(address, {"reason": "x"}).status_code == 403
    assert [one.pk for one in api.pauses()] == [paused.pk]
