"""The audit log in the admin: staff read and filter it, and no page changes it."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox.api import audit
from outbox.models import AuditAction, AuditEntry

LIST = "/admin/outbox/auditentry/"


@pytest.fixture
def entry(db: None) -> AuditEntry:
    audit.record(AuditAction.SIGN_OUT, target="another target")
    return audit.record(AuditAction.SIGN_IN_FAILED, target="<script>eve</script>", agent="<b>agent")


def test_staff_see_the_entries(staff: Client, entry: AuditEntry) -> None:
    page = staff.get(LIST).content.decode()
    assert "sign-in failed" in page
    assert "&lt;script&gt;eve" in page
    details = staff.get(f"{LIST}{entry.pk}/change/").content.decode()
    assert "&lt;b&gt;agent" in details


def test_the_list_is_filtered_by_action_and_searched_by_target(
    staff: Client, entry: AuditEntry
) -> None:
    for query in ("?action=sign_in_failed", "?q=<script>eve", "?at__year=2020"):
        page = staff.get(f"{LIST}{query}").content.decode()
        assert "another target" not in page
    assert "&lt;script&gt;eve" in staff.get(f"{LIST}?action=sign_in_failed").content.decode()


def test_the_filter_by_time_uses_an_index(staff: Client, entry: AuditEntry) -> None:
    with CaptureQueriesContext(connection) as captured:
        page = staff.get(f"{LIST}?at__gte=2026-01-01+00:00:00Z&at__lt=2026-01-02+00:00:00Z")
    assert page.status_code == 200
    filtered = next(one["sql"] for one in captured if '"at" <' in one["sql"])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        prefix = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        # With the order, a tiny table may be read by its key.
        cursor.execute(f"{prefix} {filtered.partition(' ORDER BY ')[0]}")
        plan = str(cursor.fetchall())
    assert "outbox_audit_at" in plan


def test_no_user_adds_changes_or_deletes_an_entry(staff: Client, entry: AuditEntry) -> None:
    before = list(AuditEntry.objects.values())
    assert staff.post(f"{LIST}add/", {"action": "sign_in"}).status_code == 403
    assert staff.post(f"{LIST}{entry.pk}/change/", {"action": "sign_in"}).status_code == 403
    assert staff.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    staff.post(LIST, chosen)
    assert list(AuditEntry.objects.values()) == before


def test_a_permission_is_needed(client: Client, onlooker: Client, entry: AuditEntry) -> None:
    assert client.get(LIST).status_code == 302
    assert onlooker.get(LIST).status_code == 200
