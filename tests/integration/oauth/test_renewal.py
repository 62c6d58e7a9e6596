"""The row of an account's tokens: who renews it, when, and what each response changes."""

import datetime as dt
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connections
from django.test import RequestFactory
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from outbox.db.clock import database_now
from outbox.delivery import token_service, tokens
from outbox.delivery.idle_tokens import renew_idle
from outbox.delivery.tokens import RefreshWaits, access_for, current_access, wait_for_access
from outbox.models import Account, OAuthAccess, OAuthToken
from outbox.oauth.client import TIMEOUT
from outbox.smtp import FaultKind, SmtpFault
from outbox.testing.oauth import IdentityProvider, Trouble
from tests.integration.delivery.mail_client import until
from tests.integration.oauth.lab import ANNA, USING, account_of, connected

pytestmark = pytest.mark.django_db(transaction=True)


def row_of(row: OAuthToken) -> OAuthToken:
    return OAuthToken.objects.select_related("account", "provider").get(pk=row.pk)


def token(row: OAuthToken) -> str:
    return access_for(row_of(row).account, USING).token


def fault(row: OAuthToken) -> SmtpFault:
    with pytest.raises(SmtpFault) as caught:
        token(row)
    return caught.value


def set_times(row: OAuthToken, *, age: float, left: float) -> None:
    now = database_now(USING)
    OAuthToken.objects.filter(pk=row.pk).update(
        refreshed_at=now - dt.timedelta(seconds=age),
        expires_at=now + dt.timedelta(seconds=left),
    )


def test_a_token_is_used_until_shortly_before_it_expires(provider: IdentityProvider) -> None:
    row = connected(provider)
    first = token(row)
    assert provider.is_current(ANNA, first)
    assert token(row) == first
    assert len(provider.requests) == 1
    set_times(row, age=3540, left=60)
    second = token(row)
    assert second != first
    assert provider.requests == ["refresh_token"] * 2
    assert row_of(row).generation == 2


def test_each_rotated_refresh_token_is_stored(provider: IdentityProvider) -> None:
    row = connected(provider)
    for _ in range(3):
        token(row)
        set_times(row, age=3600, left=-1)
    assert row_of(row).refresh_token in provider.current_tokens()
    assert not row_of(row).is_rejected


def test_a_refresh_token_that_is_not_replaced_is_kept(provider: IdentityProvider) -> None:
    provider.rotates = False
    row = connected(provider)
    before = row_of(row).refresh_token
    token(row)
    assert row_of(row).refresh_token == before


def test_the_clock_of_the_provider_does_not_count(provider: IdentityProvider) -> None:
    provider.clock_skew = -86_400
    row = connected(provider)
    token(row)
    left = row_of(row).expires_at
    assert left is not None
    assert abs((left - database_now(USING)).total_seconds() - 3600) < 300


def test_many_threads_request_one_token(provider: IdentityProvider) -> None:
    provider.fail_next(Trouble.SLOW)
    provider.delay = 0.5
    row = connected(provider)
    barrier = threading.Barrier(6)

    def one(_: int) -> str:
        barrier.wait(timeout=30)
        try:
            return wait_for_access(row.account, USING).token
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(one, range(6)))
    assert len(found) == 1
    assert provider.requests == ["refresh_token"]
    assert provider.at_once_max == 1


def test_a_lease_is_respected_until_it_ends(provider: IdentityProvider) -> None:
    row = connected(provider)
    now = database_now(USING)
    OAuthToken.objects.update(lease_until=now + dt.timedelta(hours=1), lease_key="another")
    with pytest.raises(RefreshWaits):
        token(row)
    assert provider.requests == []
    OAuthToken.objects.update(lease_until=now - dt.timedelta(seconds=1))
    assert provider.is_current(ANNA, token(row))


