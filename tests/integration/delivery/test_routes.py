"""What all workers agree on before they connect: slots, the circuit, the rate limits."""

import datetime as dt
import threading

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models import F
from django.utils import timezone

from outbox import api
from outbox.delivery import route
from outbox.delivery.verdict import RouteEffect
from outbox.models import Account, Circuit, Destination, Slot
from tests.integration.delivery.desk import USING, a_worker, account, destination, queue

pytestmark = pytest.mark.django_db

FAULT, OPEN, PERSON = RouteEffect.FAULT, RouteEffect.OPEN, RouteEffect.OPEN_FOR_PERSON


def a_fault(
    where: Destination, effect: RouteEffect = FAULT, chance: float = 0
) -> route.RouteTrouble:
    return route.report_fault(where.pk, effect, "nobody answers", chance, USING)


def let_time_pass(where: Destination, **past: float) -> None:
    """Move the moments of a destination so far into the past."""
    span = dt.timedelta(**past)
    names = ("circuit_until", "minute_started_at", "day_started_at", "paused_until")
    Destination.objects.filter(pk=where.pk).update(**{name: F(name) - span for name in names})
    where.refresh_from_db()


# Slots.


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_no_more_slots_are_taken_than_there_are_whoever_asks() -> None:
    """Protocol item 108."""
    where = destination(account())
    workers = [a_worker() for _ in range(8)]
    start = threading.Barrier(8)
    taken: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        try:
            start.wait(10)
            for _ in range(10):
                mine = route.take_slots(
                    where.pk, workers[number].pk, wanted=2, limit=5, using=USING
                )
                with lock:
                    taken.extend(mine)
                    most.append(len(taken))
                    assert len(set(taken)) == len(taken)
                with lock:  # no longer ours before anybody else can have them
                    for one in mine:
                        taken.remove(one)
                route.free_slots(where.pk, workers[number].pk, mine, USING)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 1 < max(most) <= 5
    assert not Slot.objects.exists()


def test_slots_are_numbered_so_that_a_lowered_limit_holds_at_once() -> None:
    where, worker = destination(account()), a_worker()

    def take(wanted: int, limit: int) -> list[int]:
        return route.take_slots(where.pk, worker.pk, wanted=wanted, limit=limit, using=USING)

    assert take(3, limit=3) == [1, 2, 3]
    route.free_slots(where.pk, worker.pk, [1], USING)
    assert take(3, limit=2) == [1]
    assert take(1, limit=2) == []
    assert take(9, limit=4) == [4]


def test_nobody_frees_another_worker_s_slot() -> None:
    where, mine, other = destination(account()), a_worker(), a_worker()
    route.take_slots(where.pk, mine.pk, wanted=1, limit=3, using=USING)
    route.free_slots(where.pk, other.pk, [1], USING)
    assert Slot.objects.count() == 1


@pytest.mark.parametrize(
    ("limit", "workers", "share"),
    [(10, 1, 10), (10, 2, 5), (10, 3, 4), (1, 4, 1), (5, 0, 5), (2, 500, 1)],
)
def test_no_worker_takes_all_while_others_live(limit: int, workers: int, share: int) -> None:
    assert route.fair_share(limit, workers) == share


# The circuit, protocol item 107.


