"""`outbox_status` says what waits, who works and what is held, for people and for programs."""

import datetime as dt
import json
import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from dev.redis_server import RedisServer
from outbox import api
from outbox.models import Account, Circuit, Destination, PendingHold, Recipient, State, Worker
from outbox.reasons import Reason, ReasonCode
from tests.states import set_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def busy() -> None:
    """Two recipients wait, one failed; a worker lives, one fell silent; a circuit is open."""
    account = Account.objects.create(name="shop", from_address="a@example.com", host="mail.example")
    outgoing = api.Outgoing(
        source=b"From: a@example.com\r\n\r\n",
        envelope_sender="a@example.com",
        recipients=[api.OutgoingRecipient(f"{name}@example.com") for name in "bcd"],
        account=account,
    )
    api.queue_sources([outgoing])
    set_state(Recipient.objects.filter(address="b@example.com"), State.FAILED)
    now = timezone.now()
    for host, lease_duration in (("here", 60), ("gone", -60)):
        lease = now + dt.timedelta(seconds=lease_duration)
        Worker.objects.create(host=host, pid=7, started_at=now, heartbeat_at=now, lease_until=lease)
    Destination.objects.update(
        circuit=Circuit.OPEN,
        circuit_reason=Reason(ReasonCode.CONNECTION_REFUSED),
        circuit_until=now + dt.timedelta(minutes=5),
    )


def status(*arguments: str) -> str:
    out = StringIO()
    call_command("outbox_status", *arguments, stdout=out)
    return out.getvalue()


def lines(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines()]


@pytest.mark.usefixtures("busy")
def test_it_prints_a_table() -> None:
    shown = status()

    assert lines(shown)[0] == ["Recipients"]
    assert ["queued", "2"] in lines(shown)
    assert not [line for line in lines(shown) if line[:1] == ["failed"]]
    assert ["failed", "1"] in lines(status("--totals"))
    assert "overdue               2, the first due " in shown
    assert re.search(r"here/7 alive, heartbeat .*, \d+ seconds? ago", shown)
    assert "gone/7 silent" in shown
    assert "(shop <a@example.com>) blocked by its circuit until" in shown
    assert "No server is listening" in shown
    assert re.search(r"until .*, in 4 minutes", shown)


def test_it_says_when_there_is_nothing() -> None:
    shown = status()

    assert ["overdue", "0"] in lines(shown)
    assert ["next", "due", "none"] in lines(shown)
    assert ["workers", "none"] in lines(shown)
    assert ["blocked", "destinations", "none"] in lines(shown)


@pytest.mark.usefixtures("busy")
def test_it_shows_the_progress_of_holding_many_recipients() -> None:
    assert "being held" not in status()
    PendingHold.objects.create(
        account=Account.objects.get(),
        is_for_composed=False,
        reason=Reason(ReasonCode.ACCOUNT_DISABLED),
        highest_id=9_000,
        held_count=1_500,
    )
    assert "being held            1,500 recipients so far (shop <a@example.com>), since" in status()
    assert json.loads(status("--json"))["pending_holds"][0]["held"] == 1_500


def test_it_lists_the_pauses() -> None:
    assert "paused" not in status()
    api.pause(reason="moving the server")
    assert re.search(r"paused +everything, since .+: moving the server", status())
    (pause,) = json.loads(status("--json"))["pauses"]
    assert (pause["target"], pause["until"]) == ("everything", None)


@pytest.mark.usefixtures("busy")
def test_it_prints_json() -> None:
    report = json.loads(status("--json"))

    assert report["counts"]["queued"] == 2
    assert [worker["alive"] for worker in report["workers"]] == [True, False]
    assert report["blocked_destinations"][0]["reason_code"] == "connection_refused"
    assert dt.datetime.fromisoformat(report["oldest_overdue_at"]) <= timezone.now()


@pytest.mark.usefixtures("busy")
def test_what_waits_for_its_time_is_not_overdue() -> None:
    later = timezone.now() + dt.timedelta(hours=2, minutes=1)
    set_state(Recipient.objects, State.DEFERRED, next_attempt_at=later)

    shown = status()

    assert ["deferred", "3"] in lines(shown)
    assert ["overdue", "0"] in lines(shown)
    assert f"{later:%Y-%m-%d %H:%M:%S} UTC, in 2 hours" in shown


def test_it_reports_an_available_broker(redis_server: RedisServer) -> None:
    assert json.loads(status("--json"))["broker_seen"] is True


def test_it_sees_that_a_broker_is_down(redis_server: RedisServer) -> None:
    redis_server.kill()

    assert json.loads(status("--json"))["broker_seen"] is False
