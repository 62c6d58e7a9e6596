"""Access to an account ends while messages wait: nothing more is sent with it."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from outbox import api
from outbox.delivery.due import DueAt
from outbox.delivery.sweep import sweep
from outbox.exceptions import AccountNotUsableError, InvalidMessageError
from outbox.models import Account, Destination, Message, Recipient, State
from outbox.models.senders import hold_forbidden
from outbox.reasons import ReasonCode
from tests.shares import accept, share
from tests.states import set_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def carol() -> User:
    return User.objects.create_user("carol")


@pytest.fixture
def account(alice: User, carol: User) -> Account:
    """Alice's, shared with Carol."""
    made = Account.objects.create(
        owner=alice, name="Work", from_address="alice@example.com", host="mail.example.com"
    )
    share(made, carol)
    return made


def composed(owner: User, account: Account, send_at: dt.datetime | None = None) -> Message:
    fields = api.DraftFields(
        account=account, to="dan@example.org", subject="Figures", text=".", send_at=send_at
    )
    return api.send_draft(api.save_draft(owner, fields), actor=owner)


@pytest.fixture
def message(carol: User, account: Account) -> Message:
    return composed(carol, account)


def states(message: Message) -> list[str]:
    return list(message.recipients.values_list("state", flat=True))


def reason(message: Message) -> str:
    return str(message.recipients.get().reason.code)


