"""Lists: what a row says, paging by key, and refreshing only what changed."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from outbox import api
from outbox.models import Account, Folder, Message, State, Status
from outbox.models.rollup import roll_up
from outbox.web.messages.paging import PAGE_SIZE, Place

OUTBOX = reverse("outbox:list")


def sent_mails(anna: User, count: int) -> list[Message]:
    """Rows for a long list; what they carry does not matter here."""
    return Message.objects.bulk_create(
        Message(owner=anna, subject=f"Mail {n}", status=Status.SENT, folder=Folder.SENT)
        for n in range(count)
    )


def subjects(answer: object) -> list[str]:
    page = answer.context["list"]  # type: ignore[attr-defined]  # the test client's
    return [row.message.subject for row in page.rows]


@pytest.mark.parametrize("folder", Folder.values)
def test_an_empty_folder_says_so(as_anna: Client, folder: str) -> None:
    page = as_anna.get(reverse("outbox:folder", args=[folder]))
    assert b'class="empty"' in page.content


def test_a_row_tells_states_and_next_try(as_anna: Client, mail: Message) -> None:
    first, second = mail.recipients.all()
    soon = timezone.now() + dt.timedelta(minutes=5, seconds=15)
    mail.recipients.filter(pk=first.pk).update(state=State.SENT)
    mail.recipients.filter(pk=second.pk).update(state=State.DEFERRED, next_attempt_at=soon)
    roll_up([mail.pk], timezone.now(), "default")
    page = as_anna.get(OUTBOX).content.decode()
    assert "1 sent" in page
    assert "1 deferred" in page
    assert "in 5 minutes" in page


def test_recipients_beyond_the_summary_are_counted(anna: User, as_anna: Client) -> None:
    Message.objects.create(
        owner=anna, status=Status.QUEUED, folder=Folder.OUTBOX, to_summary="a, b, c",
        recipient_count=40,
    )  # fmt: skip
    assert "+37" in as_anna.get(OUTBOX).content.decode()


def test_a_draft_leads_to_the_composer(as_anna: Client, draft: Message) -> None:
    page = as_anna.get(reverse("outbox:folder", args=["drafts"])).content.decode()
    assert reverse("outbox:draft", args=[draft.pk]) in page


def test_pages_are_keyed_and_meet_without_gap(anna: User, as_anna: Client) -> None:
    sent_mails(anna, 2 * PAGE_SIZE + 7)
    url = reverse("outbox:folder", args=["sent"])
    first = as_anna.get(url)
    second = as_anna.get(url, {"before": first.context["list"].stretch.older})
    third = as_anna.get(url, {"before": second.context["list"].stretch.older})
    assert [len(subjects(page)) for page in (first, second, third)] == [PAGE_SIZE, PAGE_SIZE, 7]
    assert len({*subjects(first), *subjects(second), *subjects(third)}) == 2 * PAGE_SIZE + 7
    assert third.context["list"].stretch.older is None
    back = as_anna.get(url, {"after": third.context["list"].stretch.newer})
    assert subjects(back) == subjects(second)
    top = as_anna.get(url, {"after": second.context["list"].stretch.newer})
    assert subjects(top) == subjects(first)


@pytest.mark.parametrize(
    "key", ["", "x", "-3", "1" * 40, "٣", "1.5", "7", "1-", "-", "1-x", f"{10**18 - 1}-1"]
)
def test_a_nonsense_key_shows_the_first_page(anna: User, as_anna: Client, key: str) -> None:
    sent_mails(anna, 3)
    url = reverse("outbox:folder", args=["sent"])
    for name in ("before", "after"):
        assert len(subjects(as_anna.get(url, {name: key}))) == 3


def test_an_unknown_folder_is_not_there(as_anna: Client) -> None:
    assert as_anna.get(reverse("outbox:folder", args=["spam"])).status_code == 404


def test_rows_are_sent_again_only_when_they_changed(as_anna: Client, mail: Message) -> None:
    seen = as_anna.get(OUTBOX).context["list"].fingerprint
    url = reverse("outbox:rows", args=["outbox"])
    assert as_anna.get(url, {"seen": seen}).status_code == 204
    mail.recipients.update(state=State.SENT)
    roll_up([mail.pk], timezone.now(), "default")
    changed = as_anna.get(url, {"seen": seen})
    assert changed.status_code == 200
    assert b"Figures" not in changed.content


def test_the_outbox_watches_itself_and_older_pages_do_not(anna: User, as_anna: Client) -> None:
    assert b"hx-trigger" in as_anna.get(OUTBOX).content
    mails = sent_mails(anna, 3)
    last = str(Place.of(mails[-1]))
    older = as_anna.get(reverse("outbox:folder", args=["sent"]), {"before": last})
    assert b"hx-trigger" not in older.content


@pytest.mark.parametrize("way", ["", "before", "after"], ids=["newest", "further down", "back up"])
@pytest.mark.parametrize("folder", Folder.values)
def test_a_list_costs_the_same_however_long_it_is(
    anna: User,
    as_anna: Client,
    account: Account,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    folder: str,
    way: str,
) -> None:
    url = reverse("outbox:folder", args=[folder])
    # Session, user, preferences, page, recipients, three counts, accounts, unseen failures; on the
    # way back up the newest page is shown instead where little is above. Failed asks what is new.
    most = 10 + (way == "after") + (folder == Folder.FAILED)
    for count in (5, 60):
        mails = sent_mails(anna, count)
        Message.objects.update(folder=folder, has_failure=folder == Folder.FAILED)
        with django_assert_max_num_queries(most):
            as_anna.get(url, {way: str(Place.of(mails[2]))} if way else {})


def test_counts_in_the_navigation_end_at_99(anna: User, as_anna: Client) -> None:
    Message.objects.bulk_create(Message(owner=anna) for _ in range(120))
    assert "99+" in as_anna.get(OUTBOX).content.decode()


def test_a_draft_that_is_sent_late_comes_to_the_top(
    anna: User, as_anna: Client, account: Account, draft: Message
) -> None:
    later = api.save_draft(anna, api.DraftFields(account=account, to="jo@example.com", subject="B"))
    api.send_draft(later, actor=anna)
    api.send_draft(draft, actor=anna)
    assert subjects(as_anna.get(OUTBOX)) == ["Figures", "B"]


def test_mail_listed_at_one_moment_is_paged_without_gap(anna: User, as_anna: Client) -> None:
    sent_mails(anna, 2 * PAGE_SIZE)
    Message.objects.update(listed_at=timezone.now())
    url = reverse("outbox:folder", args=["sent"])
    first = as_anna.get(url)
    second = as_anna.get(url, {"before": first.context["list"].stretch.older})
    assert len({*subjects(first), *subjects(second)}) == 2 * PAGE_SIZE
    top = as_anna.get(url, {"after": second.context["list"].stretch.newer})
    assert subjects(top) == subjects(first)
