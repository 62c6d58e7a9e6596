"""Destinations, workers and recipients in the admin; circuits can be closed."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.models import Account, Circuit, Destination, Message, Pause, Route, Worker
from outbox.models.mailbox import Mailbox
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.templatetags.outbox_display import clock
from tests.integration.admin.conftest import queue
from tests.integration.admin.test_accounts import form

LIST = "/admin/outbox/destination/"
PAUSES = ("everything", "account", "destination")


@pytest.fixture
def held(account: Account) -> Destination:
    """A destination whose circuit is open."""
    return Destination.objects.create(
        account=account,
        circuit=Circuit.OPEN,
        circuit_until=timezone.now(),
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED),
        circuit_needs_person=True,
    )


def close(client: Client, *chosen: Destination) -> str:
    data = {"action": "close_circuit", "_selected_action": [each.pk for each in chosen]}
    return client.post(LIST, data, follow=True).content.decode()


def test_the_list_shows_why_a_destination_is_blocked(onlooker: Client, held: Destination) -> None:
    shown = onlooker.get(LIST).content.decode()

    assert "The server rejected the login." in shown
    assert "mail.example.com:587" in shown


def test_a_destination_that_no_longer_fits_its_account_has_no_circuit(
    staff: Client, held: Destination
) -> None:
    until = timezone.now() + dt.timedelta(hours=1)
    Destination.objects.update(circuit_until=until)
    Account.objects.update(route=Route.DIRECT, host="")

    def found(circuit: str) -> list[Destination]:
        response: Any = staff.get(LIST, {"circuit": circuit})
        return list(response.context["cl"].result_list)

    for page in (LIST, f"{LIST}{held.pk}/change/"):
        shown = staff.get(page).content.decode()
        assert "not in use" in shown
        assert "The server rejected the login." not in shown
        assert until.isoformat() not in shown
    assert "field-circuit_trips" not in staff.get(f"{LIST}{held.pk}/change/").content.decode()
    circuits = ("open", "half_open", "attention", "closed", "unused")
    assert [found(one) for one in circuits] == [[], [], [], [], [held]]
    assert "0 circuits were closed" in close(staff, held)
    (state,) = api.operations.destinations()
    assert (state.circuit, state.needs_person) == (Circuit.CLOSED, False)

    Account.objects.update(route=Route.SMARTHOST, host="mail.example.com")
    assert [found(one) for one in circuits] == [[held], [], [held], [], []]
    assert "field-circuit_trips" in staff.get(f"{LIST}{held.pk}/change/").content.decode()
    assert "The server rejected the login." in staff.get(LIST).content.decode()
    (state,) = api.operations.destinations()
    assert (state.circuit, state.needs_person) == (Circuit.OPEN, True)


def test_limits_are_shown_while_they_count(onlooker: Client, account: Account) -> None:
    Account.objects.update(route=Route.DIRECT, host="", per_minute=5)
    until, later = (timezone.now() + dt.timedelta(minutes=count) for count in (1, 60))
    row = Destination.objects.create(
        account=account,
        key="mx:example.net",
        minute_count=5,
        paused_until=until,
        paused_reason=Reason(ReasonCode.LIMIT_PER_MINUTE, limit=5),
        limit_effect="suspend",
        limit_until=later,
        limit_reason=Reason(ReasonCode.SITE_SUSPENDED).with_reply("421 4.7.0 too fast"),
    )
    page = f"{LIST}{row.pk}/change/"
    shown = onlooker.get(page).content.decode()
    assert {until.isoformat() in shown, later.isoformat() in shown} == {True}
    assert shown.count("too fast") == 2, "why nothing is sent, and the limit"
    listed = onlooker.get(LIST).content.decode()
    assert later.isoformat() in listed
    assert "too fast" in listed

    Destination.objects.update(limit_until=timezone.now() - dt.timedelta(seconds=1))
    listed = onlooker.get(LIST).content.decode()
    assert until.isoformat() in listed
    assert "too fast" not in listed

    Destination.objects.update(paused_until=timezone.now() - dt.timedelta(seconds=1))
    for url in (page, LIST):
        shown = onlooker.get(url).content.decode()
        assert "too fast" not in shown
        assert until.isoformat() not in shown


@pytest.mark.parametrize("scope", PAUSES)
def test_a_pause_is_shown(
    scope: str, staff: Client, held: Destination, django_assert_num_queries: Any
) -> None:
    page = f"{LIST}{held.pk}/change/"
    assert "field-pause_reason" not in staff.get(page).content.decode()
    with CaptureQueriesContext(connection) as without:
        assert "Maintenance" not in staff.get(LIST).content.decode()

    until = timezone.now() + dt.timedelta(hours=2)
    what = {"everything": None, "account": held.account, "destination": held}[scope]
    paused = api.pause(what, reason="Maintenance", until=until, actor=User.objects.get())
    for number in range(3):
        address, host = "b@example.com", f"{number}.example.com"
        other = Account.objects.create(name=str(number), from_address=address, host=host)
        Destination.objects.create(account=other)
    with django_assert_num_queries(len(without)):
        listed = staff.get(LIST).content.decode()
    since = clock(paused.created_at, "seconds")
    assert "title=" in since
    sentence = f"Paused since {since} ({scope}): Maintenance"
    assert until.isoformat() in listed
    assert listed.count(sentence) == (4 if scope == "everything" else 1)
    assert listed.count(f"{sentence}<br>The server rejected the login.") == 1
    shown = staff.get(page).content.decode()
    times = (paused.created_at.isoformat(), until.isoformat())
    for text in (f">{scope}<", "Maintenance", "staff", *times):
        assert text in shown
    assert "The server rejected the login." in shown, "the circuit is shown as well"

    Pause.objects.update(until=None)
    for url in (page, LIST):
        assert "until delivery is resumed" in staff.get(url).content.decode()
    api.resume(paused)
    for url in (page, LIST):
        assert "Maintenance" not in staff.get(url).content.decode()


def test_a_pause_in_chinese(staff: Client, held: Destination) -> None:
    api.pause(held, reason="Maintenance", actor=User.objects.get())
    chinese = {"accept-language": "zh-hans"}
    shown = staff.get(f"{LIST}{held.pk}/change/", headers=chinese).content.decode()
    assert "暂停操作人" in shown
    assert "直至恢复投递" in shown
    assert "直至恢复投递" in staff.get(LIST, headers=chinese).content.decode()


def test_names_do_not_reverse_the_text_around_them(staff: Client, held: Destination) -> None:
    User.objects.update(username="staff\u202egnp")
    Account.objects.update(name="shop\u202ezoo")
    Mailbox.objects.create(account=held.account, host="pop.example.com")
    api.pause(held, reason="Maintenance", actor=User.objects.get())
    assert "staff⟨202E⟩gnp" in staff.get(f"{LIST}{held.pk}/change/").content.decode()
    for url in (LIST, "/admin/outbox/mailbox/"):
        assert ">shop⟨202E⟩zoo<" in staff.get(url).content.decode()


def test_a_pause_of_another_account_or_of_a_tag_is_not_shown(
    staff: Client, held: Destination
) -> None:
    other = Account.objects.create(name="b", from_address="b@example.com", host="b.example.com")
    api.pause(other, reason="Maintenance")
    api.pause(tag="news", reason="Maintenance")
    for url in (LIST, f"{LIST}{held.pk}/change/"):
        assert "Maintenance" not in staff.get(url).content.decode()


def test_no_pause_is_shown_for_a_destination_that_no_longer_fits_its_account(
    staff: Client, held: Destination
) -> None:
    Account.objects.update(route=Route.DIRECT, host="")
    api.pause(held.account, reason="Maintenance")
    for url in (LIST, f"{LIST}{held.pk}/change/"):
        assert "Maintenance" not in staff.get(url).content.decode()


@pytest.mark.django_db(transaction=True)  # circuits are closed after the commit
@pytest.mark.parametrize(
    ("changed", "circuit"),
    [
        ({"host": "other.example.com"}, Circuit.CLOSED),
        ({"port": "2525"}, Circuit.CLOSED),
        ({"new_password": "xyzzy"}, Circuit.CLOSED),
        ({"name": "store"}, Circuit.OPEN),
    ],
    ids=["host", "port", "password", "name"],
)
def test_a_change_of_the_server_closes_the_circuit_of_the_former_one(
    changed: dict[str, str], circuit: Circuit, staff: Client, account: Account, held: Destination
) -> None:
    page = f"/admin/outbox/account/{account.pk}/change/"
    shown = staff.post(page, form(**changed), follow=True).content.decode()
    held.refresh_from_db()
    assert held.circuit == circuit
    assert ("The connection is retried now." in shown) == (circuit == Circuit.CLOSED)


def test_closing_a_circuit_starts_delivery(staff: Client, held: Destination) -> None:
    assert "1 circuit was closed" in close(staff, held)

    held.refresh_from_db()
    assert (held.circuit, held.circuit_reason) == (Circuit.CLOSED, NO_REASON)
    assert not held.circuit_needs_person


def test_closing_a_closed_circuit_changes_nothing(staff: Client, account: Account) -> None:
    closed = Destination.objects.create(account=account)

    assert "0 circuits were closed" in close(staff, closed)


def test_a_viewer_cannot_close_a_circuit(onlooker: Client, held: Destination) -> None:
    close(onlooker, held)

    held.refresh_from_db()
    assert held.circuit == Circuit.OPEN


def test_workers_are_listed(onlooker: Client, db: None) -> None:
    now = timezone.now()
    Worker.objects.create(
        host="a.example", pid=7, started_at=now, heartbeat_at=now, lease_until=now
    )

    assert "a.example" in onlooker.get("/admin/outbox/worker/").content.decode()


def test_recipients_are_found_by_the_beginning_of_an_address(
    onlooker: Client, tried: Message
) -> None:
    response: Any = onlooker.get("/admin/outbox/recipient/", {"q": "jane@"})

    assert [each.address for each in response.context["cl"].result_list] == ["jane@example.com"]


def test_a_recipient_has_a_page(onlooker: Client, account: Account) -> None:
    recipient = queue(account, "a@example.com").recipients.get()

    shown = onlooker.get(f"/admin/outbox/recipient/{recipient.pk}/change/").content.decode()

    assert "a@example.com" in shown
