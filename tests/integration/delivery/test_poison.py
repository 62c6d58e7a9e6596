"""A message on which our own code fails is held with a traceback and stops no other message."""

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest
from django.conf import LazySettings

from outbox import api
from outbox.models import Attempt, Outcome, Recipient, Source, State
from outbox.reasons import ReasonCode
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    account_at,
    deliver,
    is_sqlite,
    last_attempt,
    queue,
    queue_many,
    row,
    states,
)

# The engine's threads have connections of their own, which see only committed rows.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("poison", ["the row is gone", "the file is gone", "there is no data"])
def test_a_message_without_its_source_is_held(
    fault_lab: StartLab, settings: LazySettings, poison: str
) -> None:
    lab = fault_lab("")
    sender = account_at(lab, max_connections=1)
    before = queue(sender, "before@example.net")
    if poison == "the file is gone":
        settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    message = queue(sender)
    after = queue(sender, "after@example.net")
    source = Source.objects.get(message=message)
    if poison == "the row is gone":
        source.delete()
    elif poison == "the file is gone":
        source.file.delete(save=False)
    else:
        Source.objects.filter(message=message).update(data=None)
    deliver()
    assert states() == [State.SENT, State.HELD, State.SENT]
    attempt = last_attempt(message)
    assert attempt.outcome == Outcome.QUARANTINED
    assert "Traceback (most recent call last)" in attempt.traceback
    recipient = row(message)
    assert recipient.reason.code in {ReasonCode.DEFECT, ReasonCode.SOURCE_MISSING}
    assert recipient.next_attempt_at is None  # until a person releases it
    assert not [taken for taken in lab.ledger.accepted if taken.message_id == message.message_id]
    for other in (before, after):
        assert last_attempt(other).outcome == Outcome.SENT


@pytest.mark.parametrize("outage", ["it raises an error", "its volume is not mounted"])
def test_a_message_in_an_unavailable_storage_is_deferred(
    fault_lab: StartLab, settings: LazySettings, outage: str
) -> None:
    lab = fault_lab("")
    sender = account_at(lab, max_connections=1)
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    large = queue(sender)
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 1_000_000}
    small = queue(sender, "small@example.net")
    stored = Path(Source.objects.get(message=large).file.path)
    kept = stored.read_bytes()
    elsewhere = stored.parent.with_name("elsewhere")
    if outage == "its volume is not mounted":
        stored.parent.rename(elsewhere)
    else:
        stored.unlink()
        stored.mkdir()  # EISDIR stands for any other error
    deliver()

    recipient, attempt = row(large), last_attempt(large)
    assert (states(large), states(small)) == ([State.DEFERRED], [State.SENT])
    assert recipient.attempts == 1
    assert recipient.next_attempt_at is not None
    assert recipient.next_attempt_at > recipient.last_attempt_at  # type: ignore[operator]  # it was tried
    assert recipient.reason.code == ReasonCode.SOURCE_UNREADABLE
    assert (attempt.outcome, attempt.traceback) == (Outcome.DEFERRED, "")

    if outage == "its volume is not mounted":
        elsewhere.rename(stored.parent)
    else:
        stored.rmdir()
        stored.write_bytes(kept)
    Recipient.objects.update(next_attempt_at=recipient.last_attempt_at)
    deliver()
    assert states(large) == [State.SENT]


def test_many_of_them_stop_no_other_message(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    messages = queue_many(account_at(lab), 30)
    Source.objects.filter(message__in=messages[::3]).delete()
    deliver()
    assert Counter(states()) == {State.SENT: 20, State.HELD: 10}
    assert len(lab.ledger.accepted) == 20


def test_it_can_be_released_once_its_source_is_back(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    message = queue(account_at(lab))
    kept = message.source.read()
    message.source.delete()
    deliver()
    assert states() == [State.HELD]
    Source.objects.create(message=message, data=kept)
    assert api.release(message) == 1
    deliver()
    assert states() == [State.SENT]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("two words@example.net", "not an address"),
        ("bob@example.net>\r\nRCPT TO:<eve@example.net", "not an address"),
        ("bob\0@example.net", "not an address"),
        ("", "not an address"),
        ("bob@" + "x" * 250 + ".example", "longer than"),
        ("bob@exa\u2028mple.net", "not a"),
    ],
)
def test_an_address_that_smtp_cannot_transport_fails_alone(
    fault_lab: StartLab, address: str, why: str
) -> None:
    """The API rejects such addresses; here they bypassed it."""
    lab = fault_lab("")
    message = queue(account_at(lab), "ok@example.net", "odd@example.net")
    if "\0" in address and not is_sqlite():
        pytest.skip("PostgreSQL stores no NUL")
    Recipient.objects.filter(address="odd@example.net").update(address=address)
    deliver()
    assert states(message) == [State.SENT, State.FAILED]
    assert why in str(message.recipients.last().reason)  # type: ignore[union-attr]  # there are two
    [taken] = lab.ledger.accepted
    assert taken.recipients == ["ok@example.net"]


