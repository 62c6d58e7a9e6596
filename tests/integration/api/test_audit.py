"""The audit log: what is recorded, that it cannot be changed, and its line in the log."""

import json
import logging
from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from outbox.api import audit
from outbox.models import Account, AppendOnlyError, AuditAction, AuditEntry
from outbox.web.audit import audit_middleware

pytestmark = pytest.mark.django_db


def request_of(user: User | AnonymousUser, address: str = "203.0.113.7") -> HttpRequest:
    request = RequestFactory().get("/", REMOTE_ADDR=address)
    request.user = user  # as AuthenticationMiddleware does
    return request


def test_an_entry_names_actor_address_target_and_time() -> None:
    alice = User.objects.create_user("alice")
    account = Account.objects.create(name="Work", from_address="a@example.com", host="h")
    entry = audit.record(
        AuditAction.ACCOUNT_CHANGED,
        target=account,
        request=request_of(alice),
        fields=["host"],
    )
    entry = AuditEntry.objects.get(pk=entry.pk)
    assert (entry.actor_key, entry.actor_name) == (str(alice.pk), "alice")
    assert entry.address == "203.0.113.7"
    assert (entry.target_kind, entry.target_key) == ("outbox.account", str(account.pk))
    assert entry.target_name == str(account)
    assert entry.details == {"fields": ["host"]}
    assert entry.at is not None


def test_what_is_recorded_during_a_request_has_its_actor() -> None:
    alice = User.objects.create_user("alice")

    def view(request: HttpRequest) -> HttpResponse:
        audit.record(AuditAction.SIGN_OUT)
        return HttpResponse()

    audit_middleware(view)(request_of(alice))
    entry = AuditEntry.objects.get()
    assert (entry.actor_name, entry.address) == ("alice", "203.0.113.7")
    assert audit.record(AuditAction.SIGN_OUT).actor_name == ""


def test_an_anonymous_client_has_an_address_only() -> None:
    entry = audit.record(
        AuditAction.SIGN_IN_FAILED,
        target="root",
        request=request_of(AnonymousUser(), "not an address"),
    )
    assert (entry.actor_name, entry.address, entry.target_name) == ("", None, "root")


def test_an_entry_is_never_changed_or_deleted() -> None:
    entry = audit.record(AuditAction.SIGN_IN, target="alice")
    entry.action = AuditAction.SIGN_OUT
    changes: list[Callable[[], object]] = [
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(action="sign_out"),
        lambda: AuditEntry.objects.bulk_update([entry], ["action"]),
        lambda: AuditEntry.objects.filter(pk=entry.pk).update_or_create(
            pk=entry.pk, defaults={"action": "sign_out"}
        ),
    ]
    for change in changes:
        with pytest.raises(AppendOnlyError):
            change()
    assert AuditEntry.objects.get().action == AuditAction.SIGN_IN


def test_a_deleted_user_stays_in_the_log() -> None:
    alice = User.objects.create_user("alice")
    audit.record(AuditAction.SIGN_IN, actor=alice)
    alice.delete()
    assert AuditEntry.objects.get().actor_name == "alice"


@pytest.mark.parametrize("name", ["password", "new_secret", "access_token"])
def test_a_detail_that_is_named_like_a_secret_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        audit.record(AuditAction.ACCOUNT_CHANGED, using=None, request=None, **{name: "swordfish"})
    assert not AuditEntry.objects.exists()


def test_texts_are_bounded_and_fit_every_database() -> None:
    entry = audit.record(
        AuditAction.SIGN_IN_FAILED, target="\0" + "x" * 100_000, agent="y\0" * 100_000
    )
    entry = AuditEntry.objects.get(pk=entry.pk)
    assert entry.target_name == "x" * 255
    assert entry.details["agent"] == "y" * 200


def test_the_log_line_is_json_and_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    hostile = 'root\r\n2026-11-28 INFO outbox.security: {"action": "sign_in"}\x1b[2J\x7f\u2028'
    with caplog.at_level(logging.INFO, "outbox.security"):
        audit.record(AuditAction.SIGN_IN_FAILED, target=hostile, agent=hostile)
    line = caplog.messages[-1]
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert read["action"] == "sign_in_failed"
    assert read["target_name"] == hostile
