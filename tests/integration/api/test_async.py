"""The async variants do the same as the sync functions, from a coroutine."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from outbox import api
from outbox.exceptions import MessageNotFoundError
from outbox.models import Message, State, Status

pytestmark = [pytest.mark.usefixtures("shop"), pytest.mark.django_db(transaction=True)]


def test_a_message_is_sent_queried_and_cancelled() -> None:
    async def use_api() -> tuple[Status, State, api.CancelResult, Message]:
        handle = await api.asend(to="ann@example.com", subject="Hello", text="Hello")
        status = await handle.astatus()
        state = (await handle.arecipients())["ann@example.com"].state
        return status, state, await api.acancel(handle), await handle.amessage()

    status, state, result, message = async_to_sync(use_api)()

    assert (status, state) == (Status.QUEUED, State.QUEUED)
    assert result == api.CancelResult(stopped=1, too_late=0)
    assert message.status == Status.CANCELLED


def in_order(count: int) -> Iterator[api.MergeRow]:
    for number in range(count):
        Message.objects.exists()  # a queryset's own iterator asks the database, too
        yield api.MergeRow(f"to{number}@example.com")


async def as_they_come(count: int) -> AsyncIterator[api.MergeRow]:
    for number in range(count):
        await asyncio.sleep(0)
        yield api.MergeRow(f"to{number}@example.com")


@pytest.mark.parametrize("source", [in_order, as_they_come])
def test_many_are_sent_from_either_kind_of_iterable(source: object) -> None:
    done: list[int] = []

    async def use_api() -> api.BulkResult:
        return await api.asend_many(
            source(5),  # type: ignore[operator]  # either of the two above
            subject="Hello",
            text="Hello",
            batch_size=2,
            progress=lambda progress: done.append(progress.done),
        )

    result = async_to_sync(use_api)()

    assert (result.queued, done) == (5, [2, 4, 5])
    assert Message.objects.count() == 5


def test_options_and_errors_are_those_of_the_sync_functions() -> None:
    async def use_api() -> tuple[api.Handle, api.Handle, api.BulkResult]:
        options: dict[str, Any] = {"from_name": "Zoë", "idempotency_key": "a", "wants_report": True}
        mail: dict[str, Any] = {"to": "ann@example.com", "subject": "Hello", "text": "Hello"}
        first = await api.asend(**mail, **options, attachments=[("a.txt", "tea")])
        second = await api.asend(**mail, **options)
        rows: list[Any] = [
            api.MergeRow("ben@example.com", {"s": 1}),
            None,
            api.MergeRow("b@example.com"),
        ]
        return first, second, await api.asend_many(rows, subject="{{ s }}")

    first, second, result = async_to_sync(use_api)()

    message = first.message()
    assert (first.created, second.created, first == second) == (True, False, True)
    assert (message.from_header, message.wants_report) == ("Zoë <shop@example.com>", True)
    assert message.attachment_count == 1
    assert (result.queued, [one.place for one in result.refused]) == (1, [1, 2])


def test_a_deleted_message_raises_in_a_coroutine_too() -> None:
    async def use_api(handle: api.Handle) -> None:
        with pytest.raises(MessageNotFoundError):
            await handle.astatus()

    async_to_sync(use_api)(api.Handle(12345))


@pytest.mark.parametrize(
    ("variant", "function"),
    [
        (api.asend, api.send),
        (api.acancel, api.cancel),
        (api.aretry, api.retry),
        (api.ahold, api.hold),
        (api.arelease, api.release),
        (api.aresolve_uncertain, api.resolve_uncertain),
    ],
)
def test_an_async_variant_is_a_coroutine_function_with_the_same_signature(
    variant: object, function: object
) -> None:
    assert inspect.iscoroutinefunction(variant)
    assert inspect.signature(variant) == inspect.signature(function)  # type: ignore[arg-type]  # functions
    assert variant.__name__ == f"a{function.__name__}"  # type: ignore[attr-defined]  # likewise
