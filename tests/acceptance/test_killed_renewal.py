"""Two processes renew one account's tokens, and one is killed at each step.

The provider rotates refresh tokens and rejects those that were used before. The table of
docs/reliability.md has the results.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dev.processes import wait_until
from outbox.db.clock import database_now
from outbox.models import OAuthToken
from outbox.testing.oauth import IdentityProvider, Trouble
from tests.acceptance.conftest import ROOT
from tests.integration.oauth.lab import ANNA, connected

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.every_database,
    pytest.mark.timeout(300),
]
ROUNDS = 10


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


def started(environment: dict[str, str], point: str = "", rounds: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.token_worker", point, str(rounds)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(worker: subprocess.Popen[str]) -> list[str]:
    output, _ = worker.communicate(timeout=120)
    return output.splitlines()


def end_lease() -> None:
    """End the lease, as after the time that a dead process leaves it."""
    OAuthToken.objects.update(lease_until=database_now() - dt.timedelta(seconds=1))


def state() -> OAuthToken:
    return OAuthToken.objects.select_related("account", "provider").get()


# Where a process is killed; whether the account then says “Connect again”, with a provider that
# rotates, and the requests that the provider got until then.
STEPS = [
    pytest.param("before lease", False, 1, id="before the lease"),
    pytest.param("after lease", False, 1, id="between lease and request"),
    pytest.param("before store", True, 2, id="between response and commit"),
    pytest.param("after store", False, 2, id="after the commit"),
]


@pytest.mark.parametrize(("point", "is_held", "requests"), STEPS)
def test_a_killed_process_leaves_an_account_that_recovers_or_says_so(
    provider: IdentityProvider,
    site_environment: dict[str, str],
    point: str,
    is_held: bool,
    requests: int,
) -> None:
    connected(provider)
    assert said(started(site_environment, point)) == []
    end_lease()
    found = said(started(site_environment, rounds=2))
    assert state().is_rejected is is_held
    if is_held:
        assert found == ["auth_unavailable: token_revoked"] * 2
        assert len(provider.requests) == requests, "it does not ask again"
    else:
        assert provider.is_current(ANNA, state().access_token)
        assert len(provider.requests) == requests + 1, "one more round"
    assert provider.at_once_max == 1


def test_a_provider_that_does_not_rotate_loses_nothing(
    provider: IdentityProvider, site_environment: dict[str, str]
) -> None:
    provider.rotates = False
    connected(provider)
    assert said(started(site_environment, "before store")) == []
    end_lease()
    assert said(started(site_environment)) == ["1"]
    assert not state().is_rejected


def test_a_process_killed_during_the_request_leaves_the_lease(
    provider: IdentityProvider, site_environment: dict[str, str]
) -> None:
    """Until the lease ends, no process sends the same refresh token."""
    provider.rotates = False
    provider.delay = 60
    provider.fail_next(Trouble.SLOW)
    connected(provider)
    doomed = started(site_environment)
    wait_until(lambda: provider.at_once == 1, within=60, what="the request was sent")
    doomed.kill()
    doomed.communicate(timeout=60)
    assert state().lease_until is not None
    end_lease()
    assert said(started(site_environment)) == ["1"]


def test_two_processes_never_renew_at_once(
    provider: IdentityProvider, site_environment: dict[str, str]
) -> None:
    connected(provider)
    workers = [started(site_environment, rounds=ROUNDS) for _ in range(2)]
    found = [said(worker) for worker in workers]
    assert [len(lines) for lines in found] == [ROUNDS] * 2
    assert all(line.isdigit() for lines in found for line in lines)
    assert provider.at_once_max == 1
    row = state()
    assert not row.is_rejected
    assert row.refresh_token in provider.current_tokens(), "no rotated token was lost"
    assert len(provider.requests) == row.generation