def test_it_opens_after_so_many_faults_in_a_row(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_OPENS_AFTER": 3, "CIRCUIT_FIRST": 10}
    where = destination(account())
    assert [a_fault(where).opened for _ in range(3)] == [False, False, True]
    where.refresh_from_db()
    assert (where.circuit, where.circuit_reason) == (Circuit.OPEN, "nobody answers")
    assert not where.circuit_needs_person
    assert where.circuit_until is not None
    assert 9 < (where.circuit_until - timezone.now()).total_seconds() <= 10


def test_a_success_between_starts_the_count_anew() -> None:
    where = destination(account())
    a_fault(where)
    a_fault(where)
    route.report_success(where.pk, USING)
    assert not a_fault(where).opened


@pytest.mark.parametrize(("effect", "needs_person"), [(OPEN, False), (PERSON, True)])
def test_some_faults_open_it_at_once(effect: RouteEffect, needs_person: bool) -> None:
    """Protocol items 22 and 43."""
    where = destination(account())
    trouble = a_fault(where, effect)
    assert (trouble.opened, trouble.needs_person) == (True, needs_person)
    where.refresh_from_db()
    assert (where.circuit, where.circuit_needs_person) == (Circuit.OPEN, needs_person)


def test_while_it_is_open_nobody_gets_leave() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    assert route.ask_leave(where.pk, 10, USING) == route.Leave(0)
    where.refresh_from_db()
    assert route.is_shut(where, timezone.now())


def test_faults_of_connections_that_were_under_way_do_not_prolong_it() -> None:
    where = destination(account())
    first = a_fault(where, OPEN)
    second = a_fault(where, OPEN)
    assert (second.opened, second.retry_at) == (False, first.retry_at)
    where.refresh_from_db()
    assert where.circuit_trips == 1


def test_half_open_lets_one_through() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    let_time_pass(where, minutes=1)
    assert not route.is_shut(where, timezone.now())
    assert route.ask_leave(where.pk, 10, USING) == route.Leave(1, is_probe=True)
    assert route.ask_leave(where.pk, 10, USING) == route.Leave(0)
    where.refresh_from_db()
    assert where.circuit == Circuit.HALF_OPEN
    assert route.is_shut(where, timezone.now())


def test_a_probe_whose_worker_died_is_followed_by_another() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    let_time_pass(where, minutes=1)
    route.ask_leave(where.pk, 1, USING)
    let_time_pass(where, minutes=8)
    assert route.ask_leave(where.pk, 10, USING).recipients == 1


def test_a_probe_that_found_no_mail_leaves_the_next_one_free() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    let_time_pass(where, minutes=1)
    leave = route.ask_leave(where.pk, 1, USING)
    route.give_back_leave(where.pk, leave, 1, USING)
    assert route.ask_leave(where.pk, 10, USING).is_probe


def test_leave_that_is_no_probe_does_not_disturb_another_s_probe() -> None:
    where = destination(account(per_minute=10))
    ordinary = route.ask_leave(where.pk, 5, USING)
    a_fault(where, OPEN)
    let_time_pass(where, seconds=30)
    assert route.ask_leave(where.pk, 1, USING).is_probe
    route.give_back_leave(where.pk, ordinary, 5, USING)
    assert route.ask_leave(where.pk, 1, USING) == route.Leave(0)


def test_a_success_closes_it_and_forgets() -> None:
    where = destination(account())
    a_fault(where, PERSON)
    route.report_success(where.pk, USING)
    where.refresh_from_db()
    assert (where.circuit, where.circuit_faults, where.circuit_trips) == (Circuit.CLOSED, 0, 0)
    assert (where.circuit_until, where.circuit_opened_at) == (None, None)
    assert (where.circuit_reason, where.circuit_needs_person) == ("", False)


def test_a_failed_probe_opens_it_for_twice_as_long(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_FIRST": 10, "CIRCUIT_MAX": 50}
    where = destination(account())
    a_fault(where, OPEN)
    pauses = []
    for _ in range(4):
        let_time_pass(where, minutes=1)
        route.ask_leave(where.pk, 1, USING)
        trouble = a_fault(where)  # one is enough now
        assert trouble.opened
        pauses.append(round((trouble.retry_at - timezone.now()).total_seconds()))
    assert pauses == [20, 40, 50, 50]


def test_a_fault_of_a_deleted_account_s_server_is_nobody_s() -> None:
    where = destination(account())
    Account.objects.all().delete()
    assert not a_fault(where, PERSON).opened


# Rate limits, protocol item 110.


def test_a_limit_counts_what_was_let_through_and_no_more() -> None:
    where = destination(account(per_minute=10))
    assert [route.ask_leave(where.pk, 4, USING).recipients for _ in range(4)] == [4, 4, 2, 0]


def test_the_next_minute_has_a_count_of_its_own() -> None:
    where = destination(account(per_minute=3))
    assert route.ask_leave(where.pk, 9, USING).recipients == 3
    let_time_pass(where, seconds=59)
    assert route.ask_leave(where.pk, 9, USING).recipients == 0
    let_time_pass(where, seconds=2)
    assert route.ask_leave(where.pk, 9, USING).recipients == 3


def test_the_day_s_limit_holds_over_the_minutes() -> None:
    where = destination(account(per_minute=3, per_day=5))
    got = []
    for _ in range(3):
        got.append(route.ask_leave(where.pk, 9, USING).recipients)
        let_time_pass(where, seconds=61)
    assert got == [3, 2, 0]
    let_time_pass(where, days=1)
    assert route.ask_leave(where.pk, 9, USING).recipients == 3


def test_leave_that_found_no_mail_is_not_counted() -> None:
    where = destination(account(per_minute=10))
    leave = route.ask_leave(where.pk, 8, USING)
    route.give_back_leave(where.pk, leave, 5, USING)
    assert route.ask_leave(where.pk, 9, USING).recipients == 7


def test_leave_of_a_past_minute_takes_nothing_from_the_new_one() -> None:
    """A count below nothing is refused by the database, and the claim behind it would be lost."""
    where = destination(account(per_minute=10))
    leave = route.ask_leave(where.pk, 8, USING)
    let_time_pass(where, seconds=61)
    route.ask_leave(where.pk, 2, USING)
    route.give_back_leave(where.pk, leave, 8, USING)
    assert route.ask_leave(where.pk, 20, USING).recipients == 10


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"per_minute": 1}, "the limit of 1 recipients a minute is reached"),
        ({"per_day": 1}, "the limit of 1 recipients a day is reached"),
    ],
)
def test_waiting_mail_names_the_rule_and_its_end(limits: dict[str, int], rule: str) -> None:
    sender = account(**limits)
    message = queue(sender)
    where = destination(sender)
    for _ in range(2):
        route.ask_leave(where.pk, 1, USING)
    where.refresh_from_db()
    told = api.explain(message)
    assert told.sentence == f"Held back because {rule}."
    assert told.until == where.paused_until
    assert [held.reason for held in api.status().blocked_destinations] == [rule]


def test_a_limit_that_was_raised_holds_nobody() -> None:
    """The owner need not wait for tomorrow."""
    sender = account(per_day=1)
    where = destination(sender)
    for _ in range(2):
        route.ask_leave(where.pk, 1, USING)
    where.refresh_from_db()
    assert route.is_shut(where, timezone.now())
    Account.objects.update(per_day=100)
    where = Destination.objects.select_related("account").get()
    assert not route.is_shut(where, timezone.now())
    assert route.ask_leave(where.pk, 200, USING).recipients == 99
    assert api.status().blocked_destinations == []
