"""Delivery with tokens: to a server that accepts only the current one."""

import logging
from io import StringIO

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from dev.redis_server import RedisServer
from outbox import api, wakeup
from outbox.api import oauth as connections
from outbox.api.connection_tests import report_of
from outbox.api.periodic import run_periodic_work
from outbox.delivery import connection_tests, process
from outbox.delivery.tokens import access_for
from outbox.models import (
    Account,
    Attempt,
    Circuit,
    ConnectionTest,
    Destination,
    DraftKind,
    Message,
    OAuthProvider,
    OAuthToken,
    Recipient,
    State,
)
from outbox.reasons import Reason, ReasonCode
from outbox.testing.oauth import IdentityProvider, Trouble
from outbox.testing.oauth_smtp import TokenMailServer
from tests.integration.delivery.mail_client import (
    Working,
    deliver,
    queue,
    queue_many,
    states,
    until,
)
from tests.integration.oauth.lab import USING, account_of, connected
from tests.planted import _rows, forms, written_to

pytestmark = pytest.mark.django_db(transaction=True)


def retry_now() -> None:
    """Make what waits due at once, and end the pause of the circuit."""
    Destination.objects.update(circuit_until=None)
    Recipient.objects.filter(state=State.DEFERRED).update(next_attempt_at="2020-01-01T00:00Z")


def test_a_message_is_delivered_with_a_token(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = connected(provider, google)
    queue_many(row.account, 3)
    deliver()
    assert states() == [State.SENT] * 3
    assert len(google.messages) == 3
    assert provider.requests == ["refresh_token"]


@pytest.mark.parametrize("style", ["google", "microsoft"])
def test_a_token_that_the_server_rejects_is_replaced_once(
    provider: IdentityProvider, style: str
) -> None:
    with TokenMailServer(provider, style) as server:
        row = connected(provider, server)
        queue(row.account)
        deliver()
        provider.expire_access_tokens()
        queue(row.account)
        deliver()
        assert states() == [State.SENT] * 2
        assert server.logins == [True, False, True]
        assert len(provider.requests) == 2


def test_a_second_rejection_holds_the_account(
    provider: IdentityProvider, microsoft: TokenMailServer
) -> None:
    microsoft.refuses_all = True
    row = connected(provider, microsoft)
    queue(row.account)
    deliver()
    destination = Destination.objects.get()
    assert (destination.circuit, destination.circuit_needs_person) == (Circuit.OPEN, True)
    assert "5.7.3" in str(destination.circuit_reason)
    assert microsoft.logins == [False, False]
    for _ in range(3):
        retry_now()
        deliver()
    assert len(provider.requests) == 2, "one renewal and one more for the rejected token"
    recipient = Recipient.objects.get()
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 0)
    microsoft.refuses_all = False
    retry_now()
    deliver()
    assert states() == [State.SENT]


