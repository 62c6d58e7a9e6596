"""One key, one mail: whoever asks again gets the earlier one, also at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, connections, transaction

from outbox import api
from outbox.models import Account, Message, Recipient, Source

pytestmark = pytest.mark.usefixtures("shop")
AT_ONCE = 6


def send(subject: str = "Welcome", key: str = "welcome 7") -> api.Handle:
    return api.send(to="ann@example.com", subject=subject, text=".", idempotency_key=key)


def test_the_earlier_mail_comes_back() -> None:
    first = send()

    assert send() == first
    assert Message.objects.count() == Source.objects.count() == Recipient.objects.count() == 1


def test_the_earlier_mail_stays_as_it_was() -> None:
    send("Welcome")
    send("Changed")

    assert Message.objects.get().subject == "Welcome"


def test_another_key_is_another_mail() -> None:
    assert send(key="welcome 7") != send(key="welcome 8")


def test_without_a_key_every_mail_is_new() -> None:
    for _ in range(2):
        api.send(to="ann@example.com", subject="Hello", text=".")

    assert Message.objects.count() == 2


def test_a_key_whose_transaction_was_rolled_back_is_free() -> None:
    with transaction.atomic():
        send()
        transaction.set_rollback(True)

    send("Later")

    assert Message.objects.get().subject == "Later"


def test_of_one_call_the_first_of_a_key_is_queued() -> None:
    def outgoing(subject: str, key: str | None) -> api.Outgoing:
        return api.Outgoing(
            source=f"From: shop@example.com\r\nSubject: {subject}\r\n\r\n".encode(),
            envelope_sender="shop@example.com",
            recipients=[api.OutgoingRecipient("ann@example.com")],
            idempotency_key=key,
        )

    earlier = send("earlier", key="a").pk

    ids = api.queue_ids(
        [outgoing(*one) for one in (("1", None), ("2", "a"), ("3", "b"), ("4", "b"), ("5", None))]
    )

    subjects = dict(Message.objects.values_list("pk", "subject"))
    assert [subjects[pk] for pk in ids] == ["1", "earlier", "3", "3", "5"]
    assert ids[1] == earlier
    assert len(subjects) == 4
    assert set(Source.objects.values_list("pk", flat=True)) == set(subjects)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside a transaction"])
def test_in_a_race_one_wins_and_all_get_its_mail(inside: bool, shop: Account) -> None:
    start = Barrier(AT_ONCE)

    def race(number: int) -> int:
        try:
            connection.ensure_connection()
            start.wait(10)
            if not inside:
                return send(f"from {number}").pk
            with transaction.atomic():
                return send(f"from {number}").pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = set(pool.map(race, range(AT_ONCE)))

    assert ids == {Message.objects.get().pk}
    assert Recipient.objects.count() == Source.objects.count() == 1
