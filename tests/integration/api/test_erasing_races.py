"""Erasing an address while authors change the same messages and drafts."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.utils import timezone

from outbox import api
from outbox.api import erasure
from outbox.api.erasure import messages as steps
from outbox.exceptions import DraftConflictError
from outbox.models import Account, Attachment, Draft, Message, SearchEntry, Source, State
from tests.integration.races import ONE_WRITER, committed_before
from tests.states import set_state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]

BOB, ANN = "bob.smith@example.net", "ann@example.org"
# What is found by then was read before the lock.
RECIPIENTS = 'SELECT "outbox_recipient"."id", "outbox_recipient"."message_id"'
DRAFT = 'SELECT "outbox_message"."id", "outbox_message"."owner_id"'


@pytest.fixture(autouse=True)
def _own_storage(settings: LazySettings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = settings.SCRATCH / tmp_path.name


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("owner", email="owner@example.com")


@pytest.fixture
def sender(owner: User) -> Account:
    return Account.objects.create(
        name="Shop", from_address="shop@example.com", host="mail.example.com", owner=owner
    )


def scheduled(owner: User, sender: Account, text: str, *, to: str, reply_to: str = "") -> Message:
    later = timezone.now() + dt.timedelta(days=1)
    fields = api.DraftFields(account=sender, to=to, reply_to=reply_to, text=text, send_at=later)
    draft = api.save_draft(owner, fields)
    api.attach(draft, "plan.txt", "text/plain", b"plan")
    return api.send_draft(draft, actor=owner)


@ONE_WRITER
def test_a_message_that_is_edited_again_stays_with_its_other_recipients(
    owner: User, sender: Account
) -> None:
    message = scheduled(owner, sender, "Long text", to=f"{BOB}, {ANN}")
    with committed_before(RECIPIENTS, lambda: api.return_to_drafts(message, actor=owner)):
        steps.erase_received(erasure.traces_of(BOB), "default", steps.Changes())
    erasure.erase_address(BOB)
    draft = Draft.objects.get(pk=message.pk)
    assert (draft.to, draft.text) == (ANN, "Long text")


@ONE_WRITER
def test_the_draft_of_a_message_that_is_edited_again_keeps_its_content(
    owner: User, sender: Account
) -> None:
    message = scheduled(owner, sender, f"Ask {BOB}", to=ANN)
    with committed_before(RECIPIENTS, lambda: api.return_to_drafts(message, actor=owner)):
        list(steps.erase_from_sources(erasure.traces_of(BOB), "default", steps.Changes()))
    assert Draft.objects.get(pk=message.pk).to == ANN
    assert Attachment.objects.filter(message=message).exists()


@ONE_WRITER
def test_a_source_that_is_replaced_in_between_is_read_again(owner: User, sender: Account) -> None:
    message = scheduled(owner, sender, "Hello", to=ANN, reply_to=BOB)
    other = message.send_at
    assert other is not None

    def replace() -> None:
        api.reschedule(message, other + dt.timedelta(days=1), actor=owner)
        set_state(
            message.recipients.all(),
            State.SENT,
            final_at=timezone.now(),
            next_attempt_at=None,
        )

    with committed_before(RECIPIENTS, replace):
        list(steps.erase_from_sources(erasure.traces_of(BOB), "default", steps.Changes()))
    text = Source.objects.get(pk=message.pk).read().decode()
    assert BOB not in text
    assert f"{other + dt.timedelta(days=1):%d %b %Y}" in text


@ONE_WRITER
def test_a_draft_that_gets_another_recipient_in_between_is_not_deleted(
    owner: User, sender: Account
) -> None:
    draft = api.save_draft(owner, api.DraftFields(account=sender, to=BOB, text="Plan"))
    fields = api.DraftFields(account=sender, to=f"{BOB}, {ANN}", text="New plan")
    with committed_before(DRAFT, lambda: api.save_draft(owner, fields, draft=draft)):
        erasure.erase_address(BOB)
    saved = Draft.objects.get(pk=draft.pk)
    assert (saved.to, saved.text) == (ANN, "New plan")


@ONE_WRITER
def test_a_draft_that_is_sent_in_between_is_not_deleted(owner: User, sender: Account) -> None:
    draft = api.save_draft(owner, api.DraftFields(account=sender, to=BOB, text="Plan"))
    with committed_before(DRAFT, lambda: api.send_draft(draft, actor=owner)):
        erasure.erase_address(BOB)
    assert Message.objects.filter(pk=draft.pk).exists()


def test_a_window_that_is_open_on_a_changed_draft_gets_a_conflict(
    owner: User, sender: Account
) -> None:
    fields = api.DraftFields(account=sender, to=f"{BOB}, {ANN}")
    draft = api.save_draft(owner, fields, page="page-1")
    version = draft.draft.version
    erasure.erase_address(BOB)
    with pytest.raises(DraftConflictError):
        api.save_draft(owner, fields, draft=draft, version=version, page="page-1")
    assert Draft.objects.get(pk=draft.pk).to == ANN


def test_a_draft_without_recipients_stays_if_replies_would_go_to_the_address(
    owner: User, sender: Account
) -> None:
    draft = api.save_draft(owner, api.DraftFields(account=sender, reply_to=BOB, text="Long text"))
    erasure.erase_address(BOB)
    saved = Draft.objects.get(pk=draft.pk)
    assert (saved.reply_to, saved.text) == ("", "Long text")


@pytest.mark.parametrize("name", ["subject", "text", "html"])
def test_a_window_that_is_open_on_a_changed_text_gets_a_conflict(
    owner: User, sender: Account, name: str
) -> None:
    text: dict[str, Any] = {name: f"Ask {BOB} first"}
    fields = api.DraftFields(account=sender, to=ANN, **text)
    draft = api.save_draft(owner, fields, page="page-1")
    version = draft.draft.version
    assert erasure.erase_address(BOB).is_complete
    with pytest.raises(DraftConflictError):
        api.save_draft(owner, fields, draft=draft, version=version, page="page-1")
    assert erasure.survey(erasure.traces_of(BOB)) == {}
    saved = Draft.objects.select_related("message").get(pk=draft.pk)
    kept = saved.message.subject if name == "subject" else getattr(saved, name)
    assert (saved.to, kept) == (ANN, "Ask erased@erased.invalid first")
    entry = SearchEntry.objects.get(pk=draft.pk)
    assert not any("smith" in term for term in (*entry.head, *entry.body))


@ONE_WRITER
def test_a_text_that_is_saved_in_between_is_kept_without_the_address(
    owner: User, sender: Account
) -> None:
    draft = api.save_draft(owner, api.DraftFields(account=sender, to=ANN, text=f"Ask {BOB}"))
    fields = api.DraftFields(account=sender, to=ANN, text=f"Ask {BOB}, or Eve")
    with committed_before(DRAFT, lambda: api.save_draft(owner, fields, draft=draft)):
        erasure.erase_address(BOB)
    assert Draft.objects.get(pk=draft.pk).text == "Ask erased@erased.invalid, or Eve"
