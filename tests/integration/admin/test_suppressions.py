"""The suppression list in the admin: search, add, remove, import and export."""

import datetime as dt

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from outbox import api
from outbox.delivery import sweep
from outbox.models import Account, AuditAction, AuditEntry, Recipient, State, Suppression
from outbox.models.suppression import name_of
from tests.integration.admin.conftest import queue

pytestmark = pytest.mark.every_database

LIST = "/admin/outbox/suppression/"


def upload(staff: Client, text: str, account: Account | None = None) -> str:
    file = SimpleUploadedFile("list.csv", text.encode())
    data = {"file": file, "account": str(account.pk) if account else ""}
    response = staff.post(f"{LIST}import/", data, follow=True)
    return response.content.decode()


def exported(staff: Client, query: str = "") -> list[str]:
    response = staff.get(f"{LIST}export/{query}")
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]
    return content.decode("utf-8-sig").splitlines()


def addresses() -> list[str]:
    return list(Suppression.objects.order_by("pk").values_list("address", flat=True))


def test_staff_add_search_and_remove_an_address(staff: Client, account: Account) -> None:
    waiting = queue(account, "jane@example.com")
    data = {"address": "Jane@Example.com", "account": "", "why": "complained", "evidence": "ARF"}
    assert staff.post(f"{LIST}add/", data).status_code == 302
    entry = Suppression.objects.get()
    assert (entry.folded, name_of(entry.reason), entry.evidence) == (
        "jane@example.com",
        "complained",
        "ARF",
    )
    assert entry.created_by is not None
    assert waiting.recipients.get().state == State.HELD
    api.suppress("zoe@example.com", account=account)

    assert "Jane@Example.com" in staff.get(LIST, {"q": "JANE@"}).content.decode()
    assert "Jane@Example.com" not in staff.get(LIST, {"list": "account"}).content.decode()
    assert staff.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 302
    assert addresses() == ["zoe@example.com"]
    selected = {
        "action": "delete_selected",
        "post": "yes",
        "_selected_action": [str(Suppression.objects.get().pk)],
    }
    staff.post(LIST, selected)
    assert addresses() == []
    entries = AuditEntry.objects.filter(target_kind="outbox.suppression").order_by("pk")
    actions = entries.values_list("action", "target_name")
    assert list(actions) == [
        (AuditAction.SUPPRESSED, "Jane@Example.com"),
        (AuditAction.SUPPRESSED, "zoe@example.com"),
        (AuditAction.UNSUPPRESSED, "Jane@Example.com"),
        (AuditAction.UNSUPPRESSED, "zoe@example.com"),
    ]


def test_an_address_that_is_none_is_an_error_of_its_field(staff: Client) -> None:
    data = {"address": "nonsense", "account": "", "why": "manual"}
    assert "“nonsense” has no @" in staff.post(f"{LIST}add/", data).content.decode()


def test_an_export_is_imported_unchanged_and_has_no_formulas(
    staff: Client, account: Account
) -> None:
    until = timezone.now() + dt.timedelta(days=1)
    api.suppress("+1@example.com", reason="bounced", evidence="=HYPERLINK(1)", until=until)
    api.suppress("zoe@example.com", reason="left, for good", account=account)
    lines = exported(staff)
    assert lines[0] == "address,account,tag,reason,evidence,since,until"
    assert lines[1].startswith("'+1@example.com,,,bounced,'=HYPERLINK(1),")
    assert exported(staff, "?q=zoe")[1].startswith('zoe@example.com,shop,,"left, for good",,')
    assert len(exported(staff, "?q=zoe")) == 2

    before = Suppression.objects.values_list("address", "reason", "evidence", "until")
    expected = list(before.filter(account=None))
    Suppression.objects.all().delete()
    page = upload(staff, "\n".join(lines))
    assert "Added: 1. Replaced: 0. Rejected: 1." in page  # the other one is of an account
    assert list(before.all()) == expected
    details = AuditEntry.objects.filter(action=AuditAction.SUPPRESSIONS_IMPORTED).get().details
    assert details == {"added": 1, "replaced": 0, "rejected": 1}