@pytest.mark.parametrize(
    ("source", "state"),
    [
        pytest.param(b"", State.SENT, id="nothing"),
        pytest.param(b"Subject: x\n\nLF alone\n", State.SENT, id="LF line ends"),
        pytest.param(b"Subject: x\r\n\r\nlone \r in it\r\n", State.SENT, id="a lone CR"),
        pytest.param(
            b"Subject: x\r\n\r\n" + b"x" * 5_000 + b"\r\n", State.SENT, id="a line of 5,000"
        ),
        pytest.param(b"Subject: x\r\n\r\n\0\r\n", State.FAILED, id="NUL"),
        pytest.param(
            "Subject: über\r\n\r\nx\r\n".encode("latin-1"), State.FAILED, id="8 bit in the header"
        ),
        pytest.param(b"\xff\xfe" * 500, State.FAILED, id="not a message"),
        pytest.param(b"Subject: x\r\n\r\n.\r\n..\r\n.", State.SENT, id="dots"),
    ],
)
def test_a_source_damaged_in_the_table_stops_no_other_message(
    fault_lab: StartLab, source: bytes, state: State
) -> None:
    """Protocol item 96. Queueing rejects such a source; here it bypassed queueing."""
    lab = fault_lab("offer PIPELINING, 8BITMIME")
    sender = account_at(lab, max_connections=1)
    message = queue(sender)
    other = queue(sender, "other@example.net")
    Source.objects.filter(message=message).update(data=source)
    deliver()
    assert states(other) == [State.SENT]
    assert states(message) == [state]
    assert last_attempt(message).outcome == state.value
    assert len(lab.ledger.accepted) == 1 + (state == State.SENT)


def test_an_interval_beyond_the_calendar_loses_no_result(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """It once raised after the final dot, where “held” would have meant “unsent”."""
    settings.OUTBOX = settings.OUTBOX | {"DOT_TIMEOUT": 0.5}
    lab = fault_lab("at dot: no-reply")
    sender = account_at(lab, on_uncertain="resend", resend_after=dt.timedelta(days=100_000_000))
    message = queue(sender)
    deliver()
    assert states(message) == [State.UNCERTAIN]
    assert len(lab.ledger.accepted) == 1


def test_a_reply_of_every_kind_of_byte_is_kept(fault_lab: StartLab) -> None:
    """Protocol item 84."""
    raw = "".join(f"\\x{byte:02x}" for byte in range(256) if byte not in (0x0A, 0x0D))
    lab = fault_lab(f'at rcpt: send "550 5.1.1 {raw}\\r\\n"')
    message = queue(account_at(lab))
    deliver()
    recipient = row(message)
    assert (recipient.state, recipient.reply_code) == (State.FAILED, 550)
    assert "\\x00" in recipient.reply_text
    assert "\0" not in recipient.reply_text
    assert Attempt.objects.get().transfer_lines


def test_an_ehlo_reply_of_every_kind_of_byte_is_kept(fault_lab: StartLab) -> None:
    """Text that PostgreSQL's JSON cannot store must not lose the session's row."""
    raw = "".join(f"\\x{byte:02x}" for byte in range(256) if byte not in (0x0A, 0x0D))
    lab = fault_lab(
        f'at ehlo: send "250-mail {raw}\\r\\n250-X{raw} {raw}\\r\\n250 SIZE {raw}\\r\\n"'
    )
    message = queue(account_at(lab))
    deliver()
    session = last_attempt(message).session
    assert session is not None
    assert session.extensions
    # The lab replies 503 to MAIL after such an EHLO.
    assert states(message) == [State.DEFERRED]