def test_the_sweep_asks_once_about_all_users_of_an_account(
    account: Account, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        user = User.objects.create_user(f"user{number}")
        share(account, user)
        composed(user, account)
    with django_assert_max_num_queries(6):
        assert hold_forbidden("default") == 0


ACTIONS: list[tuple[State, Callable[[Message], object]]] = [
    (State.FAILED, api.retry),
    (State.DEFERRED, api.retry),
    (State.CANCELLED, lambda one: api.retry(one, recipients=one.recipients.all())),
    (State.HELD, api.release),
    (State.UNCERTAIN, api.resolve_as_unsent),
    (State.UNCERTAIN, lambda one: api.resolve_uncertain(one, State.DEFERRED)),
]


@pytest.mark.parametrize(("state", "action"), ACTIONS)
def test_no_action_sends_after_the_share_ended(
    state: State, action: Callable[[Message], object], message: Message, account: Account
) -> None:
    account.users.clear()
    set_state(Recipient.objects.filter(message=message), state)
    with pytest.raises(AccountNotUsableError, match="may no longer send with this account"):
        action(message)
    assert states(message) == [state]


def test_resolving_without_sending_is_possible(message: Message, account: Account) -> None:
    account.users.clear()
    set_state(Recipient.objects.filter(message=message), State.UNCERTAIN)
    assert api.resolve_as_sent(message) == 1


@pytest.mark.parametrize("action", [api.send_now, lambda one: api.reschedule(one, later(2))])
def test_a_scheduled_message_is_not_sent_and_not_moved(
    action: Callable[[Message], object], carol: User, account: Account
) -> None:
    message = composed(carol, account, later(1))
    Account.users.through.objects.all().delete()  # past the signals
    with pytest.raises(AccountNotUsableError):
        action(message)


def later(hours: int) -> dt.datetime:
    return timezone.now() + dt.timedelta(hours=hours)


def test_a_draft_is_not_sent(carol: User, account: Account) -> None:
    fields = api.DraftFields(account=account, to="dan@example.org", subject="Hello", text=".")
    draft = api.save_draft(carol, fields)
    account.users.clear()
    with pytest.raises(InvalidMessageError) as caught:
        api.send_draft(draft, actor=carol)
    assert caught.value.field == "account"


def test_an_app_cannot_send_for_a_user_with_the_account_of_another(account: Account) -> None:
    eve = User.objects.create_user("eve")
    with pytest.raises(InvalidMessageError, match="may not send with this account"):
        api.send(to="dan@example.org", subject="Hello", text=".", account=account, owner=eve)


@pytest.mark.parametrize(
    "end",
    [
        lambda account, carol: account.users.remove(carol),
        lambda account, carol: account.users.set([]),
    ],
)
def test_waiting_messages_are_held_when_a_share_ends(
    end: Callable[[Account, User], None], message: Message, account: Account, carol: User
) -> None:
    end(account, carol)
    assert states(message) == [State.HELD]
    assert reason(message) == ReasonCode.ACCESS_ENDED


def test_other_messages_are_not_held(message: Message, account: Account, carol: User) -> None:
    own = Account.objects.create(
        owner=carol, name="Own", from_address="carol@example.com", host="mail.example.com"
    )
    of_own = composed(carol, own)
    of_owner = composed(User.objects.get(username="alice"), account)
    account.users.remove(carol)
    sweep("default")
    assert (states(of_own), states(of_owner)) == ([State.QUEUED], [State.QUEUED])
    assert states(message) == [State.HELD]


def queued(owner: User, account: Account, count: int) -> None:
    outgoing = [
        api.Outgoing(
            source=b"From: a@example.com\r\n\r\n.\r\n",
            envelope_sender="a@example.com",
            recipients=[api.OutgoingRecipient(f"{n}@example.org") for n in range(100)],
            account=account,
            owner=owner,
        )
        for _ in range(count // 100)
    ]
    api.queue_sources(outgoing)


def disable(user: User, account: Account) -> None:
    user.is_active = False
    user.save()


def end_share(user: User, account: Account) -> None:
    account.users.remove(user)


@pytest.mark.system
@pytest.mark.parametrize("end", [disable, end_share])
@pytest.mark.parametrize("count", [100, 2_000])
def test_a_change_that_holds_many_messages_makes_few_queries(
    end: Callable[[User, Account], None],
    count: int,
    carol: User,
    account: Account,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    queued(carol, account, count)
    of_owner = composed(User.objects.get(username="alice"), account)
    with django_assert_max_num_queries(60):
        end(carol, account)
    held = Recipient.objects.filter(state=State.HELD)
    assert held.count() == min(count, 500)
    assert [one.held for one in api.status().pending_holds] == ([500] if count > 500 else [])

    now = timezone.now()
    destination = Destination.objects.get()
    claimed = DueAt(destination.pk, now + dt.timedelta(days=1), "default").lock(5_000, 0)
    assert {one.message_id for one in claimed} == {of_owner.pk}

    sweep("default")
    assert held.count() == count
    assert states(of_owner) == [State.QUEUED]
    assert api.status().pending_holds == []


def test_messages_queued_after_the_access_returned_are_not_held(
    carol: User, account: Account
) -> None:
    queued(carol, account, 1_000)
    disable(carol, account)
    User.objects.filter(pk=carol.pk).update(is_active=True)
    carol.refresh_from_db()
    message = composed(carol, account)
    sweep("default")
    assert Recipient.objects.filter(state=State.HELD).count() == 1_000
    assert states(message) == [State.QUEUED]


def test_all_messages_of_a_deleted_user_are_held(carol: User, account: Account) -> None:
    queued(carol, account, 1_200)
    carol.delete()
    sweep("default")
    assert set(Recipient.objects.values_list("state", flat=True)) == {State.HELD}


def test_a_message_of_an_app_hides_no_composed_one(carol: User) -> None:
    site = Account.objects.create(
        name="Shop", from_address="shop@example.com", host="mail.example.com"
    )
    share(site, carol)
    for_app = api.send(to="dan@example.org", subject="A", text=".", account=site, owner=carol)
    message = composed(carol, site)
    last = api.send(to="dan@example.org", subject="B", text=".", account=site, owner=carol)
    Account.users.through.objects.all().delete()  # past the signals
    assert sweep("default").forbidden == 1
    assert states(message) == [State.HELD]
    assert reason(message) == ReasonCode.ACCESS_ENDED
    assert states(for_app.message()) + states(last.message()) == [State.QUEUED] * 2
    assert sweep("default").forbidden == 0


def test_a_message_of_an_app_hides_no_composed_one_of_a_deleted_author(carol: User) -> None:
    site = Account.objects.create(
        name="Shop", from_address="shop@example.com", host="mail.example.com"
    )
    share(site, carol)
    for_app = api.send(to="dan@example.org", subject="A", text=".", account=site, owner=carol)
    message = composed(carol, site)
    Message.objects.update(owner=None)
    assert sweep("default").forbidden == 1
    assert states(message) == [State.HELD]
    assert states(for_app.message()) == [State.QUEUED]


def test_waiting_messages_of_a_disabled_user_are_held(message: Message, carol: User) -> None:
    carol.is_active = False
    carol.save()
    assert states(message) == [State.HELD]
    assert reason(message) == ReasonCode.AUTHOR_DISABLED
    with pytest.raises(AccountNotUsableError, match="author of the message is disabled"):
        api.release(message)

    carol.is_active = True
    carol.save()
    assert states(message) == [State.HELD]  # until a person releases it
    assert api.release(message) == 1
    assert states(message) == [State.QUEUED]


def test_waiting_messages_of_a_deleted_user_are_held(message: Message, carol: User) -> None:
    carol.delete()
    assert states(message) == [State.HELD]
    message.refresh_from_db()
    with pytest.raises(AccountNotUsableError, match="was deleted"):
        api.release(message)


UNREPORTED_CHANGES: list[tuple[Callable[[Account, User], object], ReasonCode]] = [
    (lambda _a, user: User.objects.filter(pk=user.pk).update(is_active=False),
     ReasonCode.AUTHOR_DISABLED),
    (lambda _a, _u: Account.objects.update(is_active=False), ReasonCode.ACCOUNT_DISABLED),
    (lambda _a, _u: Account.users.through.objects.all().delete(), ReasonCode.ACCESS_ENDED),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code"), UNREPORTED_CHANGES)
def test_the_sweep_holds_what_no_signal_reported(
    change: Callable[[Account, User], object],
    code: ReasonCode,
    message: Message,
    account: Account,
    carol: User,
) -> None:
    change(account, carol)
    assert states(message) == [State.QUEUED]
    assert sweep("default").forbidden == 1
    assert states(message) == [State.HELD]
    assert reason(message) == code
    assert sweep("default").forbidden == 0


def test_the_end_of_a_group_membership_holds_messages(alice: User, carol: User) -> None:
    sales = Group.objects.create(name="Sales")
    carol.groups.add(sales)
    account = Account.objects.create(
        owner=alice, name="Sales", from_address="sales@example.com", host="mail.example.com"
    )
    account.groups.add(sales)
    accept(account, carol)
    message = composed(carol, account)
    carol.groups.clear()
    sweep("default")
    assert states(message) == [State.HELD]
    with pytest.raises(AccountNotUsableError):
        api.release(message)


def test_apps_send_for_users_with_the_accounts_of_the_site(carol: User) -> None:
    account = Account.objects.create(
        name="Shop", from_address="shop@example.com", host="mail.example.com"
    )
    handle = api.send(to="dan@example.org", subject="Hi", text=".", account=account, owner=carol)
    assert sweep("default").forbidden == 0
    api.hold(handle)
    assert api.release(handle) == 1


def test_the_page_says_why_nothing_was_sent(
    message: Message, account: Account, carol: User
) -> None:
    account.users.remove(carol)
    client = Client()
    client.force_login(carol)
    page = client.get(reverse("outbox:message", args=[message.pk])).content.decode()
    assert "The author may no longer send with this account." in page
    assert '<button id="action-release" class="button" type="button" disabled' in page
    page = client.post(reverse("outbox:release", args=[message.pk]), follow=True).content.decode()
    assert "The author may no longer send with this account." in page
    assert states(message) == [State.HELD]
