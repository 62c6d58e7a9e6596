"""Notifications of providers: whose they are, and that they change the states as bounces do."""

import base64
import datetime as dt
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from django.dispatch import Signal
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.api.provider_notifications import (
    NotAcceptedError,
    TryAgainError,
    connect_anymail,
    receive_sns,
)
from outbox.db.clock import database_now
from outbox.models import Account, InboundReport, State, Suppression
from outbox.net import sns
from tests.integration.inbound.returned import (
    ANN,
    BOB,
    MINUTE,
    USING,
    account,
    attempt,
    sent,
    states,
)

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]

TOPIC = "arn:aws:sns:eu-west-1:123456789012:outbox"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-{'0a1b2c3d' * 4}.pem"
SUBSCRIBE = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
SES_ID = "0102018f5b0c1d2e-3f4a5b6c-7d8e-9f00-1122-334455667788-000000"


class Amazon:
    """Amazon SNS: a key, its certificate, and the URLs that were fetched."""

    def __init__(self, *, expires: dt.timedelta = dt.timedelta(days=1)) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=2))
            .not_valid_after(now + expires)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.fetched: list[str] = []

    def get(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.pem if url.endswith(".pem") else b"<ConfirmSubscriptionResponse/>"

    def message(self, text: str, *, version: str = "1", **fields: str) -> dict[str, str]:
        values = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": text,
            "Timestamp": "2026-11-29T10:00:00.000Z",
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE,
        } | fields
        names = (
            ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
            if values["Type"] == "Notification"
            else (
                "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
            )
        )  # fmt: skip
        signed = "".join(f"{name}\n{values[name]}\n" for name in names if name in values)
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303  # Amazon's
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), algorithm)
        return values | {"Signature": base64.b64encode(signature).decode()}


@pytest.fixture(scope="module")
def key_holder() -> Amazon:
    return Amazon()


@pytest.fixture
def amazon(key_holder: Amazon, settings: Any) -> Iterator[Amazon]:
    settings.OUTBOX = settings.OUTBOX | {"SNS_TOPICS": [TOPIC]}
    sns._certificates.clear()
    sns._failed_at.clear()
    key_holder.fetched.clear()
    yield key_holder
    sns._certificates.clear()
    sns._failed_at.clear()


@pytest.fixture
def sender() -> Account:
    return account(host="email-smtp.eu-west-1.amazonaws.com")


