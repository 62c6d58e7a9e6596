"""Lists: the rows, paging by key, and refreshing only what changed."""

import datetime as dt
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from outbox import api
from outbox.models import Account, Folder, Message, State, Status
from outbox.models.rollup import roll_up
from outbox.web.folders.pagination import PAGE_SIZE, Cursor
from tests.states import set_state

pytestmark = pytest.mark.every_database

OUTBOX = reverse("outbox:list")


def add_sent(anna: User, count: int) -> list[Message]:
    """Add sent messages without recipients, for a long list."""
    return Message.objects.bulk_create(
        Message(owner=anna, subject=f"Mail {n}", status=Status.SENT, folder=Folder.SENT)
        for n in range(count)
    )


def subjects(response: object) -> list[str]:
    page = response.context["list"]  # type: ignore[attr-defined]  # the test client's
    return [row.message.subject for row in page.rows]


@pytest.mark.parametrize("folder", Folder.values)
def test_an_empty_folder_has_a_text(as_anna: Client, folder: str) -> None:
    page = as_anna.get(reverse("outbox:folder", args=[folder]))
    assert b'class="empty"' in page.content


def test_a_row_shows_the_states_and_the_next_attempt(as_anna: Client, mail: Message) -> None:
    first, second = mail.recipients.all()
    soon = timezone.now() + dt.timedelta(minutes=5, seconds=15)
    set_state(mail.recipients.filter(pk=first.pk), State.SENT)
    set_state(mail.recipients.filter(pk=second.pk), State.DEFERRED, next_attempt_at=soon)
    roll_up([mail.pk], timezone.now(), "default")
    page = as_anna.get(OUTBOX).content.decode()
    assert "1 sent" in page
    assert "1 deferred" in page
    assert "in 5 minutes" in page


def test_an_attempt_that_is_late_is_due_now(as_anna: Client, mail: Message) -> None:
    late = timezone.now() - dt.timedelta(minutes=5)
    set_state(mail.recipients.all(), State.DEFERRED, next_attempt_at=late)
    roll_up([mail.pk], timezone.now(), "default")
    page = as_anna.get(OUTBOX).content.decode()
    assert re.search("next attempt <time[^>]*>now</time>", page)


def test_recipients_beyond_the_summary_are_counted(anna: User, as_anna: Client) -> None:
    Message.objects.create(
        owner=anna, status=Status.QUEUED, folder=Folder.OUTBOX, to_summary="a, b, c",
        recipient_count=40,
    )  # fmt: skip
    assert "+37" in as_anna.get(OUTBOX).content.decode()


def test_a_draft_links_to_the_composer(as_anna: Client, draft: Message) -> None:
    page = as_anna.get(reverse("outbox:folder", args=["drafts"])).content.decode()
    assert reverse("outbox:draft", args=[draft.pk]) in page


def test_pages_have_no_gap_and_no_overlap(anna: User, as_anna: Client) -> None:
    add_sent(anna, 2 * PAGE_SIZE + 7)
    url = reverse("outbox:folder", args=["sent"])
    first = as_anna.get(url)
    second = as_anna.get(url, {"before": first.context["list"].slice.older})
    third = as_anna.get(url, {"before": second.context["list"].slice.older})
    assert [len(subjects(page)) for page in (first, second, third)] == [PAGE_SIZE, PAGE_SIZE, 7]
    assert len({*subjects(first), *subjects(second), *subjects(third)}) == 2 * PAGE_SIZE + 7
    assert third.context["list"].slice.older is None
    back = as_anna.get(url, {"after": third.context["list"].slice.newer})
    assert subjects(back) == subjects(second)
    top = as_anna.get(url, {"after": second.context["list"].slice.newer})
    assert subjects(top) == subjects(first)


def test_the_oldest_page_is_shown_if_all_messages_below_a_page_were_deleted(
    anna: User, as_anna: Client
) -> None:
    add_sent(anna, PAGE_SIZE + 3)
    url = reverse("outbox:folder", args=["sent"])
    first = as_anna.get(url)
    before = {"before": first.context["list"].slice.older}
    Message.objects.exclude(subject__in=subjects(first)).delete()
    oldest = as_anna.get(url, before)
    assert subjects(oldest) == subjects(first)
    assert (oldest.context["list"].slice.older, oldest.context["list"].slice.newer) == (None, None)

    Message.objects.filter(subject=subjects(first)[-1]).delete()  # the message of the cursor
    add_sent(anna, 3)
    oldest = as_anna.get(url, before)
    assert len(subjects(oldest)) == PAGE_SIZE
    newest = as_anna.get(url, {"after": oldest.context["list"].slice.newer})
    assert subjects(newest)[2:] == subjects(oldest)[:-2]

    Message.objects.all().delete()
    assert subjects(as_anna.get(url, before)) == []