def test_tags_are_entered_shown_exported_and_imported(staff: Client, account: Account) -> None:
    data = {"address": "a@example.com", "account": "", "why": "manual", "tag": "news"}
    shown = staff.post(f"{LIST}add/", data).content.decode()
    assert "Choose the account, or leave the tag empty." in shown
    long = staff.post(f"{LIST}add/", data | {"account": account.pk, "tag": "é" * 51})
    assert "tag has 102 bytes. The limit is 100." in long.content.decode()
    assert staff.post(f"{LIST}add/", data | {"account": account.pk}).status_code == 302
    api.suppress("a@example.com", account=account)
    assert ">shop, tag “news”</td>" in staff.get(LIST).content.decode()
    lines = exported(staff)
    before = set(Suppression.objects.values_list("address", "account", "tag"))
    assert "Added: 0. Replaced: 2. Rejected: 0." in upload(staff, "\n".join(lines), account)
    Suppression.objects.all().delete()
    assert "Added: 2. Replaced: 0. Rejected: 0." in upload(staff, "\n".join(lines), account)
    assert set(Suppression.objects.values_list("address", "account", "tag")) == before
    # The site has none, and what is limited to a tag must not become an entry for all messages.
    text = "address,tag\nb@example.com,news"
    assert "Added: 0. Replaced: 0. Rejected: 1." in upload(staff, text)
    for tag in ("é" * 51, '"a\nb"'):
        assert "Rejected: 1." in upload(staff, f"address,tag\nb@example.com,{tag}", account)


def test_a_plain_list_of_addresses_is_imported_and_holds_what_waits(
    staff: Client, account: Account
) -> None:
    waiting = queue(account, "jane@example.com", "joe@example.com")
    page = upload(staff, "JANE@example.com\nnonsense\n\njane@example.com\n", account)
    assert "Added: 1. Replaced: 0. Rejected: 1." in page
    assert "2: nonsense" in page
    assert "Replaced: 1." in upload(staff, "address,reason\njane@example.com,unsubscribed", account)
    sweep.sweep("default")
    states = dict(waiting.recipients.values_list("address", "state"))
    assert states == {"jane@example.com": State.HELD, "joe@example.com": State.QUEUED}


def test_a_file_in_another_encoding_is_rejected(staff: Client) -> None:
    file = SimpleUploadedFile("list.csv", "jürgen@example.com".encode("latin-1"))
    page = staff.post(f"{LIST}import/", {"file": file, "account": ""}).content.decode()
    assert "Save the file in UTF-8." in page
    assert not Suppression.objects.exists()


def test_staff_who_may_only_view_export_and_change_nothing(
    onlooker: Client, account: Account
) -> None:
    entry = api.suppress("jane@example.com")
    assert onlooker.get(LIST).status_code == 200
    assert len(exported(onlooker)) == 2
    assert onlooker.get(f"{LIST}import/").status_code == 403
    assert onlooker.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Recipient.objects.count() == 0
    assert addresses() == ["jane@example.com"]


def test_users_who_are_not_staff_see_no_list(db: None) -> None:
    assert Client().get(f"{LIST}export/").status_code == 302


def test_the_list_shows_no_control_characters_and_short_times(staff: Client) -> None:
    until = timezone.now() + dt.timedelta(days=3)
    api.suppress("jane@example.com", reason="manual", evidence="550 \u202egnp.exe", until=until)
    shown = staff.get(LIST).content.decode()
    assert "jane<wbr>@example.com" in shown
    assert "\u202e" not in shown
    assert "in 3 days" in shown


def test_the_number_of_rows_reads_well_in_chinese(staff: Client) -> None:
    assert "0 bulk operations" in staff.get("/admin/outbox/bulkoperation/").content.decode()
    staff.cookies["django_language"] = "zh-hans"
    assert "批量操作：0" in staff.get("/admin/outbox/bulkoperation/").content.decode()
