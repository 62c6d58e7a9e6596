"""A full disk under the composer: the page says so, and the draft keeps its words."""

import base64
import datetime as dt
import errno

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.db import clock
from outbox.exceptions import StorageWriteError
from outbox.models import Account, Attachment, DraftKind, Message
from tests.full_storage import full_storage, stored_files

FULL = "The storage for files is full."
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 40).decode()


def typed(account: Account, **fields: object) -> dict[str, object]:
    return {
        "account": account.pk,
        "to": "bob@example.net",
        "subject": "Plan",
        "text": "Words",
    } | fields


def upload() -> SimpleUploadedFile:
    return SimpleUploadedFile("plan.txt", b"the plan" * 100, "text/plain")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_send_with_a_file_displays_that_the_storage_is_full(
    number: int, as_anna: Client, account: Account
) -> None:
    before = stored_files()
    with full_storage(number):
        response = as_anna.post(
            reverse("outbox:compose"), typed(account, send="1", attachments=upload())
        )

    assert response.status_code == 422
    assert FULL in response.context["form"].errors["attachments"][0]
    assert FULL in response.content.decode()
    draft = Message.objects.get()
    assert draft.is_draft
    assert draft.draft.text == "Words"
    assert stored_files() == before


def test_another_error_of_the_storage_is_displayed_with_its_cause(
    as_anna: Client, account: Account
) -> None:
    with full_storage(errno.EIO):
        response = as_anna.post(
            reverse("outbox:compose"), typed(account, send="1", attachments=upload())
        )

    assert response.status_code == 422
    assert "cannot be written to at present" in response.context["form"].errors["attachments"][0]


def test_a_text_that_goes_to_the_storage_is_kept_as_a_draft(
    as_anna: Client, account: Account, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 1_000}
    text = "Words. " * 1_000
    with full_storage():
        response = as_anna.post(reverse("outbox:compose"), typed(account, text=text, send="1"))

    assert response.status_code == 422
    assert FULL in response.content.decode()
    draft = Message.objects.get()
    assert draft.is_draft
    assert draft.draft.text == text

    fields = typed(account, text=text, send="1", version=draft.draft.version)
    assert as_anna.post(reverse("outbox:draft", args=[draft.pk]), fields).status_code == 302
    assert Message.objects.get().status == "queued"


def test_an_upload_is_refused_with_the_reason(
    as_anna: Client, account: Account, anna: User
) -> None:
    draft = api.save_draft(anna, api.DraftFields(account=account, text="Words"))
    url = reverse("outbox:draft-attachments", args=[draft.pk])
    with full_storage():
        response = as_anna.post(url, {"attachments": upload()})

    assert response.status_code == 422
    assert FULL in response.json()["problem"]
    assert not Attachment.objects.exists()


def test_autosave_stores_the_words_and_reports_a_picture_that_cannot_be_stored(
    as_anna: Client, account: Account
) -> None:
    html = f'<p>Words <img src="data:image/png;base64,{PICTURE}"></p>'
    with full_storage():
        response = as_anna.post(reverse("outbox:compose-save"), typed(account, html=html))

    assert response.status_code == 200
    assert FULL in response.json()["problem"]
    assert "Words" in Message.objects.get().draft.html


def test_a_forward_is_saved_without_its_files(
    as_anna: Client, account: Account, anna: User
) -> None:
    original = api.send(
        account=account,
        owner=anna,
        to="bob@example.net",
        subject="Plan",
        text="See the plan.",
        attachments=[api.AttachmentPart(name="plan.txt", content_type="text/plain", data=b"plan")],
    ).message()
    (file,) = api.prepare_reply(original, DraftKind.FORWARD, actor=anna).files
    from_original = {"from": original.pk, "as": "forward", "included": file.path}
    with full_storage():
        response = as_anna.post(
            reverse("outbox:compose"), typed(account, send="1", **from_original)
        )
        with pytest.raises(StorageWriteError):
            api.reply_to_message(original, DraftKind.FORWARD, actor=anna)

    assert response.status_code == 422
    assert FULL in response.content.decode()
    draft = Message.objects.get(status="draft")
    assert draft.made_from == original, "the draft lost its original"
    assert not draft.attachments.exists()


def test_a_reschedule_succeeds_with_the_former_date(
    account: Account, anna: User, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    tomorrow = clock.now() + dt.timedelta(days=1)
    handle = api.send(
        account=account, owner=anna, to="bob@example.net", text="Words", send_at=tomorrow
    )
    source = handle.message().source.read()

    with full_storage():
        api.reschedule(handle, tomorrow + dt.timedelta(days=1), actor=anna)

    message = handle.message()
    assert message.send_at == tomorrow + dt.timedelta(days=1)
    assert message.source.read() == source