@pytest.mark.parametrize(
    "key", ["", "x", "-3", "1" * 40, "٣", "1.5", "7", "1-", "-", "1-x", f"{10**18 - 1}-1"]
)
def test_an_invalid_key_shows_the_newest_page(anna: User, as_anna: Client, key: str) -> None:
    add_sent(anna, 3)
    url = reverse("outbox:folder", args=["sent"])
    for name in ("before", "after"):
        assert len(subjects(as_anna.get(url, {name: key}))) == 3


def test_an_unknown_folder_is_not_found(as_anna: Client) -> None:
    assert as_anna.get(reverse("outbox:folder", args=["spam"])).status_code == 404


def test_rows_are_sent_again_only_after_a_change(as_anna: Client, mail: Message) -> None:
    seen = as_anna.get(OUTBOX).context["list"].fingerprint
    url = reverse("outbox:rows", args=["outbox"])
    assert as_anna.get(url, {"seen": seen}).status_code == 204
    set_state(mail.recipients, State.SENT)
    roll_up([mail.pk], timezone.now(), "default")
    changed = as_anna.get(url, {"seen": seen})
    assert changed.status_code == 200
    assert b"Figures" not in changed.content


def test_the_outbox_refreshes_itself_and_older_pages_do_not(anna: User, as_anna: Client) -> None:
    assert b"hx-trigger" in as_anna.get(OUTBOX).content
    messages = add_sent(anna, 3)
    last = str(Cursor.of(messages[-1]))
    older = as_anna.get(reverse("outbox:folder", args=["sent"]), {"before": last})
    assert b"hx-trigger" not in older.content


@pytest.mark.parametrize("way", ["", "before", "after"], ids=["newest", "older", "newer"])
@pytest.mark.parametrize("folder", Folder.values)
def test_a_list_of_60_rows_takes_no_more_queries_than_one_of_5(
    anna: User,
    as_anna: Client,
    account: Account,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    folder: str,
    way: str,
) -> None:
    url = reverse("outbox:folder", args=[folder])
    # Session, user, preferences, page, recipients, three counts, accounts, invitations, unseen
    # failures. `after` reads the newest page too if little is above. Failed also reads which
    # failures are unseen.
    most = 11 + (way == "after") + (folder == Folder.FAILED)
    for count in (5, 60):
        messages = add_sent(anna, count)
        Message.objects.update(folder=folder, has_failure=folder == Folder.FAILED)
        with django_assert_max_num_queries(most):
            as_anna.get(url, {way: str(Cursor.of(messages[2]))} if way else {})


def test_counts_in_the_navigation_end_at_99(anna: User, as_anna: Client) -> None:
    Message.objects.bulk_create(Message(owner=anna) for _ in range(120))
    assert "99+" in as_anna.get(OUTBOX).content.decode()


def test_a_draft_is_listed_at_the_time_it_was_sent(
    anna: User, as_anna: Client, account: Account, draft: Message
) -> None:
    later = api.save_draft(anna, api.DraftFields(account=account, to="jo@example.com", subject="B"))
    api.send_draft(later, actor=anna)
    api.send_draft(draft, actor=anna)
    assert subjects(as_anna.get(OUTBOX)) == ["Figures", "B"]


def test_messages_listed_at_the_same_time_are_paged_without_gap(
    anna: User, as_anna: Client
) -> None:
    add_sent(anna, 2 * PAGE_SIZE)
    Message.objects.update(listed_at=timezone.now())
    url = reverse("outbox:folder", args=["sent"])
    first = as_anna.get(url)
    second = as_anna.get(url, {"before": first.context["list"].slice.older})
    assert len({*subjects(first), *subjects(second)}) == 2 * PAGE_SIZE
    top = as_anna.get(url, {"after": second.context["list"].slice.newer})
    assert subjects(top) == subjects(first)


def test_the_count_of_a_folder_is_spoken_in_singular_and_plural(
    anna: User, as_anna: Client, account: Account, draft: Message
) -> None:
    api.save_draft(anna, api.DraftFields(account=account, to="jo@example.com", subject="B"))
    api.send_draft(draft, actor=anna)
    page = as_anna.get(OUTBOX).content.decode()
    assert re.findall(r'<span class="unseen"> ([^<]*)<', page) == ["message", "message"]
    api.save_draft(anna, api.DraftFields(account=account, to="jo@example.com", subject="C"))
    page = as_anna.get(OUTBOX).content.decode()
    assert re.findall(r'<span class="unseen"> ([^<]*)<', page) == ["message", "messages"]
