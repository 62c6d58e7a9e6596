"""send_many(): messages from one template, in batches, with progress, and repeatable."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Message, Recipient, State
from tests.integration.api.reading import body, read
from tests.states import set_state

pytestmark = pytest.mark.usefixtures("shop")
GREETING = api.Template(subject="{{ month }} for {{ name }}", text="Hello {{ name }}")


def rows(count: int) -> Iterator[api.MergeRow]:
    for number in range(count):
        yield api.MergeRow(f"to{number}@example.com", {"name": f"reader {number}"})


def send_many(some: Any, **options: Any) -> api.BulkResult:
    return api.send_many(some, template=GREETING, context={"month": "May"}, **options)


def test_each_recipient_gets_a_separate_message() -> None:
    result = send_many(rows(3))

    handles = list(result.handles())
    assert [read(one)["To"] for one in handles] == [
        f"to{number}@example.com" for number in range(3)
    ]
    assert [read(one)["Subject"] for one in handles] == [
        f"May for reader {number}" for number in range(3)
    ]
    assert [body(one) for one in handles] == [f"Hello reader {number}" for number in range(3)]
    assert len({read(one)["Message-ID"] for one in handles}) == 3


def test_what_differs_goes_over_what_is_common() -> None:
    row = api.MergeRow(
        "ann@example.com",
        {"name": "Ann", "month": "June"},
        bcc="archive@example.com",
        headers={"List-Unsubscribe": "<https://example.com/ann>"},
        metadata={"reader": 7},
    )

    result = send_many(
        [row], headers={"List-Id": "<news.example.com>"}, metadata={"issue": 5}, tags=["news"]
    )

    (handle,) = result.handles()
    mail, message = read(handle), handle.message()
    assert mail["Subject"] == "June for Ann"
    assert mail["List-Id"] == "<news.example.com>"
    assert mail["List-Unsubscribe"] == "<https://example.com/ann>"
    assert message.metadata == {"issue": 5, "reader": 7}
    assert message.tags == ["news"]
    assert set(handle.recipients()) == {"ann@example.com", "archive@example.com"}


def test_words_without_a_template_are_taken_as_they_are() -> None:
    result = api.send_many(
        [api.MergeRow("ann@example.com")], subject="{{ odd }}", text="{% as it is %}"
    )

    (handle,) = result.handles()
    assert read(handle)["Subject"] == "{{ odd }}"
    assert body(handle) == "{% as it is %}"


@pytest.mark.parametrize("with_common", [False, True])
def test_words_with_values_are_templates(with_common: bool) -> None:
    some: list[api.MergeRow] = [*rows(2), api.MergeRow("cid@example.com", {"name": "A & B"})]
    context = {"month": "May"} if with_common else None

    result = api.send_many(
        some, subject="For {{ name }}", html="<p>Hi {{ name }}</p>", context=context
    )

    handles = list(result.handles())
    assert [read(one)["Subject"] for one in handles][::2] == ["For reader 0", "For A & B"]
    assert body(handles[2], "html") == "<p>Hi A &amp; B</p>"
    assert body(handles[2]) == "Hi A & B"


def test_a_row_without_values_is_never_sent_unfilled() -> None:
    result = api.send_many([*rows(1), api.MergeRow("ben@example.com")], subject="For {{ name }}")

    assert result.queued == 1
    assert [(one.place, one.error.field) for one in result.refused] == [(1, "context")]


def test_values_that_come_after_the_words_were_sent_as_they_are_are_refused() -> None:
    late = [api.MergeRow("ben@example.com"), *rows(1)]

    result = api.send_many(late, subject="Hello", batch_size=1)

    assert result.queued == 1
    assert [(one.place, one.error.field) for one in result.refused] == [(1, "context")]


def test_an_invalid_template_raises_before_any_row_is_read() -> None:
    with pytest.raises(InvalidMessageError, match="Unclosed tag") as raised:
        api.send_many(rows(2), subject="Hello", text="{% if name %}")

    assert raised.value.field == "text"
    assert not Message.objects.exists()


@pytest.mark.system
@pytest.mark.parametrize(("size", "count"), [(200_000, 300), (2_000_000, 60)])
def test_one_file_for_all_takes_little_memory(size: int, count: int) -> None:
    """Keeping all messages of the batch would take over 80 MB, and 160 MB."""
    send_many(rows(20))  # what is made once is made

    tracemalloc.start()
    result = send_many(rows(count), attachments=[("a.bin", bytes(range(256)) * (size // 256))])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert result.queued == count
    assert peak < 50_000_000


def test_a_batch_of_large_messages_is_reported_as_one() -> None:
    reports: list[int] = []
    file = ("a.bin", bytes(5_000_000))

    result = send_many(
        rows(5), attachments=[file], progress=lambda one: reports.append(one.done), batch_size=3
    )

    assert reports == [3, 5]
    assert [handle.created for handle in result.handles()] == [True] * 5


def test_progress_is_reported_after_each_batch() -> None:
    reports: list[api.Progress] = []

    send_many(list(rows(5)), batch_size=2, progress=reports.append)

    assert [(one.done, one.total) for one in reports] == [(2, 5), (4, 5), (5, 5)]


def test_an_iterable_of_unknown_length_has_no_total() -> None:
    reports: list[api.Progress] = []

    send_many(rows(1), progress=reports.append)

    assert reports == [api.Progress(queued=1, known=0, refused=0, total=None)]


def test_a_refused_row_is_named_and_does_not_stop_the_others() -> None:
    wrong = api.MergeRow("no address", {"name": "Bob"})
    nameless = api.MergeRow("ann@example.com")

    result = send_many([*rows(1), wrong, *rows(1), nameless], batch_size=2)

    assert result.queued == 2
    assert [(one.place, one.row, one.error.field) for one in result.refused] == [
        (1, wrong, "to"),
        (3, nameless, "context"),
    ]


def test_a_run_that_broke_off_can_be_repeated() -> None:
    def breaks_off() -> Iterator[api.MergeRow]:
        yield from rows(4)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        send_many(breaks_off(), batch_size=2, idempotency_key="news 5")
    first = set(Message.objects.values_list("pk", flat=True))

    result = send_many(rows(6), batch_size=2, idempotency_key="news 5")

    assert (result.known, result.queued) == (4, 2)
    assert first < set(result.ids)
    assert Message.objects.count() == 6


def test_a_long_key_still_distinguishes_the_messages() -> None:
    result = send_many(rows(2), idempotency_key="x" * 255)

    assert result.queued == 2
    assert send_many(rows(2), idempotency_key="x" * 255).known == 2


def test_inside_a_transaction_all_of_them_join_it() -> None:
    with transaction.atomic():
        send_many(rows(5), batch_size=2)
        transaction.set_rollback(True)

    assert not Message.objects.exists()


def test_a_mistake_of_all_is_raised_before_any_is_queued() -> None:
    template = api.Template(text="{% if %}")

    with pytest.raises(InvalidMessageError, match="In the text of the template"):
        api.send_many(rows(1), template=template)


def test_it_counts_its_recipients_by_state() -> None:
    result = send_many(rows(3))
    set_state(Recipient.objects.filter(address="to1@example.com"), State.SENT)

    assert result.states() == {State.QUEUED: 2, State.SENT: 1}


@pytest.mark.system
def test_memory_stays_flat() -> None:
    """A run of a thousand more has the same peak; keeping those messages would take over 1 MB."""
    send_many(rows(200))  # what is made once is made

    def peak_of(count: int) -> int:
        tracemalloc.start()
        send_many(rows(count), batch_size=100)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    short = peak_of(200)
    assert peak_of(1200) < short + 300_000
