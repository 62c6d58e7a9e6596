"""Write, keep, come back, send; and what bad input leads to."""

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from outbox.models import Account, Message, Role, Status
from outbox.web.compose.forms import content_type_of
from tests.integration.web.conftest import signed_in, typed


def test_save_makes_a_draft_that_can_be_reopened(as_anna: Client, account: Account) -> None:
    response = as_anna.post(
        reverse("outbox:compose"), typed(account, bcc="boss@example.com", save="1")
    )
    draft = Message.objects.get()
    assert response["Location"] == reverse("outbox:draft", args=[draft.pk])
    assert draft.status == Status.DRAFT
    page = as_anna.get(response["Location"]).content.decode()
    assert "jane@example.com" in page
    assert "boss@example.com" in page


def test_send_queues_the_message_and_leads_to_its_page(as_anna: Client, account: Account) -> None:
    response = as_anna.post(
        reverse("outbox:compose"),
        typed(
            account, cc="joe@example.org", bcc="boss@example.com", reply_to="office@example.com",
            importance="high", send="1",
        ),
    )  # fmt: skip
    mail = Message.objects.get()
    assert response["Location"] == reverse("outbox:message", args=[mail.pk])
    assert mail.status == Status.QUEUED
    assert list(mail.recipients.values_list("role", "address")) == [
        (Role.TO, "jane@example.com"),
        (Role.CC, "joe@example.org"),
        (Role.BCC, "boss@example.com"),
    ]
    source = mail.source.read().decode()
    assert "Reply-To: office@example.com\r\n" in source
    assert "X-Priority: 1\r\n" in source
    assert "boss@example.com" not in source


def test_a_local_part_in_quotes_may_hold_a_space(as_anna: Client, account: Account) -> None:
    address = '"john smith"@example.com'
    saved = as_anna.post(reverse("outbox:compose"), typed(account, to=address, save="1"))
    form = as_anna.get(saved["Location"]).context["form"]
    assert form["to"].value() == address
    as_anna.post(reverse("outbox:compose"), typed(account, to=f"{address}, joe@x.org", send="1"))
    mail = Message.objects.get(status=Status.QUEUED)
    addresses = mail.recipients.values_list("address", flat=True)
    assert list(addresses) == [address, "joe@x.org"]


def test_a_form_sent_twice_makes_one_message(as_anna: Client, account: Account) -> None:
    page = as_anna.get(reverse("outbox:compose"))
    fields = typed(account, form=page.context["mark"], version="", send="1")
    first = as_anna.post(reverse("outbox:compose"), fields)
    again = as_anna.post(reverse("outbox:compose"), fields, follow=True)
    assert Message.objects.count() == 1
    assert again.redirect_chain[0][0] == first["Location"]
    assert b"This message was already sent. Nothing was changed." in again.content


