"""A draft saves itself while it is written: one row, no silent overwrite, nothing lost."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.models import Account, Message, Status
from tests.integration.web.conftest import typed

pytestmark = pytest.mark.every_database

COMPOSE_SAVE = reverse("outbox:compose-save")


def save(client: Client, address: str, fields: dict[str, str]) -> dict[str, Any]:
    """What the composer's script does a second after a change."""
    response = client.post(address, fields)
    assert response.status_code == 200, response.content
    reported: dict[str, Any] = response.json()
    return reported


def test_the_first_save_makes_a_draft_and_says_where_it_is(
    as_anna: Client, account: Account
) -> None:
    reported = save(as_anna, COMPOSE_SAVE, typed(account, form="page-1", to="jane@", text="Dear"))
    draft = Message.objects.get()
    assert reported["draft"] == reverse("outbox:draft", args=[draft.pk])
    assert reported["save"] == reverse("outbox:draft-save", args=[draft.pk])
    assert reported["version"] == 1
    assert draft.draft.to == "jane@"
    assert "has no domain" in reported["invalid"]["to"]["problem"]


def test_many_saves_of_one_page_stay_one_row(as_anna: Client, account: Account) -> None:
    reported = save(as_anna, COMPOSE_SAVE, typed(account, form="page-1", text="D"))
    for text in ("De", "Dea", "Dear"):
        fields = typed(account, form="page-1", version=str(reported["version"]), text=text)
        reported = save(as_anna, reported["save"], fields)
    assert Message.objects.get().draft.text == "Dear"
    assert reported["version"] == 4


def test_a_save_whose_response_was_lost_makes_no_second_draft_and_no_conflict(
    as_anna: Client, account: Account
) -> None:
    save(as_anna, COMPOSE_SAVE, typed(account, form="page-1", text="Dear"))
    reported = save(as_anna, COMPOSE_SAVE, typed(account, form="page-1", text="Dear Jane"))
    assert Message.objects.get().draft.text == "Dear Jane"
    save(as_anna, reported["save"], typed(account, form="page-1", version="2", text="Dear Jane,"))
    late = typed(account, form="page-1", version="2", text="Dear Jane, and")
    save(as_anna, reported["save"], late)
    assert Message.objects.get().draft.text == "Dear Jane, and"


def test_the_same_mark_of_another_person_s_page_is_another_draft(
    as_anna: Client, as_ben: Client, account: Account
) -> None:
    save(as_anna, COMPOSE_SAVE, typed(account, form="page-1", text="Anna's"))
    save(as_ben, COMPOSE_SAVE, typed(account, form="page-1", text="Ben's"))
    assert Message.objects.count() == 2


def test_a_second_tab_is_shown_and_nothing_is_overwritten(as_anna: Client, draft: Message) -> None:
    address = reverse("outbox:draft-save", args=[draft.pk])
    fields = typed(draft.account, version="1", form="tab-1", text="From the first tab")
    save(as_anna, address, fields)
    response = as_anna.post(address, fields | {"form": "tab-2", "text": "From the second tab"})
    assert response.status_code == 409
    assert Message.objects.get().draft.text == "From the first tab"


def test_the_first_tab_is_shown_once_the_second_one_won(as_anna: Client, draft: Message) -> None:
    address = reverse("outbox:draft-save", args=[draft.pk])
    save(as_anna, address, typed(draft.account, version="1", form="tab-1", text="First"))
    save(as_anna, address, typed(draft.account, version="2", form="tab-2", text="Second"))
    response = as_anna.post(
        address, typed(draft.account, version="2", form="tab-1", text="First again")
    )
    assert response.status_code == 409
    assert Message.objects.get().draft.text == "Second"


def test_a_page_whose_draft_was_changed_elsewhere_creates_no_other_draft(
    as_anna: Client, account: Account
) -> None:
    reported = save(as_anna, COMPOSE_SAVE, typed(account, form="page-1", text="Begun"))
    save(as_anna, reported["save"], typed(account, form="page-2", version="1", text="Gone on"))
    response = as_anna.post(COMPOSE_SAVE, typed(account, form="page-1", text="Older"))
    assert response.status_code == 409
    assert Message.objects.get().draft.text == "Gone on"


def test_a_conflict_shows_both_and_mine_can_be_kept(as_anna: Client, draft: Message) -> None:
    save(
        as_anna,
        reverse("outbox:draft-save", args=[draft.pk]),
        typed(draft.account, version="1", form="tab-1", text="First"),
    )
    address = reverse("outbox:draft", args=[draft.pk])
    fields = typed(draft.account, version="1", form="tab-2", text="Second", wants_report="on")
    shown = as_anna.post(address, fields | {"save": "1"})
    assert shown.status_code == 409
    assert "First" in shown.content.decode()
    mine = shown.context["mine"] | {"version": str(shown.context["draft"].draft.version)}
    as_anna.post(address, mine | {"save": "1"})
    kept = Message.objects.get()
    assert kept.draft.text == "Second"
    assert kept.wants_report


def test_a_save_of_a_draft_that_was_already_sent_is_rejected(
    as_anna: Client, mail: Message
) -> None:
    address = reverse("outbox:draft-save", args=[mail.pk])
    response = as_anna.post(address, typed(mail.account, version="1", text="Too late"))
    assert response.status_code == 410
    assert "sent or discarded" in response.json()["problem"]
    assert mail.draft.text == "Hello"


def test_a_page_that_sent_its_draft_creates_no_other_draft(
    as_anna: Client, account: Account
) -> None:
    fields = typed(account, form="page-1", send="1")
    as_anna.post(reverse("outbox:compose"), fields)
    assert as_anna.post(COMPOSE_SAVE, fields).status_code == 410
    assert Message.objects.get().status == Status.QUEUED


def test_a_discarded_draft_is_gone(as_anna: Client, draft: Message) -> None:
    address = reverse("outbox:draft-save", args=[draft.pk])
    fields = typed(draft.account, version="1")
    api.discard_draft(draft)
    assert as_anna.post(address, fields).status_code == 404


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "reply_to"])
def test_an_invalid_address_is_reported_by_the_save(
    as_anna: Client, account: Account, field: str
) -> None:
    wrong = save(as_anna, COMPOSE_SAVE, typed(account, **{field: "jane(at)example.org"}))["invalid"]
    assert list(wrong) == [field]


def test_files_are_put_in_and_taken_out_without_a_save(
    as_anna: Client, anna: User, draft: Message
) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    address = reverse("outbox:draft-attachments", args=[draft.pk])
    upload = SimpleUploadedFile("page.pdf", b"%PDF", "application/pdf")
    reported = as_anna.post(address, {"attachments": upload}).json()
    assert "page.pdf" in reported["list"]
    assert reported["pictures"] == []
    first = draft.attachments.get(name="figures.csv")
    reported = as_anna.post(address, {"remove": str(first.pk)}).json()
    assert "figures.csv" not in reported["list"]
    assert [file.name for file in draft.attachments.all()] == ["page.pdf"]
    assert Message.objects.get().draft.version == 1
