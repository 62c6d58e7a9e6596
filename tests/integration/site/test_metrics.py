"""`/metrics`: only for clients that the settings allow, correct, and the same of every process."""

import subprocess
import sys
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from outbox.db.clock import database_now
from outbox.delivery import snapshot
from outbox.models import Alarm, AlarmNotification, Channel, HostCheck, State
from outbox.models.delivery_count import CountKey, add
from outbox.models.delivery_time import Measured, TimeKind, add_times
from tests.integration.alarms.conftest import turn_on, worker
from tests.integration.delivery.mail_client import account, queue_many
from tests.unit.docs.blocks import ROOT

TOKEN = "a long token"
BEARER = {"authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def _token(settings: LazySettings) -> None:
    turn_on(settings, METRICS_TOKEN=TOKEN)


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Return each sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(client: Client) -> dict[tuple[str, ...], float]:
    response: Any = client.get("/metrics", headers=BEARER)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    return figures(response.content.decode())


def test_without_settings_it_does_not_exist(client: Client) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 404


@pytest.mark.usefixtures("_token")
@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}", "Bearer ü"])
def test_a_wrong_token_reads_nothing(client: Client, given: str) -> None:
    assert client.get("/metrics", headers={"authorization": given}).status_code == 404


@pytest.mark.parametrize(("address", "status"), [("10.1.2.3", 200), ("11.1.2.3", 404), ("", 404)])
def test_a_network_may_read_without_a_token(
    client: Client, settings: LazySettings, address: str, status: int
) -> None:
    turn_on(settings, METRICS_NETWORKS=["10.0.0.0/8"])

    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


def test_a_client_cannot_claim_an_address(client: Client, settings: LazySettings) -> None:
    turn_on(settings, METRICS_NETWORKS=["10.0.0.0/8"])
    forged = {"x-forwarded-for": "10.1.2.3"}

    assert client.get("/metrics", headers=forged, REMOTE_ADDR="11.1.2.3").status_code == 404


@pytest.mark.usefixtures("_token")
def test_the_figures_are_those_of_the_database(client: Client) -> None:
    queue_many(account(), 3)
    worker()
    now = database_now("default")
    alarm = Alarm.objects.create(kind="disk_space", severity="warning", since=now, last_seen=now)
    AlarmNotification.objects.create(alarm=alarm, channel=Channel.HTTP, failed_at=now)
    measures = {"clock_skew": -0.5, "storage_free": 12_000}
    HostCheck.objects.create(host="a", checked_at=now, swept_at=now, measures=measures)
    add({CountKey(now, 1, 1, "example.net", State.SENT, 0): 7}, "default")
    add({CountKey(now, -2, 1, "example.net", State.BOUNCED, 0): 2}, "default")
    add_times([Measured(1, TimeKind.SENT, ms) for ms in (900, 45_000, 10**9)], "default")
    add_times([Measured(2, TimeKind.SENT, 900), Measured(2, TimeKind.WAIT, 3_000)], "default")
    snapshot.refresh("default")
    found = read(client)

    assert found["outbox_recipients", "queued"] == 3
    assert found["outbox_recipients", "uncertain"] == 0
    assert found["outbox_recipients_due",] == 3
    assert found["outbox_oldest_due_timestamp_seconds",] > 1_700_000_000
    assert found["outbox_queue_snapshot_timestamp_seconds",] > 1_700_000_000
    assert found["outbox_recent_outcomes", "sent"] == 7
    assert found["outbox_recent_outcomes", "bounced"] == 2
    assert found["outbox_workers",] == 1
    assert found["outbox_worker_heartbeat_timestamp_seconds", "here", "1"] > 1_700_000_000
    assert found["outbox_destinations_blocked", "circuit"] == 0
    assert found["outbox_broker_up",] == 0
    assert found["outbox_alarms", "disk_space", "warning"] == 1
    assert found["outbox_alarms", "no_worker", "critical"] == 0
    assert found["outbox_alarm_notifications_failed", "http"] == 1
    assert found["outbox_sweep_timestamp_seconds", "a"] == pytest.approx(now.timestamp(), abs=1)
    assert found["outbox_clock_skew_seconds", "a"] == -0.5
    assert found["outbox_disk_free_bytes", "a", "storage"] == 12_000
    assert found["outbox_delivery_seconds_bucket", "1.0", "sent"] == 2  # of two processes
    assert found["outbox_delivery_seconds_bucket", "60.0", "sent"] == 3
    assert found["outbox_delivery_seconds_bucket", "+Inf", "sent"] == 4
    assert found["outbox_delivery_seconds_count", "sent"] == 4
    assert found["outbox_delivery_seconds_sum", "sent"] == pytest.approx(1_000_046.8)
    assert found["outbox_delivery_seconds_bucket", "+Inf", "expired"] == 0
    assert found["outbox_queue_wait_seconds_bucket", "2.0"] == 0
    assert found["outbox_queue_wait_seconds_bucket", "5.0"] == 1
    assert found["outbox_messages_total",] >= 3
    assert found["outbox_attempts_total",] >= 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_token")
def test_every_process_returns_the_same(client: Client, site_environment: dict[str, str]) -> None:
    queue_many(account(), 2)
    snapshot.refresh("default")
    worker()
    script = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        f"print(Client().get('/metrics', headers={BEARER!r}).content.decode())"
    )
    environment = site_environment | {"OUTBOX_METRICS_TOKEN": TOKEN}
    other = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )

    assert figures(other.stdout) == read(client)


@pytest.mark.usefixtures("_token")
def test_without_the_package_it_says_what_to_install(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    response = client.get("/metrics", headers=BEARER)

    assert response.status_code == 501
    assert b"outbox[metrics]" in response.content


@pytest.mark.usefixtures("_token")
def test_no_scrape_counts_the_queue(client: Client) -> None:
    queue_many(account(), 3)
    snapshot.refresh("default")
    with CaptureQueriesContext(connection) as queries:
        read(client)

    assert len(queries) < 25
    assert [one["sql"] for one in queries if 'FROM "outbox_recipient"' in one["sql"]] == []


@pytest.mark.usefixtures("_token")
def test_it_contains_no_address_of_a_recipient(client: Client) -> None:
    queue_many(account(name="Ann's account"), 2)
    text = client.get("/metrics", headers=BEARER).content.decode()

    assert "@" not in text
    assert "Ann" not in text
