"""Everything about one address is exported and erased: planted everywhere, then searched for.

The search reads every table and every file of the storage.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import LazySettings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from outbox import api
from outbox.api import audit, bulk_actions, erasure
from outbox.api.delivery_reports import send_reports
from outbox.api.message_actions import RECIPIENT_ACTIONS
from outbox.delivery.sweep import index_new_messages
from outbox.exceptions import ContentErasedError
from outbox.mail.server_replies import FailureKind, normalized_reply
from outbox.mail.traces import PLACEHOLDER
from outbox.models import (
    Account,
    Alarm,
    Attachment,
    Attempt,
    AuditAction,
    AuditEntry,
    BulkOperation,
    Contact,
    Draft,
    Event,
    FailureDigest,
    Message,
    Origin,
    Preferences,
    Recipient,
    ReplyGroup,
    SearchEntry,
    SmtpSession,
    Source,
    State,
    Status,
    Suppression,
    Template,
    Webhook,
    WebhookCall,
)
from outbox.models.reply_group import store
from outbox.reasons import quoted
from signin.models import ResetRequest
from tests.integration.inbound.returned import receive
from tests.planted import _files, _rows
from tests.states import set_state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]

BOB, ANN = "bob.smith@example.net", "ann@example.org"
OTHERS = ("jim-bob.smith@example.net", "bob.smith@example.network")  # longer addresses
NAME = "Robert Smithers"


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


def forms() -> set[bytes]:
    """Return the ways in which the address may be stored, in lower case."""
    raw = BOB.encode()
    found = {raw, quote(BOB).lower().encode(), b"bob.smith=example.net", NAME.lower().encode()}
    found.add(raw.replace(b"@", b"=40"))
    found |= {raw.replace(b"@", b"&#64;"), raw.replace(b"@", b"\\u0040")}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw).rstrip(b"=")
        found.add(encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6].lower())
    return found


def traces() -> set[str]:
    """Return the tables and files that have the address or the name."""
    found = set()
    for place, content in (*_rows(()), *_files()):
        text = content.lower()
        for other in OTHERS:
            text = text.replace(other.encode(), b"")
        if any(form in text for form in forms()):
            found.add(place)
    return found


def send(sender: Account, *to: str, **fields: Any) -> Message:
    values: dict[str, Any] = {"to": list(to), "subject": "Hi", "text": "Hello", "account": sender}
    return api.send(**values | fields).message()


def finish(message: Message, state: State = State.SENT) -> Message:
    """End the delivery of a message, with what a server said about each recipient."""
    now = timezone.now()
    session = SmtpSession.objects.create(
        host="mail", started_at=now, ended_at=now, opening='[[1, "S", "220"]]'
    )
    recipients = list(message.recipients.all())
    attempt = Attempt.objects.create(
        message=message,
        session=session,
        started_at=now,
        ended_at=now,
        outcome="partial",
        reply_text=f"550 <{recipients[0].address}> unknown",
        results=json.dumps([
            {"recipient": one.pk, "address": one.address, "state": "sent", "text": one.address}
            for one in recipients
        ]),
        transfer=json.dumps([
            [1, "C", f"RCPT TO:<{one.address}> ORCPT=rfc822;{one.address}"] for one in recipients
        ]),
        traceback=f"Error: {recipients[0].address}",
        late_reply=f"250 {recipients[0].address}",
        reason=quoted(f"rejected {recipients[0].address}"),
    )  # fmt: skip
    for one in recipients:
        set_state(
            Recipient.objects.filter(pk=one.pk),
            state,
            final_at=now,
            next_attempt_at=None,
            attempt=attempt,
            reply_code=550,
            reply_text=f"<{one.address}>: no mailbox of {NAME}" if one.address == BOB else "ok",
            reason=quoted(f"for {one.address}"),
        )
        Event.objects.create(
            message=message, recipient=one, kind="held", at=now, why=f"asked by {one.address}"
        )
    Message.objects.filter(pk=message.pk).update(status=Status.SENT)
    return message


def plant(owner: User, sender: Account) -> dict[str, Message]:
    """Store the address in every table and into files."""
    mine = finish(send(sender, f"{NAME} <{BOB}>", text=f"Dear {BOB}", owner=owner))
    large = finish(send(sender, f"{NAME} <{BOB}>", text="x" * 300_000, owner=owner))
    shared = finish(
        send(
            sender,
            f"{NAME} <{BOB}>",
            ANN,
            *OTHERS,
            subject=f"About {BOB}",
            cc=[BOB.upper().replace("EXAMPLE", "Example")],
            headers={"X-Reference": f"<{BOB}>"},
            metadata={"customer": BOB},
            tags=["vip", BOB],
            idempotency_key=f"welcome-{BOB}",
            owner=owner,
        )
    )
    mentioned = finish(send(sender, ANN, text=f"Write to {BOB}, please: {quote(BOB)}"))
    attached = finish(
        send(sender, ANN, attachments=[("list.csv", f"name,{BOB}\n".encode())], owner=owner)
    )
    clean = finish(send(sender, ANN, OTHERS[0], text=f"Ask {OTHERS[1]}", owner=owner))
    alone = api.save_draft(owner, api.DraftFields(account=sender, to=BOB, text="to him only"))
    api.attach(alone, "plan.txt", "text/plain", b"plan")
    draft = api.save_draft(
        owner,
        api.DraftFields(
            account=sender, to=f"{NAME} <{BOB}>, {ANN}", bcc=BOB, text=f"cc {BOB}", html=f"<p>{BOB}"
        ),
    )
    api.attach(draft, "people.txt", "text/plain", BOB.encode())
    composed = api.save_draft(
        owner,
        api.DraftFields(account=sender, to=f"{ANN}, {NAME} <{BOB}>", text="Both", subject="Us"),
    )
    finish(api.send_draft(composed, actor=owner))
    index_new_messages("default")

    api.suppress(BOB, reason="unsubscribed", evidence=f"Mail from {BOB}", actor=owner)
    api.suppress(BOB, account=sender, reason=f"{NAME} asked", evidence="x")
    audit.record(AuditAction.EXPORTED, actor=owner, selection=f"q={quote(BOB)}")
    bulk_actions.propose(
        RECIPIENT_ACTIONS["hold"],
        criteria={"q": BOB},
        actor=owner,
        selection=f"q={quote(BOB)}",
        using="default",
    )
    BulkOperation.objects.update(why=f"{BOB} asked")
    hook = Webhook.objects.create(name="hook", url="https://a.example")
    for next_attempt_at in (timezone.now(), None):
        WebhookCall.objects.create(
            webhook=hook,
            body=json.dumps({"data": {"address": BOB}}),
            created_at=timezone.now(),
            next_attempt_at=next_attempt_at,
        )
    FailureDigest.objects.create(addressee_key=0).messages.add(mine, shared)
    Template.objects.create(name="t", owner=owner, text=f"Ask {BOB}", html=f"<b>{BOB}")
    Preferences.objects.update(signature=f"-- {BOB}")
    Account.objects.filter(pk=sender.pk).update(signature=BOB, unmatched_names=BOB)
    Alarm.objects.create(
        kind="uncertain", severity="warning", arguments={"who": BOB}, since=timezone.now(),
        last_seen=timezone.now(),
    )  # fmt: skip
    store(
        [(normalized_reply(550, "", f"mailbox {quote(BOB)} full"), FailureKind.RECIPIENT)],
        "default",
    )
    ReplyGroup.objects.update(text=f"mailbox {BOB} full")
    kind = ContentType.objects.get_for_model(Suppression)
    LogEntry.objects.create(
        user=owner, content_type=kind, object_id="1", object_repr=BOB, action_flag=CHANGE
    )
    ResetRequest.objects.create(
        address_key="k", address=BOB, origin="https://a", language="en", requested_at=timezone.now()
    )
    return {
        "mine": mine, "large": large, "shared": shared, "mentioned": mentioned,
        "attached": attached, "clean": clean, "alone": alone, "draft": draft, "composed": composed,
    }  # fmt: skip


def test_no_trace_of_the_address_is_left(owner: User, sender: Account) -> None:
    planted = plant(owner, sender)
    before = traces()
    assert {
        "outbox_message", "outbox_source", "outbox_recipient", "outbox_attempt", "outbox_event",
        "outbox_draft", "outbox_searchentry", "outbox_contact", "outbox_suppression",
        "outbox_auditentry", "outbox_bulkoperation", "outbox_webhookcall", "outbox_template",
        "outbox_preferences", "outbox_account", "outbox_alarm", "outbox_replygroup",
        "django_admin_log", "signin_resetrequest",
    } <= before  # fmt: skip
    assert any("/" in place for place in before)  # files

    done = erasure.erase_address(BOB)

    assert traces() == set()
    assert done.is_complete
    assert (done.changes.deleted, done.changes.drafts_deleted) == (2, 1)
    left = set(Message.objects.values_list("pk", flat=True))
    gone = {planted[name].pk for name in ("mine", "large", "alone")}
    assert left == {message.pk for message in planted.values()} - gone


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("ret", ["hdrs", "full"])
def test_no_trace_is_left_in_reports_of_the_site(
    owner: User, sender: Account, ret: str, language: str
) -> None:
    """A report about the address goes to the sender of a message, which is another one."""
    Preferences.objects.create(user=owner, language=language)
    fields: dict[str, Any] = {"owner": owner, "notify": ["failure"], "ret": ret}
    for names in ((BOB,), (BOB, ANN)):
        finish(send(sender, *names, text="Grüße", **fields), State.FAILED)
    assert send_reports("default") == 2
    reports = Message.objects.filter(origin=Origin.REPORT)
    assert all(BOB.encode() in one.source.read() for one in reports)
    for report in reports:
        receive(sender, report.source.read())
        finish(report)
    index_new_messages("default")
    done = erasure.erase_address(BOB)
    assert traces() == set()
    assert done.is_complete


def test_messages_with_other_recipients_keep_those(owner: User, sender: Account) -> None:
    planted = plant(owner, sender)
    erasure.erase_address(BOB)
    shared = planted["shared"]
    shared.refresh_from_db()
    addresses = list(shared.recipients.order_by("pk").values_list("address", "state"))
    assert [one for one, _state in addresses].count(PLACEHOLDER) == 2  # and in Cc
    assert {ANN, *OTHERS} < {one for one, _state in addresses}
    assert {state for _one, state in addresses} == {State.SENT}
    assert shared.recipient_count == len(addresses)
    assert ANN in shared.to_summary
    source = shared.source
    assert source.is_redacted
    text = source.read().decode()
    assert all(other in text for other in (ANN, *OTHERS))
    assert "X-Reference" not in text
    assert "\r\n\r\nHello" in text
    assert json.dumps(shared.metadata) == json.dumps({"customer": PLACEHOLDER})
    assert shared.idempotency_key is None
    # Another message, and longer addresses, are as they were.
    clean = planted["clean"]
    assert not Source.objects.get(pk=clean.pk).is_redacted
    assert OTHERS[1].encode() in clean.source.read()
    assert "RCPT" in clean.attempts.get().transfer
    # The body of a message, and a file in it, cannot be changed: its content is removed.
    for name in ("mentioned", "attached"):
        assert not Source.objects.filter(pk=planted[name].pk).exists()
        assert planted[name].recipients.get().address == ANN
    draft = Draft.objects.get(pk=planted["draft"].pk)
    assert (draft.to, draft.bcc) == (ANN, "")
    assert not Attachment.objects.exists()


def test_what_was_changed_is_not_sent_again(owner: User, sender: Account) -> None:
    message = finish(send(sender, BOB, ANN, owner=owner), State.FAILED)
    erasure.erase_address(BOB)
    with pytest.raises(ContentErasedError, match="address was erased"):
        api.retry(message)


def test_a_message_is_not_sent_again_to_a_hidden_recipient_that_was_erased(
    owner: User, sender: Account
) -> None:
    message = finish(send(sender, ANN, bcc=[BOB], owner=owner), State.FAILED)
    before = message.source.read()
    erasure.erase_address(BOB)
    assert Source.objects.get(pk=message.pk).read() == before
    with pytest.raises(ContentErasedError, match="address was erased"):
        api.retry(message)
    states = set(message.recipients.values_list("address", "state"))
    assert states == {(ANN, State.FAILED), (PLACEHOLDER, State.FAILED)}


def test_the_search_finds_the_others_only(owner: User, sender: Account) -> None:
    shared = plant(owner, sender)["shared"]
    erasure.erase_address(BOB)
    head = str(SearchEntry.objects.get(pk=shared.pk).head)
    assert ANN in head
    assert BOB not in head.replace(OTHERS[0], "").replace(OTHERS[1], "")


def test_the_address_stays_suppressed_for_its_tags(sender: Account) -> None:
    for tag in ("news", "", "offers"):
        api.suppress(BOB, account=sender, tag=tag)
    erasure.erase_address(BOB)
    assert set(Suppression.objects.values_list("tag", flat=True)) == {"news", "", "offers"}
    assert not Suppression.objects.filter(folded=BOB).exists()
    assert api.unsuppress(BOB, account=sender)
    assert api.suppressed([BOB], sender) == {}
    assert set(api.suppressed([BOB], sender, tags=["news"])) == {BOB}


def test_the_address_stays_suppressed(owner: User, sender: Account) -> None:
    plant(owner, sender)
    erasure.erase_address(BOB)
    assert Suppression.objects.count() == 2
    assert set(api.suppressed([BOB, ANN])) == {BOB}
    handle = api.send(to=BOB, text="again", account=sender)
    assert BOB in handle.suppressed
    assert api.unsuppress(BOB)
    assert set(api.suppressed([BOB], sender)) == {BOB}
    assert api.unsuppress(BOB, account=sender)
    assert api.suppressed([BOB], sender) == {}


def test_a_message_that_waits_for_the_address_alone_is_cancelled(sender: Account) -> None:
    waiting = send(sender, BOB)
    held = send(sender, BOB)
    set_state(held.recipients.all(), State.HELD, next_attempt_at=None)
    uncertain = send(sender, BOB)
    set_state(uncertain.recipients.all(), State.UNCERTAIN, next_attempt_at=None)
    done = erasure.erase_address(BOB)
    assert done.is_complete
    assert not Message.objects.filter(pk__in=[waiting.pk, held.pk, uncertain.pk]).exists()


@pytest.mark.parametrize("expires", [True, False])
def test_a_message_that_others_wait_for_is_left_and_named(sender: Account, expires: bool) -> None:
    message = send(sender, BOB, ANN)
    done = erasure.erase_address(BOB)
    assert done.changes.in_delivery == {message.pk}
    assert not done.is_complete
    states = dict(message.recipients.values_list("address", "state"))
    assert states == {BOB: State.CANCELLED, ANN: State.QUEUED}
    out = io.StringIO()
    ends = "They have ended by 2" if expires else "Some of them wait until a person"
    Recipient.objects.update(expires_at=timezone.now() if expires else None)
    with pytest.raises(CommandError, match=rf"1 messages are still .+: {message.pk}\. {ends}"):
        call_command("outbox_erase", BOB, no_input=True, stdout=out)

    finish(message)
    assert erasure.erase_address(BOB).is_complete
    assert traces() == set()


def test_the_address_of_an_account_is_refused(sender: Account) -> None:
    Account.objects.filter(pk=sender.pk).update(username=BOB)
    with pytest.raises(CommandError, match=rf"Shop \({sender.pk}\)"):
        call_command("outbox_erase", BOB, no_input=True)


def test_it_can_be_repeated(owner: User, sender: Account) -> None:
    plant(owner, sender)
    erasure.erase_address(BOB)
    count = Message.objects.count()
    again = erasure.erase_address(BOB)
    assert (again.changes.deleted, again.rows.total(), Message.objects.count()) == (0, 0, count)


def test_the_erasure_is_in_the_audit_log_without_the_address(sender: Account) -> None:
    finish(send(sender, BOB))
    erasure.erase_address(BOB)
    entry = AuditEntry.objects.get(action=AuditAction.ADDRESS_ERASED)
    assert entry.details["messages_deleted"] == 1
    assert len(entry.details["hash"]) == 16


def test_the_export_has_everything_and_is_readable_by_its_owner_only(
    owner: User, sender: Account, tmp_path: Path
) -> None:
    planted = plant(owner, sender)
    file = tmp_path / "export.json"
    out = io.StringIO()
    call_command("outbox_erase", BOB, export=str(file), dry_run=True, stdout=out)
    assert file.stat().st_mode & 0o777 == 0o600
    exported = json.loads(file.read_text())
    assert exported["address"] == BOB
    ids = {one["id"] for one in exported["messages"]}
    assert ids == {planted[name].pk for name in ("mine", "large", "shared", "composed")}
    mine = next(one for one in exported["messages"] if one["id"] == planted["mine"].pk)
    assert f"Dear {BOB}" in mine["source"]
    assert [one["address"] for one in mine["recipients"]] == [BOB]
    assert mine["attempts"]
    tables = {row["table"] for row in exported["rows"]}
    assert {
        "outbox_contact",
        "outbox_suppression",
        "outbox_auditentry",
        "django_admin_log",
    } < tables
    assert "Nothing was erased." in out.getvalue()
    assert "outbox_contact: 1 rows have the address." in out.getvalue()
    assert Contact.objects.filter(address=BOB).exists()
    with pytest.raises(CommandError, match="exists"):
        call_command("outbox_erase", BOB, export=str(file), dry_run=True)


def test_the_command_asks_first(sender: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    message = finish(send(sender, BOB))
    monkeypatch.setattr("builtins.input", lambda: "yes")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("outbox_erase", BOB, stdout=io.StringIO())
    assert Message.objects.filter(pk=message.pk).exists()
    monkeypatch.setattr("builtins.input", lambda: f" {BOB} ")
    out = io.StringIO()
    call_command("outbox_erase", BOB, stdout=out)
    assert "Messages deleted: 1" in out.getvalue()
    assert not Message.objects.exists()


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(CommandError):
        call_command("outbox_erase", "bob", no_input=True)


def test_a_role_that_may_not_change_the_audit_log_is_refused(sender: Account) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no roles")
    finish(send(sender, BOB))
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE plain")
        cursor.execute(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain"
        )
        cursor.execute("REVOKE UPDATE ON outbox_auditentry FROM plain")
        cursor.execute("SET ROLE plain")
        try:
            with pytest.raises(CommandError, match="owner of the tables"):
                call_command("outbox_erase", BOB, no_input=True, stdout=io.StringIO())
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY plain")
            cursor.execute("DROP ROLE plain")
    assert Recipient.objects.filter(address=BOB).exists()