def ses(kind: str = "Bounce", **body: Any) -> str:
    lists: dict[str, dict[str, Any]] = {
        "Bounce": {
            "bounceType": "Permanent",
            "bouncedRecipients": [
                {
                    "emailAddress": BOB,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ],
        },
        "Complaint": {"complainedRecipients": [{"emailAddress": BOB}]},
        "Delivery": {"recipients": [BOB], "smtpResponse": "250 ok"},
    }
    at = database_now(USING).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    details = {"timestamp": at, **lists[kind], **body}
    mail = {
        "messageId": SES_ID,
        "timestamp": at,
        "headers": [{"name": "X-Long", "value": "x" * 100_000}],
    }
    return json.dumps({"notificationType": kind, kind.lower(): details, "mail": mail})


def receive(amazon: Amazon, message: dict[str, str]) -> int:
    return receive_sns(json.dumps(message).encode(), amazon.get)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_bounce_moves_the_recipient(amazon: Amazon, sender: Account, version: str) -> None:
    message = sent(sender, BOB, ANN, queue_id=SES_ID)
    assert receive(amazon, amazon.message(ses(), version=version)) == 1
    assert states(message) == {BOB: State.BOUNCED, ANN: State.SENT}
    report = InboundReport.objects.get()
    assert (report.matched_by, report.provider, report.message) == ("signal", "Amazon SES", None)
    assert (report.effect, report.status, report.is_applied) == ("hard", "5.1.1", True)
    assert amazon.fetched == [CERTIFICATE]
    receive(amazon, amazon.message(ses(), version=version))
    assert amazon.fetched == [CERTIFICATE]  # it is kept


def test_a_complaint_suppresses(amazon: Amazon, sender: Account) -> None:
    sent(sender, queue_id=SES_ID)
    receive(amazon, amazon.message(ses("Complaint")))
    assert Suppression.objects.get().reason.code == "suppressed_complained"


def test_a_delivery_changes_no_state(amazon: Amazon, sender: Account) -> None:
    message = sent(sender, queue_id=SES_ID)
    assert receive(amazon, amazon.message(ses("Delivery"))) == 1
    assert states(message) == {BOB: State.SENT}


def test_an_old_notification_does_not_bounce_a_retry(amazon: Amazon, sender: Account) -> None:
    message = sent(sender, queue_id=SES_ID)
    message.recipients.update(remote_queue_id="another-attempt-0102018f5b0c1d2e")
    assert receive(amazon, amazon.message(ses())) == 0
    assert states(message) == {BOB: State.SENT}


def test_a_notification_about_another_program_is_not_stored(amazon: Amazon) -> None:
    assert receive(amazon, amazon.message(ses())) == 0
    assert not InboundReport.objects.exists()


@pytest.mark.parametrize("text", ["hello", "[]", '{"mail": 1}', '{"mail": {}}', "[" * 100_000])
def test_another_text_is_ignored(amazon: Amazon, text: str) -> None:
    assert receive(amazon, amazon.message(text)) == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"Message": "{}"},
        {"Signature": "AAAA"},
        {"Signature": "\u00fc"},
        {"SignatureVersion": "3"},
        {"Type": "Other"},
        {"TopicArn": "arn:aws:sns:eu-west-1:999999999999:outbox"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem"},
        {"SigningCertURL": "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem"},
        {"SigningCertURL": "https://user@sns.eu-west-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com:8443/x.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.txt"},
        {"SigningCertURL": "https://s3.eu-west-1.amazonaws.com/x.pem"},
        {"SigningCertURL": f"{HOST}/x.pem"},
        {"SigningCertURL": f"{HOST}/x{CERTIFICATE.removeprefix(HOST)}"},
        {"SigningCertURL": f"{CERTIFICATE}?Action=ConfirmSubscription"},
        {"SigningCertURL": f"{CERTIFICATE}#x"},
        {"SigningCertURL": "https://["},
    ],
    ids=str,
)
def test_a_forged_message_is_not_accepted(
    amazon: Amazon, sender: Account, changed: dict[str, str]
) -> None:
    message = sent(sender, queue_id=SES_ID)
    with pytest.raises(NotAcceptedError):
        receive(amazon, amazon.message(ses()) | changed)
    assert states(message) == {BOB: State.SENT}
    assert set(amazon.fetched) <= {CERTIFICATE}


def test_a_certificate_inside_another_text_is_not_accepted(amazon: Amazon) -> None:
    body = json.dumps(amazon.message(ses())).encode()
    with pytest.raises(NotAcceptedError, match="another text"):
        receive_sns(body, lambda _: b"<Message>\n" + amazon.pem)
    assert not sns._certificates


def test_a_url_that_leads_to_nothing_causes_no_pause_for_another(
    amazon: Amazon, sender: Account
) -> None:
    def fail(url: str) -> bytes:
        raise OSError("404")

    message = sent(sender, queue_id=SES_ID)
    forged = CERTIFICATE.replace("0a1b2c3d", "00000000")
    with pytest.raises(TryAgainError):
        receive_sns(json.dumps(amazon.message(ses(), SigningCertURL=forged)).encode(), fail)
    receive(amazon, amazon.message(ses()))
    assert states(message) == {BOB: State.BOUNCED}


def test_an_expired_certificate_is_not_accepted(amazon: Amazon) -> None:
    other = Amazon(expires=-dt.timedelta(days=1))
    with pytest.raises(NotAcceptedError, match="expired"):
        receive(other, other.message(ses()))


def test_without_a_certificate_amazon_is_to_try_again(amazon: Amazon) -> None:
    def fail(url: str) -> bytes:
        amazon.fetched.append(url)
        raise OSError("404")

    body = json.dumps(amazon.message(ses())).encode()
    for _ in range(3):
        with pytest.raises(TryAgainError):
            receive_sns(body, fail)
    assert amazon.fetched == [CERTIFICATE]  # not for each message of an attacker


