"""A blocked account is reported to its owner, who can retry it at once."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Account, Circuit, Destination
from outbox.reasons import Reason, ReasonCode
from tests.integration.web.conftest import signed_in
from tests.integration.web.test_accounts import described

REFUSED = "535 5.7.8 Error: authentication failed"
NOTICE = "cannot send messages until the account is fixed"


@pytest.fixture
def destination(account: Account) -> Destination:
    """The destination of Anna's account after its login was rejected."""
    return Destination.objects.create(
        account=account,
        circuit=Circuit.OPEN,
        circuit_until=timezone.now() + dt.timedelta(minutes=10),
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED, reply=REFUSED),
        circuit_needs_person=True,
    )


def seen(client: Client, name: str = "list", *args: object) -> str:
    return client.get(reverse(f"outbox:{name}", args=args)).content.decode()


@pytest.mark.usefixtures("destination")
@pytest.mark.parametrize("name", ["list", "compose", "account-add"])
def test_the_owner_sees_it_on_every_page(as_anna: Client, name: str) -> None:
    page = seen(as_anna, name)
    assert "“Work” " + NOTICE in page
    assert REFUSED in page


@pytest.mark.usefixtures("destination")
def test_other_users_are_not_asked_to_fix_it(ben: User, carl: User) -> None:
    assert NOTICE not in seen(signed_in(ben))
    assert NOTICE not in seen(signed_in(carl))
    given = seen(signed_in(ben), "accounts")
    assert REFUSED in given
    assert "Retry connection" not in given


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"circuit_needs_person": False}, id="time alone may help"),
        pytest.param({"circuit": Circuit.CLOSED}, id="it is over"),
    ],
)
def test_there_is_no_notice_if_no_action_is_required(
    as_anna: Client, destination: Destination, change: dict[str, object]
) -> None:
    Destination.objects.filter(pk=destination.pk).update(**change)
    assert NOTICE not in seen(as_anna)


def test_the_list_and_the_page_of_the_account_report_it_once(
    as_anna: Client, destination: Destination
) -> None:
    for page in (seen(as_anna, "accounts"), seen(as_anna, "account", destination.account_id)):
        assert page.count(REFUSED) == 1
        assert "Messages are waiting until the account is fixed." in page
        assert "Retry connection" in page


def test_the_page_of_another_account_still_reports_it(
    as_anna: Client, destination: Destination, anna: User
) -> None:
    other = Account.objects.create(owner=anna, name="Home", host="mail.example.org")
    assert NOTICE in seen(as_anna, "account", other.pk)


def test_a_retry_closes_the_circuit(as_anna: Client, destination: Destination) -> None:
    retry = reverse("outbox:account-retry", args=[destination.account_id])
    assert b"The connection is retried now." in as_anna.post(retry, follow=True).content
    destination.refresh_from_db()
    assert destination.circuit == Circuit.CLOSED
    assert not destination.circuit_needs_person
    assert b"Nothing was retried." in as_anna.post(retry, follow=True).content


def test_only_its_owner_may_retry(destination: Destination, ben: User, carl: User) -> None:
    retry = reverse("outbox:account-retry", args=[destination.account_id])
    for other in (ben, carl):
        assert signed_in(other).post(retry).status_code == 404
    destination.refresh_from_db()
    assert destination.circuit == Circuit.OPEN


@pytest.mark.parametrize(
    ("fields", "is_tried"), [({"password": "new one"}, True), ({"name": "Other"}, False)]
)
def test_a_changed_login_is_tried_at_once(
    as_anna: Client, destination: Destination, fields: dict[str, str], is_tried: bool
) -> None:
    account = destination.account
    same = {"host": account.host, "port": "587", "security": "starttls", "password": ""}
    url = reverse("outbox:account", args=[account.pk])
    as_anna.post(url, described(username="anna", **same) | fields)
    destination.refresh_from_db()
    assert (destination.circuit == Circuit.CLOSED) is is_tried


def test_a_limit_that_is_reached_is_shown(as_anna: Client, account: Account) -> None:
    account.per_minute = 5
    account.save()
    Destination.objects.create(
        account=account,
        minute_count=5,
        paused_until=timezone.now() + dt.timedelta(seconds=40),
        paused_reason=Reason(ReasonCode.LIMIT_PER_MINUTE, limit=5),
    )
    page = seen(as_anna, "accounts")
    assert "a limit is reached" in page
    Account.objects.update(per_minute=500)
    assert "a limit is reached" not in seen(as_anna, "accounts")