def test_the_reason_in_the_challenge_is_kept(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    google.refuses_all = True
    row = connected(provider, google)
    queue(row.account)
    deliver()
    assert "status 401" in str(Destination.objects.get().circuit_reason)


def test_trouble_of_the_token_service_counts_nothing_and_needs_no_person(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    provider.fail_next(*[Trouble.ERROR] * 50)
    row = connected(provider, google)
    queue(row.account)
    for _ in range(5):
        OAuthToken.objects.update(retry_at=None)
        retry_now()
        deliver()
    recipient, destination = Recipient.objects.get(), Destination.objects.get()
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 0)
    assert destination.circuit == Circuit.OPEN
    assert not destination.circuit_needs_person
    assert google.logins == []


def test_a_revoked_account_waits_and_continues_after_reconnecting(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = connected(provider, google)
    provider.revoke("anna@example.org")
    queue(row.account)
    deliver()
    destination = Destination.objects.get()
    assert destination.circuit_needs_person
    assert destination.circuit_reason.code == "token_revoked"
    retry_now()
    deliver()
    assert len(provider.requests) == 1
    row = OAuthToken.objects.select_related("account", "provider").get()
    fresh = row.encrypted(access="", refresh=provider.grant("anna@example.org"))
    OAuthToken.objects.update(
        is_rejected=False, refresh_encrypted=fresh["refresh_encrypted"], generation=9
    )
    retry_now()
    deliver()
    assert states() == [State.SENT]
    destination.refresh_from_db()
    assert destination.circuit == Circuit.CLOSED


def test_a_valid_token_does_not_wait_for_a_slow_service(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    valid = connected(provider, google)
    access_for(valid.account, USING)
    provider.delay = 6
    provider.fail_next(*[Trouble.SLOW] * 9)
    for number in range(9):  # more than the threads for renewals
        account = account_of(google, name=f"slow {number}")
        row = OAuthToken(account=account, provider=valid.provider)
        columns = row.encrypted(access="", refresh=provider.grant("anna@example.org"))
        row.refresh_encrypted = columns["refresh_encrypted"]
        row.save()
        queue(account)
    with Working():
        until(lambda: len(provider.requests) >= 9, "every thread waits for the service")
        message = queue(valid.account)
        until(lambda: states(message) == [State.SENT], "the message was delivered")
        assert not OAuthToken.objects.exclude(pk=valid.pk).filter(generation=1).exists()


def test_a_worker_that_stops_stores_the_tokens_of_a_renewal_in_progress(
    provider: IdentityProvider, google: TokenMailServer, settings: LazySettings
) -> None:
    """Otherwise a rotated refresh token would be lost with each stop."""
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0.1}
    provider.fail_next(Trouble.SLOW)
    provider.delay = 3
    row = connected(provider, google)
    queue(row.account)
    with Working():
        until(lambda: provider.at_once == 1, "the request was sent")
    stored = OAuthToken.objects.select_related("account", "provider").get()
    assert (stored.generation, stored.lease_until) == (1, None)
    assert stored.refresh_token in provider.current_tokens()
    assert Recipient.objects.get().state in {State.QUEUED, State.DEFERRED}


def test_a_corrected_client_releases_what_its_fault_held(
    provider: IdentityProvider, google: TokenMailServer, client: Client
) -> None:
    row = connected(provider, google)
    client.force_login(User.objects.create_superuser("staff"))
    provider.client_secret = "renewed at the provider"
    queue(row.account)
    deliver()
    assert Destination.objects.get().circuit_needs_person
    OAuthToken.objects.update(notified_at="2026-01-01T00:00Z")
    address = f"/admin/outbox/oauthprovider/{row.provider_id}/change/"
    form = client.get(address).context["adminform"].form
    fields = {name: form[name].value() or "" for name in form.fields}
    fields |= {"new_secret": provider.client_secret, "is_active": "on"}
    response = client.post(address, fields)
    assert response.status_code == 302, response.context["adminform"].form.errors
    stored = OAuthToken.objects.get()
    assert (stored.is_rejected, stored.retry_at, stored.notified_at) == (False, None, None)
    assert Destination.objects.get().circuit == Circuit.CLOSED
    retry_now()
    deliver()
    assert states() == [State.SENT]


def run_periodically() -> None:
    """Do the periodic work, and end the engine that it starts in this process."""
    try:
        run_periodic_work(USING)
    finally:
        process.stop(finish_within=30)


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is the first of its minute."""
    monkeypatch.setattr(connections, "_CORRECTED_PAUSE", 0)
    monkeypatch.setattr(connections, "_corrected_next", {})


@pytest.mark.system
@pytest.mark.usefixtures("_no_pause")
def test_a_secret_corrected_in_the_settings_releases_what_its_fault_held(
    provider: IdentityProvider,
    google: TokenMailServer,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = connected(provider, google)
    lab = row.provider.endpoints
    monkeypatch.setattr(OAuthProvider, "endpoints", property(lambda self: lab))
    OAuthProvider.objects.update(kind="google", secret_encrypted="")
    given = {"GOOGLE_CLIENT_ID": provider.client_id, "GOOGLE_CLIENT_SECRET": "mistyped"}
    settings.OUTBOX = settings.OUTBOX | given
    stored = OAuthToken.objects.select_related("account", "provider").get()
    refresh = stored.encrypted(access="", refresh=provider.grant("anna@example.org"))
    OAuthToken.objects.update(refresh_encrypted=refresh["refresh_encrypted"])
    queue(row.account)
    deliver()
    assert OAuthToken.objects.get().is_rejected
    assert Destination.objects.get().circuit_needs_person
    run_periodically()
    assert OAuthToken.objects.get().is_rejected, "the client is the same"

    settings.OUTBOX = settings.OUTBOX | {"GOOGLE_CLIENT_SECRET": provider.client_secret}
    run_periodically()
    assert not OAuthToken.objects.get().is_rejected
    retry_now()
    deliver()
    assert states() == [State.SENT]
    assert len(provider.requests) == 2


@pytest.mark.usefixtures("_no_pause")
def test_a_new_secret_does_not_release_a_revoked_account(provider: IdentityProvider) -> None:
    row = connected(provider)
    reason = Reason(ReasonCode.TOKEN_REVOKED)
    OAuthToken.objects.update(is_rejected=True, reason=reason, rejected_client="another")
    assert connections.retry_corrected(USING) == 0
    row.refresh_from_db()
    assert row.is_rejected


def test_corrected_clients_are_looked_for_once_a_minute(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two processes with different settings would release and reject without end."""
    monkeypatch.setattr(connections, "_corrected_next", {})
    connected(provider)
    rejected = {
        "is_rejected": True,
        "reason": Reason(ReasonCode.TOKEN_CLIENT_REJECTED, service="Lab"),
        "rejected_client": "another",
    }
    OAuthToken.objects.update(**rejected)
    assert connections.retry_corrected(USING) == 1
    OAuthToken.objects.update(**rejected)
    assert connections.retry_corrected(USING) == 0


def test_the_connection_test_of_a_connected_account_uses_its_token(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = connected(provider, google)
    user = User.objects.create_user("anna")
    test = ConnectionTest(user=user, account=row.account)
    test.describe(row.account, "")
    test.save()
    assert connection_tests.run_due(USING) == 1
    test.refresh_from_db()
    report = report_of(test)
    assert report is not None
    assert report.ok


def test_the_connection_test_of_another_server_gets_no_token(
    provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = connected(provider, google)
    user = User.objects.create_user("anna")
    with TokenMailServer(provider) as other:
        test = ConnectionTest(user=user, account=row.account)
        row.account.port = other.port
        test.describe(row.account, "")
        test.save()
        connection_tests.run_due(USING)
        assert other.logins in ([], [False])
    assert provider.requests == []


def test_no_token_is_anywhere_after_a_run(
    provider: IdentityProvider,
    google: TokenMailServer,
    redis_server: RedisServer,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tables, Redis, pages of the admin and log lines of a run with rejections and troubles."""
    caplog.set_level(logging.DEBUG)
    seen: set[str] = set()
    row = connected(provider, google)
    provider.fail_next(Trouble.ERROR)
    for _ in range(4):
        OAuthToken.objects.update(retry_at=None)
        queue(row.account)
        retry_now()
        seen.update(provider.current_tokens())
        deliver()
        seen.update(provider.current_tokens())
        provider.expire_access_tokens()
    provider.revoke("anna@example.org")
    OAuthToken.objects.update(expires_at="2020-01-01T00:00Z")
    queue(row.account)
    retry_now()
    deliver()
    out = StringIO()
    call_command("outbox_status", stdout=out)
    seen.add(provider.client_secret)
    assert len(seen) > 5
    assert wakeup.flush(5)
    in_redis = written_to(redis_server)
    assert b"outbox:wakeup" in in_redis
    client.force_login(User.objects.create_superuser("staff"))
    pages = {url: client.get(url) for url in admin_pages()}
    assert {response.status_code for response in pages.values()} == {200}
    places = {
        "the database": b"\n".join(content for _, content in _rows(())),
        "Redis": in_redis,
        "the log": caplog.text.encode(),
        "outbox_status": out.getvalue().encode(),
        **{url: response.content for url, response in pages.items()},
    }
    found = {
        place
        for place, content in places.items()
        if any(form in content for token in seen for form in forms(token))
    }
    assert found == set()


def admin_pages() -> list[str]:
    """Return the pages of the admin that show the account of a token, and what it has sent."""
    models = (Account, Attempt, Destination, Message, OAuthProvider, Recipient)
    names = [(model._meta.model_name, model.objects.latest("pk").pk) for model in models]
    return [
        *(reverse(f"admin:outbox_{name}_changelist") for name, _ in names),
        *(reverse(f"admin:outbox_{name}_change", args=[pk]) for name, pk in names),
        reverse("admin:outbox_operations_changelist"),
    ]


def test_a_known_reply_is_explained_with_its_remedy(provider: IdentityProvider) -> None:
    reply = (
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
        "Mailbox."
    )
    with TokenMailServer(provider, "microsoft", reply=reply) as server:
        server.refuses_all = True
        row = connected(provider, server)
        queue(row.account)
        deliver()
    destination = Destination.objects.get()
    assert destination.circuit_reason.code == "microsoft_smtp_auth_off"
    assert "5.7.139" in str(destination.circuit_reason)
    assert states() == [State.DEFERRED]


@pytest.mark.parametrize("size", [48, 1500])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_both_mechanisms_are_used(provider: IdentityProvider, mechanism: str, size: int) -> None:
    """A long token does not fit into the command, so it follows without an initial response."""
    provider.token_bytes = size
    with TokenMailServer(provider, mechanisms=mechanism) as server:
        row = connected(provider, server)
        queue(row.account)
        deliver()
        provider.expire_access_tokens()
        server.refuses_all = True
        queue(row.account)
        deliver()
    assert sorted(states()) == [State.DEFERRED, State.SENT]
    assert "status 401" in str(Destination.objects.get().circuit_reason)


def test_the_message_id_that_microsoft_gives_is_shown_found_and_replied_to(
    provider: IdentityProvider, microsoft: TokenMailServer, client: Client
) -> None:
    owner = User.objects.create_superuser("anna")
    row = connected(provider, microsoft, owner=owner)
    message = queue(row.account, owner=owner)
    deliver()
    recipient = Recipient.objects.get()
    given = "AM01@AM0PR01MB0001.eurprd01.prod.outlook.com"
    assert recipient.wire_message_id == given

    client.force_login(owner)
    address = reverse("outbox:message", args=[message.pk])
    page = client.get(address).content.decode()
    assert "Message-ID on the wire" in page
    assert given in page
    for text in (given, f"id:<{given}>"):
        found = client.get("/admin/outbox/message/", {"q": text})
        assert [each.pk for each in found.context["cl"].result_list] == [message.pk]

    reply = api.reply_to_message(message, DraftKind.REPLY, actor=owner)
    ids = reply.draft.references.split()
    assert ids == [f"<{message.message_id}>", f"<{given}>"]
    assert reply.in_reply_to == f"<{given}>"
