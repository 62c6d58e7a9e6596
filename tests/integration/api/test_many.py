"""Many mails of one wording: batch by batch, told as they go, and repeatable."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from outbox import api
from outbox.exceptions import InvalidMailError
from outbox.models import Message, Recipient, State
from tests.integration.api.reading import body, read

pytestmark = pytest.mark.usefixtures("shop")
GREETING = api.Template(subject="{{ month }} for {{ name }}", text="Hello {{ name }}")


def merges(count: int) -> Iterator[api.Merge]:
    for number in range(count):
        yield api.Merge(f"to{number}@example.com", {"name": f"reader {number}"})


def send_many(some: Any, **options: Any) -> api.Many:
    return api.send_many(some, template=GREETING, context={"month": "May"}, **options)


def test_each_gets_a_mail_of_its_own() -> None:
    many = send_many(merges(3))

    handles = list(many.handles())
    assert [read(one)["To"] for one in handles] == [
        f"to{number}@example.com" for number in range(3)
    ]
    assert [read(one)["Subject"] for one in handles] == [
        f"May for reader {number}" for number in range(3)
    ]
    assert [body(one) for one in handles] == [f"Hello reader {number}" for number in range(3)]
    assert len({read(one)["Message-ID"] for one in handles}) == 3


def test_what_differs_goes_over_what_is_common() -> None:
    merge = api.Merge(
        "ann@example.com",
        {"name": "Ann", "month": "June"},
        bcc="archive@example.com",
        headers={"List-Unsubscribe": "<https://example.com/ann>"},
        metadata={"reader": 7},
    )

    many = send_many(
        [merge], headers={"List-Id": "<news.example.com>"}, metadata={"issue": 5}, tags=["news"]
    )

    (handle,) = many.handles()
    mail, message = read(handle), handle.message()
    assert mail["Subject"] == "June for Ann"
    assert mail["List-Id"] == "<news.example.com>"
    assert mail["List-Unsubscribe"] == "<https://example.com/ann>"
    assert message.metadata == {"issue": 5, "reader": 7}
    assert message.tags == ["news"]
    assert set(handle.recipients()) == {"ann@example.com", "archive@example.com"}


def test_words_without_a_template_are_taken_as_they_are() -> None:
    many = api.send_many([api.Merge("ann@example.com")], subject="{{ odd }}", text="{% as it is %}")

    (handle,) = many.handles()
    assert read(handle)["Subject"] == "{{ odd }}"
    assert body(handle) == "{% as it is %}"


@pytest.mark.parametrize("with_common", [False, True])
def test_words_with_values_are_templates(with_common: bool) -> None:
    some: list[api.Merge] = [*merges(2), api.Merge("cid@example.com", {"name": "A & B"})]
    context = {"month": "May"} if with_common else None

    many = api.send_many(
        some, subject="For {{ name }}", html="<p>Hi {{ name }}</p>", context=context
    )

    handles = list(many.handles())
    assert [read(one)["Subject"] for one in handles][::2] == ["For reader 0", "For A & B"]
    assert body(handles[2], "html") == "<p>Hi A &amp; B</p>"
    assert body(handles[2]) == "Hi A & B"


def test_a_row_without_values_is_never_sent_unfilled() -> None:
    many = api.send_many([*merges(1), api.Merge("ben@example.com")], subject="For {{ name }}")

    assert many.queued == 1
    assert [(one.place, one.error.field) for one in many.refused] == [(1, "context")]


def test_values_that_come_after_the_words_were_sent_as_they_are_are_refused() -> None:
    late = [api.Merge("ben@example.com"), *merges(1)]

    many = api.send_many(late, subject="Hello", batch_size=1)

    assert many.queued == 1
    assert [(one.place, one.error.field) for one in many.refused] == [(1, "context")]


def test_words_that_are_no_template_raise_before_any_row_is_taken() -> None:
    with pytest.raises(InvalidMailError, match="Unclosed tag") as raised:
        api.send_many(merges(2), subject="Hello", text="{% if name %}")

    assert raised.value.field == "text"
    assert not Message.objects.exists()


@pytest.mark.parametrize(("size", "count"), [(200_000, 300), (2_000_000, 60)])
def test_one_file_for_all_takes_little_memory(size: int, count: int) -> None:
    """Keeping all messages of the batch would take over 80 MB, and 160 MB."""
    send_many(merges(20))  # what is made once is made

    tracemalloc.start()
    many = send_many(merges(count), attachments=[("a.bin", bytes(range(256)) * (size // 256))])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert many.queued == count
    assert peak < 50_000_000


def test_a_batch_of_large_messages_is_told_as_one() -> None:
    told: list[int] = []
    file = ("a.bin", bytes(5_000_000))

    many = send_many(
        merges(5), attachments=[file], progress=lambda one: told.append(one.done), batch_size=3
    )

    assert told == [3, 5]
    assert [handle.created for handle in many.handles()] == [True] * 5


def test_progress_is_told_after_each_batch() -> None:
    told: list[api.Progress] = []

    send_many(list(merges(5)), batch_size=2, progress=told.append)

    assert [(one.done, one.total) for one in told] == [(2, 5), (4, 5), (5, 5)]


def test_an_iterable_of_unknown_length_has_no_total() -> None:
    told: list[api.Progress] = []

    send_many(merges(1), progress=told.append)

    assert told == [api.Progress(queued=1, known=0, refused=0, total=None)]


def test_a_mail_that_cannot_be_sent_is_named_and_keeps_no_other_back() -> None:
    wrong = api.Merge("no address", {"name": "nobody"})
    nameless = api.Merge("ann@example.com")

    many = send_many([*merges(1), wrong, *merges(1), nameless], batch_size=2)

    assert many.queued == 2
    assert [(one.place, one.merge, one.error.field) for one in many.refused] == [
        (1, wrong, "to"),
        (3, nameless, "context"),
    ]


def test_a_run_that_broke_off_can_be_repeated() -> None:
    def breaks_off() -> Iterator[api.Merge]:
        yield from merges(4)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        send_many(breaks_off(), batch_size=2, idempotency_key="news 5")
    first = set(Message.objects.values_list("pk", flat=True))

    many = send_many(merges(6), batch_size=2, idempotency_key="news 5")

    assert (many.known, many.queued) == (4, 2)
    assert first < set(many.ids)
    assert Message.objects.count() == 6


def test_a_long_key_still_tells_the_mails_apart() -> None:
    many = send_many(merges(2), idempotency_key="x" * 255)

    assert many.queued == 2
    assert send_many(merges(2), idempotency_key="x" * 255).known == 2


def test_inside_a_transaction_all_of_them_join_it() -> None:
    with transaction.atomic():
        send_many(merges(5), batch_size=2)
        transaction.set_rollback(True)

    assert not Message.objects.exists()


def test_a_mistake_of_all_is_raised_before_any_is_queued() -> None:
    template = api.Template(text="{% if %}")

    with pytest.raises(InvalidMailError, match="In the text of the template"):
        api.send_many(merges(1), template=template)


def test_it_counts_its_recipients_by_state() -> None:
    many = send_many(merges(3))
    Recipient.objects.filter(address="to1@example.com").update(state=State.SENT)

    assert many.states() == {State.QUEUED: 2, State.SENT: 1}


def test_memory_stays_flat() -> None:
    """A run of a thousand more peaks no higher; keeping those mails would take over a megabyte."""
    send_many(merges(200))  # what is made once is made

    def peak_of(count: int) -> int:
        tracemalloc.start()
        send_many(merges(count), batch_size=100)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    short = peak_of(200)
    assert peak_of(1200) < short + 300_000
