"""Of a sensitive message, no trace of the content remains when its delivery has ended."""

import base64
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from outbox import api, signals
from outbox.api.failures import report_failures
from outbox.delivery import discarded_files
from outbox.delivery.discarded_files import delete_discarded_files
from outbox.delivery.sweep import sweep
from outbox.exceptions import ContentErasedError
from outbox.models import (
    Attempt,
    DiscardedFile,
    Event,
    Message,
    Recipient,
    SearchEntry,
    Source,
    State,
    Webhook,
    Worker,
)
from outbox.reasons import ReasonCode
from outbox.testing.pytest_plugin import StartLab
from outbox.web.downloads.record import as_json, as_text, attempts_of
from tests.integration.delivery.mail_client import (
    BOB,
    USING,
    Working,
    account_at,
    deliver,
    last_attempt,
    states,
    until,
)
from tests.planted import CODES, LINK, forms, queue_planted, traces

pytestmark = pytest.mark.django_db(transaction=True)

EVE = "eve@example.net"
ECHO = f"{CODES['subject']} <{LINK}> {CODES['attachment name']}.txt code={CODES['text']}."


@pytest.fixture(autouse=True)
def _own_storage(settings: LazySettings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = settings.SCRATCH / tmp_path.name


@pytest.fixture
def changes() -> Any:
    """Every change that the signals report."""
    changes: list[signals.Change] = []

    def receive(sender: object, change: signals.Change, **_: object) -> None:
        changes.append(change)

    for signal in signals.SIGNAL_OF.values():
        signal.connect(receive)
    yield changes
    for signal in signals.SIGNAL_OF.values():
        signal.disconnect(receive)


def observe() -> None:
    """Create a webhook, so that calls are stored."""
    Webhook.objects.create(name="all", url="https://hooks.example.com/")


SCENARIOS: dict[str, tuple[str, str]] = {
    "sent": ("", State.SENT),
    "sent, with an echo": (f"at dot: 250 2.0.0 Ok {ECHO} queued\nat quit: 221 {ECHO}", State.SENT),
    "rejected": (f"at dot: 550 5.7.1 Rejected: {ECHO}", State.FAILED),
    "rejected in Base64": (
        f"at dot: 550 5.7.1 {base64.b64encode(LINK.encode()).decode()}",
        State.FAILED,
    ),
    "rejected at the envelope": ("at rcpt: 550 5.1.1 no such user", State.FAILED),
    "uncertain": ("at dot: close", State.UNCERTAIN),
    "not SMTP": (f'at dot: send "{ECHO}\\r\\n"', State.UNCERTAIN),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("is_large", [False, True], ids=["in its row", "in a file"])
def test_nothing_remains_when_delivery_has_ended(
    scenario: str,
    is_large: bool,
    fault_lab: StartLab,
    settings: LazySettings,
    changes: list[signals.Change],
    caplog: pytest.LogCaptureFixture,
    django_user_model: type[User],
) -> None:
    if is_large:
        settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    observe()
    ann = django_user_model.objects.create_user("ann", email="ann@example.org")
    script, state = SCENARIOS[scenario]
    lab = fault_lab(script)
    message = queue_planted(account_at(lab), owner=ann)
    assert traces(ignoring=("outbox_source", "files")) == []
    sweep(USING)  # writes the search entry
    deliver()
    assert states(message) == [state]
    delete_discarded_files(USING)  # also if the worker was killed at this point
    report_failures(USING)
    assert traces() == []
    assert not Source.objects.exists()
    assert not DiscardedFile.objects.exists()
    assert SearchEntry.objects.filter(message=message).exists()
    attempts = attempts_of(message)
    shown = as_json(message, attempts, shows_network=True)
    shown += as_text(message, attempts, shows_network=True) + repr(changes) + caplog.text
    assert not [code for code in CODES.values() if any(f.decode() in shown for f in forms(code))]
    if state == State.SENT:
        [taken] = lab.ledger.accepted
        assert CODES["html"].encode() in taken.source


def test_a_reply_still_says_what_is_wrong(fault_lab: StartLab) -> None:
    lab = fault_lab(f"at dot: 554 5.7.1 Message rejected as spam: blocked URL {LINK}")
    message = queue_planted(account_at(lab))
    deliver()
    [recipient] = message.recipients.all()
    assert (recipient.reply_code, recipient.reply_enhanced) == (554, "5.7.1")
    assert recipient.reply_text.startswith("5.7.1 Message rejected as spam: blocked URL ***")


@pytest.mark.parametrize("is_large", [False, True], ids=["in its row", "in a file"])
def test_a_deferred_message_keeps_its_content_until_it_is_cancelled(
    is_large: bool, fault_lab: StartLab, settings: LazySettings
) -> None:
    if is_large:
        settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    lab = fault_lab(f"at dot: 451 4.7.1 Greylisted {ECHO}")
    message = queue_planted(account_at(lab))
    deliver()
    assert states(message) == [State.DEFERRED]
    assert Source.objects.filter(message=message).exists()
    assert traces(ignoring=("outbox_source", "files")) == []
    api.cancel(message)
    delete_discarded_files(USING)
    assert traces() == []


def test_a_message_with_several_recipients_keeps_its_content_for_the_last_one(
    fault_lab: StartLab,
) -> None:
    lab = fault_lab(f"at rcpt <{EVE}> on try 1: 451 4.7.1 later")
    message = queue_planted(account_at(lab), BOB, EVE)
    deliver()
    assert states(message) == [State.SENT, State.DEFERRED]
    assert Source.objects.exists()
    api.retry(message)
    deliver()
    assert states(message) == [State.SENT, State.SENT]
    assert traces() == []


def test_an_uncertain_message_keeps_its_content_while_the_policy_may_send_it_again(
    fault_lab: StartLab,
) -> None:
    lab = fault_lab("at dot of message 1: close")
    wait = dt.timedelta(minutes=5)
    message = queue_planted(account_at(lab, on_uncertain="resend", resend_after=wait))
    deliver()
    assert states(message) == [State.UNCERTAIN]
    assert Source.objects.exists()
    lab.play("")
    Recipient.objects.update(resend_at=timezone.now() - dt.timedelta(seconds=1))
    sweep(USING)
    deliver()
    assert states(message) == [State.SENT]
    assert traces() == []


def test_a_late_rejection_erases_the_content(fault_lab: StartLab) -> None:
    """The worker loses its lease while the server thinks about the message."""
    lab = fault_lab(f"at dot: late 60 550 5.7.1 Rejected: {ECHO}")
    wait = dt.timedelta(minutes=5)
    message = queue_planted(account_at(lab, on_uncertain="resend", resend_after=wait))
    with Working():
        until(lambda: last_marked(message), "the dot was sent")
        Worker.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
        sweep(USING)
        assert states(message) == [State.UNCERTAIN]
        lab.skip_delays()
        until(lambda: states(message) == [State.FAILED], "the late reply was recorded")
    assert traces() == []


def last_marked(message: Message) -> bool:
    return Attempt.objects.filter(message=message, dot_marked_at__isnull=False).exists()


def test_a_held_message_is_sent_when_it_is_released(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    message = queue_planted(account_at(lab))
    api.hold(message)
    sweep(USING)
    assert Source.objects.exists()
    api.release(message)
    deliver()
    assert states(message) == [State.SENT]
    assert traces() == []


def test_a_held_message_expires_with_its_lifetime(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    message = queue_planted(account_at(lab), expires_after=dt.timedelta(hours=1))
    api.hold(message)
    past = timezone.now() - dt.timedelta(seconds=1)
    Recipient.objects.update(expires_at=past)
    Source.objects.update(erase_at=past)
    sweep(USING)
    assert states(message) == [State.EXPIRED]
    assert Event.objects.filter(reason__startswith=ReasonCode.HELD_TOO_LONG).exists()
    assert traces() == []


def test_a_message_that_is_looked_at_too_early_is_kept(fault_lab: StartLab) -> None:
    """Its time was changed, for example."""
    lab = fault_lab("")
    message = queue_planted(account_at(lab))
    api.hold(message)
    Source.objects.update(erase_at=timezone.now() - dt.timedelta(seconds=1))
    sweep(USING)
    assert states(message) == [State.HELD]
    assert Source.objects.get().erase_at > timezone.now()  # type: ignore[operator]  # it is set


def test_an_expired_message_is_erased(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    message = queue_planted(account_at(lab))
    Recipient.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    sweep(USING)
    assert states(message) == [State.EXPIRED]
    assert traces() == []


@pytest.mark.parametrize(
    ("script", "again"),
    [
        ("at dot: 550 5.7.1 no", api.retry),
        ("at dot: close", api.resolve_as_unsent),
    ],
)
def test_an_erased_message_cannot_be_sent_again(
    script: str, again: Callable[[Message], int], fault_lab: StartLab
) -> None:
    message = queue_planted(account_at(fault_lab(script)))
    deliver()
    before = states(message)
    with pytest.raises(ContentErasedError, match="was erased when its delivery ended"):
        again(message)
    assert states(message) == before


def test_an_uncertain_message_can_still_be_marked_as_delivered(fault_lab: StartLab) -> None:
    message = queue_planted(account_at(fault_lab("at dot: close")))
    deliver()
    assert api.resolve_as_sent(message) == 1
    assert states(message) == [State.SENT]


def test_a_message_that_was_erased_before_a_worker_read_it_fails_with_the_reason(
    fault_lab: StartLab,
) -> None:
    """A retry may begin while delivery to the last recipient ends."""
    message = queue_planted(account_at(fault_lab("")))
    Source.objects.all().delete()
    deliver()
    [recipient] = message.recipients.all()
    assert (recipient.state, recipient.reason.code) == (State.FAILED, ReasonCode.CONTENT_ERASED)


def test_an_internal_error_reveals_nothing(
    fault_lab: StartLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(ECHO)

    monkeypatch.setattr("outbox.delivery.transaction.judge_recipients", fail)
    message = queue_planted(account_at(fault_lab("at dot: 451 4.0.0 later")))
    deliver()
    attempt = last_attempt(message)
    assert "ValueError" in str(attempt.reason)
    assert "judge_recipients" in attempt.traceback
    assert traces(ignoring=("outbox_source",)) == []


def test_a_rolled_back_outcome_erases_nothing(fault_lab: StartLab) -> None:
    message = queue_planted(account_at(fault_lab("")))
    with transaction.atomic():
        api.cancel(message)
        assert not Source.objects.exists()
        transaction.set_rollback(True)
    assert Source.objects.exists()


def test_a_file_that_cannot_be_deleted_is_deleted_later(
    fault_lab: StartLab, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    message = queue_planted(account_at(fault_lab("")))
    api.cancel(message)
    with monkeypatch.context() as broken:
        broken.setattr(
            "django.core.files.storage.FileSystemStorage.delete", lambda *_: _unavailable()
        )
        assert delete_discarded_files(USING) == 0
    assert DiscardedFile.objects.get().due_at > timezone.now()
    assert traces() != []
    DiscardedFile.objects.update(due_at=timezone.now() - dt.timedelta(seconds=1))
    discarded_files.delete_in_background(USING)
    until(lambda: not DiscardedFile.objects.exists(), "the file was deleted")
    assert traces() == []


def _unavailable() -> None:
    raise OSError("read-only file system")


def test_an_ordinary_message_keeps_its_content(fault_lab: StartLab) -> None:
    handle = api.send(to=BOB, subject="Hi", text="Hello.", account=account_at(fault_lab("")))
    deliver()
    assert Source.objects.get(pk=handle.pk).read().endswith(b"Hello.\r\n")