@pytest.mark.parametrize(
    ("fields", "confirmed"),
    [
        ({}, True),
        ({"TopicArn": "arn:aws:sns:eu-west-1:999999999999:outbox"}, False),
        ({"SubscribeURL": "https://evil.example/?Action=ConfirmSubscription"}, False),
        ({"SubscribeURL": "https://sns.us-east-1.amazonaws.com/?x"}, False),
    ],
)
def test_only_a_subscription_of_a_known_topic_is_confirmed(
    amazon: Amazon, fields: dict[str, str], confirmed: bool
) -> None:
    values = {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": SUBSCRIBE}
    message = amazon.message("You have chosen to subscribe.", **values | fields)
    if confirmed:
        receive(amazon, message)
    else:
        with pytest.raises(NotAcceptedError):
            receive(amazon, message)
    assert (SUBSCRIBE in amazon.fetched) == confirmed
    assert all("evil" not in url for url in amazon.fetched)


# --- the address ----------------------------------------------------------------------------------


def test_the_address_rejects_what_is_not_signed(amazon: Amazon) -> None:
    client = Client(enforce_csrf_checks=True)
    url = reverse("outbox:sns")
    assert client.get(url).status_code == 405
    assert client.post(url, b"{}", "text/plain").status_code == 403
    assert client.post(url, b"nonsense", "text/plain").status_code == 403
    forged = amazon.message(ses()) | {"TopicArn": "arn:aws:sns:eu-west-1:999999999999:outbox"}
    assert client.post(url, json.dumps(forged), "text/plain").status_code == 403
    assert client.post(url, b"x" * 300_000, "text/plain").status_code == 413


def test_without_topics_there_is_no_address(client: Client) -> None:
    assert client.post(reverse("outbox:sns"), b"{}", "text/plain").status_code == 404


# --- django-anymail -------------------------------------------------------------------------------


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> Signal:
    """The signal of django-anymail, which is not installed here."""
    package, signals = ModuleType("anymail"), ModuleType("anymail.signals")
    signal = Signal()
    vars(signals)["tracking"] = signal
    monkeypatch.setitem(sys.modules, "anymail", package)
    monkeypatch.setitem(sys.modules, "anymail.signals", signals)
    connect_anymail()
    return signal


def event(event_type: str, **fields: Any) -> SimpleNamespace:
    values = {
        "event_type": event_type,
        "message_id": "<20261129.1@mg.example.org>",
        "recipient": BOB,
        "timestamp": dt.datetime.now(dt.UTC),
        "reject_reason": None,
        "mta_response": None,
        "description": None,
    }
    return SimpleNamespace(**values | fields)


@pytest.mark.parametrize(
    ("given", "state", "effect"),
    [
        (event("bounced", reject_reason="bounced"), State.BOUNCED, "hard"),
        (event("bounced", mta_response="552 5.2.2 mailbox full"), State.BOUNCED, "soft"),
        (event("rejected", reject_reason="blocked"), State.BOUNCED, "infrastructure"),
        (event("deferred"), State.SENT, "soft"),
        (event("delivered"), State.SENT, ""),
        (event("complained"), State.SENT, ""),
    ],
    ids=lambda one: getattr(one, "event_type", ""),
)
def test_a_tracking_event_moves_the_recipient(
    sender: Account, tracking: Signal, given: SimpleNamespace, state: State, effect: str
) -> None:
    message = sent(sender, message_id="20261129.1@mg.example.org")
    tracking.send(sender=None, event=given, esp_name="Mailgun")
    assert states(message) == {BOB: state}
    report = InboundReport.objects.get()
    assert (report.provider, report.effect, report.matched_by) == ("Mailgun", effect, "signal")


@pytest.mark.parametrize("kind", ["opened", "clicked", "unknown", "subscribed"])
def test_other_tracking_events_change_nothing(sender: Account, tracking: Signal, kind: str) -> None:
    sent(sender, message_id="20261129.1@mg.example.org")
    tracking.send(sender=None, event=event(kind), esp_name="Mailgun")
    assert not InboundReport.objects.exists()


def test_an_event_before_a_retry_does_not_bounce_it(sender: Account, tracking: Signal) -> None:
    message = sent(sender, message_id="20261129.1@mg.example.org")
    tracking.send(sender=None, event=event("bounced"), esp_name="Mailgun")
    api.retry(message)
    attempt(message, State.SENT, before=MINUTE)
    old = event("bounced", timestamp=database_now(USING) - 2 * MINUTE)
    tracking.send(sender=None, event=old, esp_name="Mailgun")
    assert states(message) == {BOB: State.SENT}
