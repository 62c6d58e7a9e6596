"""What one group commit takes: bounded in bytes, and fair between destinations."""

from outbox.delivery.job import Barrier, Job, Mark, RecordItem, Result
from outbox.delivery.record_queue import BYTES_MAX, ITEMS_MAX, RecordQueue
from outbox.models import Outcome

LARGE = 400_000


def a_result(destination: int, number: int = 1, size: int = LARGE) -> Result:
    job = Job(
        attempt_id=number,
        message_id=number,
        destination_id=destination,
        sender_key=1,
        envelope_sender="",
        sha256="",
        is_whole=True,
        source=None,
        resend_after=None,
    )
    return Result(job=job, verdicts=[], outcome=Outcome.SENT, transfer="x" * size)


def taken_from(queue: RecordQueue) -> list[RecordItem]:
    return [item for item, _ in queue.take()]


def test_small_items_are_taken_in_order_up_to_a_number() -> None:
    queue = RecordQueue()
    marks = [Mark(attempt_id=number, destination_id=number % 3) for number in range(ITEMS_MAX + 1)]
    for mark in marks:
        queue.append(mark)
    assert taken_from(queue) == marks[:ITEMS_MAX]
    assert taken_from(queue) == marks[ITEMS_MAX:]
    assert taken_from(queue) == []


def test_a_commit_is_bounded_in_bytes() -> None:
    queue = RecordQueue()
    results = [a_result(1, number) for number in range(40)]
    for result in results:
        queue.append(result)
    groups = []
    while group := taken_from(queue):
        groups.append(group)
    assert [item for group in groups for item in group] == results
    assert max(sum(item.size for item in group) for group in groups) <= BYTES_MAX + LARGE


def test_an_item_that_is_too_large_alone_is_taken_alone() -> None:
    queue = RecordQueue()
    results = [a_result(1, number, size=3 * BYTES_MAX) for number in range(2)]
    for result in results:
        queue.append(result)
    assert taken_from(queue) == results[:1]
    assert taken_from(queue) == results[1:]


def test_a_mark_does_not_wait_for_the_long_results_of_another_destination() -> None:
    queue = RecordQueue()
    for number in range(40):
        queue.append(a_result(1, number))
    mark = Mark(attempt_id=99, destination_id=2)
    queue.append(mark)
    assert mark in taken_from(queue)


def test_the_items_of_one_destination_stay_in_order() -> None:
    """A mark never overtakes the result before it, nor does a barrier."""
    queue = RecordQueue()
    items: list[RecordItem] = []
    for number in range(40):
        items += [a_result(number % 3, number), Mark(attempt_id=number, destination_id=number % 3)]
    items += [Barrier(destination_id=number) for number in range(3)]
    for item in items:
        queue.append(item)
    recorded: list[RecordItem] = []
    while group := taken_from(queue):
        recorded += group
    for destination in range(3):
        expected = [item for item in items if item.destination_id == destination]
        assert [item for item in recorded if item.destination_id == destination] == expected


def test_only_the_destination_with_long_results_has_to_wait() -> None:
    queue = RecordQueue()
    for number in range(10):
        queue.append(a_result(1, number))
    assert not queue.has_room_for(1)
    assert queue.has_room_for(2)
    while taken_from(queue):
        pass
    assert queue.has_room_for(1)