def test_a_new_form_makes_a_new_message_even_with_the_same_text(
    as_anna: Client, account: Account
) -> None:
    for _ in range(2):
        page = as_anna.get(reverse("outbox:compose"))
        fields = typed(account, form=page.context["mark"], send="1")
        as_anna.post(reverse("outbox:compose"), fields)
    assert Message.objects.count() == 2


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("text/CSV", "text/csv"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("nonsense", "application/octet-stream"),
        ("text/plain; charset=x", "application/octet-stream"),
        ("a/" + "b" * 200, "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_a_content_type_is_kept_if_it_is_one(named: str, kept: str) -> None:
    upload = SimpleUploadedFile("x", b"x")
    upload.content_type = named
    assert content_type_of(upload) == kept


def test_one_draft_stays_one_row_until_it_is_sent(as_anna: Client, draft: Message) -> None:
    url = reverse("outbox:draft", args=[draft.pk])
    as_anna.post(url, typed(draft.account, subject="Second", version="1", save="1"))
    as_anna.post(url, typed(draft.account, subject="Third", version="2", send="1"))
    mail = Message.objects.get()
    assert (mail.subject, mail.status) == ("Third", Status.QUEUED)
    assert mail.attachment_count == 1


BAD_INPUT = [
    # field, what was typed, a word of the message
    ("to", "jane@", "jane@"),
    ("to", "", "recipient"),
    ("to", "jane@example.com, not an address", "not an address"),
    ("cc", "joe(at)example.org", "joe"),
    ("bcc", "@example.org", "@example.org"),
    ("reply_to", "office", "office"),
    ("to", "jane@example.com\r\nBcc: x", "has a colon"),
    ("account", "999999", "Choose one of your accounts."),
    ("account", "", "account"),
    ("account", "1; drop", "Choose one of your accounts."),
]


@pytest.mark.parametrize(("field", "value", "said"), BAD_INPUT)
def test_bad_input_is_shown_at_its_field_and_keeps_what_was_typed(
    as_anna: Client, account: Account, field: str, value: str, said: str
) -> None:
    files = SimpleUploadedFile("figures.csv", b"1;2;3", "text/csv")
    fields = typed(account, text="A long letter", send="1") | {field: value}
    response = as_anna.post(reverse("outbox:compose"), fields | {"attachments": files})
    assert response.status_code == 422
    form = response.context["form"]
    assert list(form.errors) == [field]
    assert said in str(form.errors[field])
    page = response.content.decode()
    assert f'id="id_{field}_error"' in page
    assert "A long letter" in page
    assert "figures.csv" in page
    kept = Message.objects.get()
    assert kept.status == Status.DRAFT
    assert kept.attachments.count() == 1


def test_a_subject_with_a_line_break_is_refused_at_its_field(
    as_anna: Client, account: Account
) -> None:
    fields = typed(account, subject="Hello\r\nBcc: victim@example.com", send="1")
    response = as_anna.post(reverse("outbox:compose"), fields)
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["subject"]
    assert Message.objects.get().status == Status.DRAFT


def test_an_invalid_draft_can_be_corrected_and_sent(as_anna: Client, account: Account) -> None:
    wrong = as_anna.post(reverse("outbox:compose"), typed(account, to="jane@", send="1"))
    draft = wrong.context["draft"]
    assert f'action="{reverse("outbox:draft", args=[draft.pk])}"' in wrong.content.decode()
    version = str(wrong.context["version"])
    as_anna.post(
        reverse("outbox:draft", args=[draft.pk]), typed(account, version=version, send="1")
    )
    assert Message.objects.get().status == Status.QUEUED


def test_a_file_over_the_limit_is_refused_and_the_rest_is_kept(
    as_anna: Client, account: Account, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 1_000}
    files = [
        SimpleUploadedFile("small.txt", b"x" * 600, "text/plain"),
        SimpleUploadedFile("second.txt", b"x" * 600, "text/plain"),
    ]
    response = as_anna.post(
        reverse("outbox:compose"), typed(account, send="1") | {"attachments": files}
    )
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["attachments"]
    draft = Message.objects.get()
    assert [file.name for file in draft.attachments.all()] == ["small.txt"]
    assert draft.status == Status.DRAFT


def test_a_single_file_over_the_limit_is_not_even_read(
    as_anna: Client, account: Account, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 1_000}
    files = SimpleUploadedFile("large.bin", b"x" * 1_001)
    response = as_anna.post(
        reverse("outbox:compose"), typed(account, save="1") | {"attachments": files}
    )
    assert "large.bin" in str(response.context["form"].errors["attachments"])
    assert not Message.objects.get().attachments.exists()


def test_an_attachment_can_be_removed_without_losing_typed_text(
    as_anna: Client, draft: Message
) -> None:
    file = draft.attachments.get()
    as_anna.post(
        reverse("outbox:draft", args=[draft.pk]),
        typed(draft.account, text="Longer now", version="1", remove=str(file.pk)),
    )
    draft = Message.objects.get()
    assert not draft.attachments.exists()
    assert draft.draft.text == "Longer now"


@pytest.mark.parametrize("nonsense", ["x", "-1", "9" * 30, "½", "99"])
def test_nonsense_to_remove_removes_nothing(as_anna: Client, draft: Message, nonsense: str) -> None:
    fields = typed(draft.account, version="1", remove=nonsense)
    response = as_anna.post(reverse("outbox:draft", args=[draft.pk]), fields)
    assert response.status_code == 302
    assert draft.attachments.count() == 1


def test_two_tabs_on_one_draft_get_a_conflict_and_nothing_is_overwritten(
    as_anna: Client, draft: Message
) -> None:
    url = reverse("outbox:draft", args=[draft.pk])
    as_anna.post(url, typed(draft.account, text="From the first tab", version="1", save="1"))
    response = as_anna.post(
        url, typed(draft.account, text="From the second tab", version="1", save="1")
    )
    assert response.status_code == 409
    page = response.content.decode()
    assert "From the first tab" in page
    assert "From the second tab" in page
    assert Message.objects.get().draft.text == "From the first tab"


def test_a_conflict_can_be_resolved_with_the_user_s_own_text(
    as_anna: Client, draft: Message
) -> None:
    url = reverse("outbox:draft", args=[draft.pk])
    as_anna.post(url, typed(draft.account, text="First", version="1", save="1"))
    as_anna.post(url, typed(draft.account, text="Second", version="2", save="1"))
    assert Message.objects.get().draft.text == "Second"


@pytest.mark.parametrize("version", ["", "x", "9" * 40])
def test_a_draft_without_a_known_version_is_a_conflict(
    as_anna: Client, draft: Message, version: str
) -> None:
    response = as_anna.post(
        reverse("outbox:draft", args=[draft.pk]), typed(draft.account, version=version, save="1")
    )
    assert response.status_code == 409


def test_a_sent_message_is_not_edited(as_anna: Client, mail: Message) -> None:
    url = reverse("outbox:draft", args=[mail.pk])
    page = reverse("outbox:message", args=[mail.pk])
    assert as_anna.get(url)["Location"] == page
    response = as_anna.post(url, typed(mail.account, text="Too late", version="1", send="1"))
    assert response["Location"] == page
    assert Message.objects.get().draft.text == "Hello"


def test_discard_asks_first_and_then_deletes(as_anna: Client, draft: Message) -> None:
    url = reverse("outbox:discard", args=[draft.pk])
    assert as_anna.get(url).status_code == 200
    assert Message.objects.exists()
    as_anna.post(url)
    assert not Message.objects.exists()


def test_a_sent_message_is_not_discarded(as_anna: Client, mail: Message) -> None:
    response = as_anna.post(reverse("outbox:discard", args=[mail.pk]), follow=True)
    assert b"already sent and cannot be discarded" in response.content
    assert Message.objects.exists()


def test_a_new_message_begins_with_normal_importance_and_one_s_first_account(
    as_anna: Client, account: Account
) -> None:
    page = as_anna.get(reverse("outbox:compose")).content.decode()
    assert '<option value="normal" selected>Normal</option>' in page
    assert f'<option value="{account.pk}" selected>' in page
    assert '<details class="more">' in page


def test_a_link_can_bring_recipient_and_subject_along(as_anna: Client, account: Account) -> None:
    page = as_anna.get(reverse("outbox:compose"), {"to": "x@example.org", "subject": "Hi"})
    assert b"x@example.org" in page.content
    assert b'value="Hi"' in page.content


def test_without_an_account_the_composer_says_what_to_do(carl: User) -> None:
    page = signed_in(carl).get(reverse("outbox:compose")).content.decode()
    assert reverse("outbox:account-add") in page
    assert "no sending account" in page