def test_the_lease_lasts_longer_than_a_request_and_storing_its_result(
    provider: IdentityProvider,
) -> None:
    """Otherwise another process would send the same refresh token during it."""
    provider.fail_next(Trouble.SLOW)
    provider.delay = 2
    row = connected(provider)

    def renew() -> str:
        try:
            return wait_for_access(row.account, USING).token
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(renew)
        until(lambda: provider.at_once == 1, "the request was sent")
        held = row_of(row)
        assert held.lease_until is not None
        left = (held.lease_until - database_now(USING)).total_seconds()
        assert tokens._STORED_WITHIN + TIMEOUT < left <= 60
        renewal.result(timeout=30)


def test_a_stored_result_waits_for_the_database_for_a_limited_time(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other copy exists, but a thread must not wait forever."""
    row = connected(provider)
    attempts: list[float] = []

    def fail(*args: object, **options: object) -> bool:
        attempts.append(time.monotonic())
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(tokens, "store", fail)
    monkeypatch.setattr(tokens, "_STORED_WITHIN", 0.6)
    with pytest.raises(OperationalError):
        token(row)
    assert len(attempts) >= 2
    assert attempts[-1] - attempts[0] < 30


def test_no_lease_is_taken_before_the_time_of_the_next_request(provider: IdentityProvider) -> None:
    """A process may have read the row before another one recorded the fault."""
    row = connected(provider)
    now = database_now(USING)
    read_before = row_of(row)
    OAuthToken.objects.update(retry_at=now + dt.timedelta(minutes=5))
    assert not tokens._take_lease(read_before, "key", now, USING)
    later = now + dt.timedelta(minutes=6)
    assert tokens._take_lease(read_before, "key", later, USING)


def test_no_token_is_in_an_error_report_of_a_failing_renewal(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report that Django sends to ADMINS has the local variables of each function.

    The functions below know no Django. The decorators of their callers hide the variables of both.
    """
    row = connected(provider)
    secrets = {row_of(row).refresh_token, provider.client_secret}

    def broken(*args: object, **options: object) -> object:
        raise RuntimeError("a defect")

    monkeypatch.setattr(socket, "create_connection", broken)
    with pytest.raises(RuntimeError) as caught:
        token(row)
    frames = caught.tb
    while "/outbox/" not in frames.tb_frame.f_code.co_filename:  # those of the test
        assert frames.tb_next is not None
        frames = frames.tb_next
    caught.value.with_traceback(frames)
    reporter = ExceptionReporter(RequestFactory().get("/"), caught.type, caught.value, frames)
    reporter.filter = SafeExceptionReporterFilter()
    monkeypatch.setattr(reporter.filter, "is_active", lambda request: True)
    report = reporter.get_traceback_text() + reporter.get_traceback_html()
    assert "a defect" in report
    assert "outbox/net/http.py" in report
    assert not [one for one in secrets if one in report]


def test_while_another_process_renews_a_valid_token_is_used(provider: IdentityProvider) -> None:
    row = connected(provider)
    first = token(row)
    set_times(row, age=3540, left=60)
    later = database_now(USING) + dt.timedelta(hours=1)
    OAuthToken.objects.update(lease_until=later, lease_key="another")
    assert token(row) == first


TROUBLES = [
    Trouble.RATE_LIMIT,
    Trouble.TIMEOUT,
    Trouble.ERROR,
    Trouble.HTML,
    Trouble.CLOSED,
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_of_the_service_delays_its_next_request(
    provider: IdentityProvider, trouble: Trouble
) -> None:
    row = connected(provider)
    provider.fail_next(trouble)
    found = fault(row)
    assert found.kind is FaultKind.AUTH_TEMPORARY
    stored = row_of(row)
    assert not stored.is_rejected
    assert stored.retry_at is not None
    assert stored.lease_until is None
    asked = len(provider.requests)
    assert fault(row).kind is FaultKind.AUTH_TEMPORARY
    assert len(provider.requests) == asked, "no request before the time"
    OAuthToken.objects.update(retry_at=database_now(USING) - dt.timedelta(seconds=1))
    assert provider.is_current(ANNA, token(row))
    assert (row_of(row).faults, row_of(row).retry_at) == (0, None)


def test_retry_after_is_obeyed_by_the_row_and_by_the_circuit(provider: IdentityProvider) -> None:
    row = connected(provider)
    provider.retry_after = 4000
    provider.fail_next(Trouble.RATE_LIMIT)
    found = fault(row)
    assert found.reason.args["reply"] == "Retry after 4000 seconds"
    at = row_of(row).retry_at
    assert at is not None
    assert at > database_now(USING) + dt.timedelta(seconds=3900)


def test_trouble_does_not_matter_while_the_token_is_valid(provider: IdentityProvider) -> None:
    row = connected(provider)
    first = token(row)
    set_times(row, age=3540, left=60)
    provider.fail_next(Trouble.ERROR)
    assert token(row) == first


def test_a_revoked_access_holds_the_account_and_is_not_requested_again(
    provider: IdentityProvider,
) -> None:
    row = connected(provider)
    provider.revoke(ANNA)
    assert fault(row).kind is FaultKind.AUTH_UNAVAILABLE
    assert row_of(row).is_rejected
    assert row_of(row).reason.code == "token_revoked"
    for _ in range(3):
        assert fault(row).reason.code == "token_revoked"
    assert len(provider.requests) == 1


def test_a_wrong_client_secret_holds_the_account(provider: IdentityProvider) -> None:
    row = connected(provider)
    provider.client_secret = "another"
    assert fault(row).reason.code == "token_client_rejected"
    assert row_of(row).is_rejected


def test_a_rejected_token_is_replaced_once(provider: IdentityProvider) -> None:
    row = connected(provider)
    first = access_for(row_of(row).account, USING)
    second = access_for(row_of(row).account, USING, rejected=first.generation)
    assert second.token != first.token
    again = access_for(row_of(row).account, USING, rejected=second.generation)
    assert again == second
    assert len(provider.requests) == 2


def test_another_process_has_replaced_the_rejected_token_already(
    provider: IdentityProvider,
) -> None:
    row = connected(provider)
    first = access_for(row_of(row).account, USING)
    second = access_for(row_of(row).account, USING, rejected=first.generation)
    assert access_for(row_of(row).account, USING, rejected=first.generation) == second


def test_a_late_result_is_stored_if_the_lease_was_lost(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was suspended has the only copy of a rotated token."""
    row = connected(provider)
    suspended, resumed = threading.Event(), threading.Event()
    request = token_service.request_tokens

    def slow(row: OAuthToken, now: float) -> object:
        found = request(row, now)
        suspended.set()
        resumed.wait(timeout=30)
        return found

    def first() -> str:
        try:
            return wait_for_access(row.account, USING).token
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(tokens, "request_tokens", slow)
        late = pool.submit(first)
        assert suspended.wait(timeout=30)
        monkeypatch.undo()
        OAuthToken.objects.update(lease_until=database_now(USING) - dt.timedelta(seconds=1))
        # This one sends the refresh token that was replaced. The provider rejects it.
        provider_rejects = fault(row)
        assert provider_rejects.reason.code == "token_revoked"
        resumed.set()
        late.result(timeout=30)
    stored = row_of(row)
    assert not stored.is_rejected
    assert stored.generation == 1


def test_tokens_are_void_for_another_server(provider: IdentityProvider) -> None:
    row = connected(provider)
    token(row)
    account = row.account
    account.host = "attacker.example"
    account.save()
    assert fault(row).kind is FaultKind.AUTH_UNAVAILABLE
    set_times(row, age=3600, left=-1)
    assert fault(row).reason.code == "token_not_connected"
    assert len(provider.requests) == 1


def test_another_tenant_reads_the_stored_tokens(provider: IdentityProvider) -> None:
    row = connected(provider)
    row.provider.kind = "microsoft"
    row.refresh_encrypted = row.encrypted(access="", refresh="for months")["refresh_encrypted"]
    row.provider.tenant = "example.org"
    assert row.refresh_token == "for months"


def test_an_app_token_for_another_mailbox_is_replaced(provider: IdentityProvider) -> None:
    row = connected(provider)
    row.provider.access = OAuthAccess.APP
    row.provider.save()
    first = token(row)
    row.account.username = "boss@example.org"
    row.account.save()
    assert token(row) != first
    assert provider.requests == ["client_credentials"] * 2


def test_no_app_token_is_requested_for_another_server(provider: IdentityProvider) -> None:
    row = connected(provider)
    row.provider.access = OAuthAccess.APP
    row.provider.save()
    row.account.host = "attacker.example"
    row.account.save()
    assert fault(row).reason.code == "token_server_foreign"
    assert provider.requests == []


def test_an_app_gets_tokens_without_a_users_consent(provider: IdentityProvider) -> None:
    row = connected(provider)
    provider_row = row.provider
    provider_row.access = OAuthAccess.APP
    provider_row.save()
    OAuthToken.objects.update(refresh_encrypted="")
    assert token(row)
    assert provider.requests == ["client_credentials"]


def hook(account: Account) -> str | None:
    """The token provider of a site."""
    return f"token for {account.name}" if account.name == "from the site" else None


def broken_hook(account: Account) -> str:
    raise RuntimeError("the vault with the token s3cret")


def test_a_site_may_hold_the_tokens(provider: IdentityProvider, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"TOKEN_PROVIDER": f"{__name__}.hook"}
    assert access_for(account_of(None, name="from the site"), USING).token == (
        "token for from the site"
    )
    assert provider.is_current(ANNA, token(connected(provider)))


def test_a_failing_token_provider_is_trouble_that_ends(
    settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"TOKEN_PROVIDER": f"{__name__}.broken_hook"}
    with pytest.raises(SmtpFault) as caught:
        access_for(account_of(None), USING)
    assert caught.value.kind is FaultKind.AUTH_TEMPORARY
    assert "s3cret" not in str(caught.value)
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text


def test_an_entered_token_is_used_as_it_is() -> None:
    account = account_of(None)
    account.secret = "pasted"
    account.save()
    assert access_for(account, USING).token == "pasted"


def test_what_is_not_used_for_days_is_renewed(provider: IdentityProvider) -> None:
    row = connected(provider)
    token(row)
    assert renew_idle(USING) == 0
    set_times(row, age=6 * 86_400, left=-5 * 86_400)
    assert renew_idle(USING) == 0, "it was used this week"
    set_times(row, age=8 * 86_400, left=-7 * 86_400)
    assert renew_idle(USING) == 1
    assert renew_idle(USING) == 0
    assert row_of(row).generation == 2


def test_one_idle_account_does_not_delay_the_others(provider: IdentityProvider) -> None:
    first = connected(provider)
    second = OAuthToken(account=account_of(None, name="Ben"), provider=first.provider)
    second.refresh_encrypted = second.encrypted(access="", refresh=provider.grant(ANNA))[
        "refresh_encrypted"
    ]
    second.save()
    for row in (first, second):
        set_times(row, age=8 * 86_400, left=-7 * 86_400)
    later = database_now(USING) + dt.timedelta(hours=1)
    OAuthToken.objects.filter(pk=first.pk).update(lease_until=later, lease_key="another")
    assert renew_idle(USING) + renew_idle(USING) == 1
    assert row_of(second).generation == 1


def test_a_fresh_token_needs_no_request(provider: IdentityProvider) -> None:
    row = connected(provider)
    assert current_access(row.account, USING) is None
    found = access_for(row.account, USING)
    assert current_access(row.account, USING) == found
    set_times(row, age=3540, left=60)
    assert current_access(row.account, USING) is None


def test_an_idle_account_that_was_revoked_is_found(provider: IdentityProvider) -> None:
    row = connected(provider)
    token(row)
    provider.revoke(ANNA)
    set_times(row, age=8 * 86_400, left=-7 * 86_400)
    assert renew_idle(USING) == 0
    assert row_of(row).is_rejected
    asked = len(provider.requests)
    assert renew_idle(USING) == 0
    assert len(provider.requests) == asked
