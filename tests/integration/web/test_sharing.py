"""A shared account is an invitation: accepted, declined, and left again."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from outbox import api
from outbox.api import sharing
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, AuditEntry, Message, Preferences, ShareDecision, State
from tests.integration.web.conftest import signed_in, staff_member, typed
from tests.integration.web.test_accounts import SAME_SERVER, described

LIST = reverse("outbox:accounts")


def page_of(account: Account, name: str = "account") -> str:
    return reverse(f"outbox:{name}", args=[account.pk])


@pytest.fixture
def mallory(db: None) -> User:
    return User.objects.create_user("mallory")


@pytest.fixture
def trap(mallory: User) -> Account:
    """Mallory's account, which looks like Anna's and comes first by name."""
    return Account.objects.create(
        owner=mallory,
        name="!Work",
        from_name="Anna",
        from_address="anna@example.com",
        host="mail.attacker.example",
    )


def offer(account: Account, *names: str) -> None:
    assert account.owner is not None
    sharing.share_with_names(account, names, actor=account.owner)


def test_an_invited_user_cannot_be_made_to_send_with_it(
    as_anna: Client, anna: User, trap: Account, account: Account
) -> None:
    offer(trap, "anna")
    form = as_anna.get(reverse("outbox:compose")).context["form"]
    assert form.accounts == [account]
    refused = as_anna.post(reverse("outbox:compose"), typed(trap) | {"send": "1"})
    assert list(refused.context["form"].errors) == ["account"]
    assert list(Account.objects.usable_by(anna)) == [account]


def test_the_invitation_is_shown_and_accepted(as_anna: Client, anna: User, trap: Account) -> None:
    offer(trap, "anna")
    assert "mallory invites you" in as_anna.get(reverse("outbox:list")).content.decode()
    shown = as_anna.get(LIST).content.decode()
    assert "mallory invites you" in shown
    assert "mail.attacker.example" in shown
    assert as_anna.get(page_of(trap, "account-accept")).status_code == 405

    as_anna.post(page_of(trap, "account-accept"))
    assert list(Account.objects.usable_by(anna)) == [trap]
    assert "mallory invites you" not in as_anna.get(reverse("outbox:list")).content.decode()
    assert "shared by mallory" in as_anna.get(LIST).content.decode()
    actions = list(AuditEntry.objects.values_list("action", "actor_name"))
    assert ("share_accepted", "anna") in actions


@pytest.mark.parametrize("again", ["group", "user"])
def test_an_offer_to_a_deleted_group_does_not_keep_a_decision(
    anna: User, mallory: User, trap: Account, again: str
) -> None:
    group = Group.objects.create(name="team")
    group.user_set.add(anna)
    sharing.share_with_groups(trap, [group], actor=mallory)
    assert sharing.accept(trap, anna)
    group.delete()
    if again == "user":
        offer(trap, "anna")
    else:
        anna.groups.add(Group.objects.create(name="team"))
        sharing.share_with_groups(trap, anna.groups.all(), actor=mallory)
    assert not Account.objects.usable_by(anna).exists()
    assert list(Account.objects.inviting(anna)) == [trap]


def test_own_accounts_come_first_and_shared_ones_name_their_owner(
    as_anna: Client, anna: User, trap: Account, account: Account
) -> None:
    offer(trap, "anna")
    sharing.accept(trap, anna)
    form = as_anna.get(reverse("outbox:compose")).context["form"]
    choices = [(str(value), label) for value, label in form.fields["account"].choices][1:]
    assert choices == [
        (str(account.pk), "Anna <anna@example.com> (Work)"),
        (str(trap.pk), "Anna <anna@example.com> (!Work, shared by mallory)"),
    ]
    assert form["account"].value() == account.pk


def test_the_account_that_was_used_last_comes_before_other_shared_ones(
    anna: User, mallory: User
) -> None:
    first, second = (
        Account.objects.create(
            owner=mallory, name=name, from_address=f"{name}@example.com", host="h.example.com"
        )
        for name in "ab"
    )
    for one in (first, second):
        offer(one, "anna")
        sharing.accept(one, anna)
    assert list(Preferences.of(anna.pk).usable_accounts(anna)) == [first, second]
    fields = api.DraftFields(account=second, to="a@example.org", subject="Hi", text=".")
    api.send_draft(api.save_draft(anna, fields), actor=anna)
    assert list(Preferences.of(anna.pk).usable_accounts(anna)) == [second, first]


def test_the_message_page_names_the_owner_of_a_shared_account(
    ben: User, as_ben: Client, account: Account
) -> None:
    fields = api.DraftFields(account=account, to="a@example.org", subject="Hi", text=".")
    message = api.send_draft(api.save_draft(ben, fields), actor=ben)
    page = as_ben.get(reverse("outbox:message", args=[message.pk])).content.decode()
    assert "shared by anna" in page


def test_a_declined_invitation_looks_as_before_to_the_owner(
    as_anna: Client, anna: User, trap: Account
) -> None:
    offer(trap, "anna", "does-not-exist")
    before = sharing.shared_names(trap)
    as_anna.post(page_of(trap, "account-decline"))
    trap.refresh_from_db()
    assert sharing.shared_names(trap) == before == ["anna", "does-not-exist"]
    assert not Account.objects.usable_by(anna).exists()
    assert not Account.objects.inviting(anna).exists()
    offer(trap, "anna", "does-not-exist")  # unchanged: no second invitation
    assert not Account.objects.inviting(anna).exists()
    offer(trap)
    offer(trap, "anna")
    assert Account.objects.inviting(anna).exists()


def test_the_page_does_not_reveal_which_users_exist(
    as_anna: Client, account: Account, carl: User
) -> None:
    decisions = []
    for name in ("carl", "does-not-exist"):
        response = as_anna.post(
            page_of(account), described(**SAME_SERVER, shared_with=f"ben, {name}"), follow=True
        )
        decisions.append(response.content.decode().replace(name, "NAME"))
    token = 'name="csrfmiddlewaretoken" value="'
    first, second = (
        "".join(piece[64:] if number else piece for number, piece in enumerate(one.split(token)))
        for one in decisions
    )
    assert first == second
    assert Account.objects.inviting(carl).count() == 0  # the second form took the name out


def test_a_left_account_is_not_used_any_more(ben: User, as_ben: Client, account: Account) -> None:
    fields = api.DraftFields(account=account, to="a@example.org", subject="Hi", text=".")
    message = api.send_draft(api.save_draft(ben, fields), actor=ben)
    assert (
        "1 of your messages is waiting"
        in as_ben.get(page_of(account, "account-leave")).content.decode()
    )
    assert account in Account.objects.usable_by(ben), "the question alone changes nothing"
    as_ben.post(page_of(account, "account-leave"))
    assert not Account.objects.usable_by(ben).exists()
    assert not account.users.exists()
    assert list(message.recipients.values_list("state", flat=True)) == [State.HELD]


@pytest.mark.parametrize("name", ["account-accept", "account-decline", "account-leave"])
def test_other_users_cannot_decide(name: str, carl: User, account: Account) -> None:
    assert signed_in(carl).post(page_of(account, name)).status_code == 404


def test_each_member_of_a_group_is_invited(anna: User, carl: User, ben: User) -> None:
    sales = Group.objects.create(name="Sales")
    for user in (anna, carl, ben):
        user.groups.add(sales)
    account = Account.objects.create(
        owner=anna, name="Sales", from_address="sales@example.com", host="mail.example.com"
    )
    sharing.share_with_groups(account, [sales], actor=anna)
    assert not Account.objects.usable_by(carl).exists()
    sharing.accept(account, carl)
    sharing.decline(account, ben)
    assert list(Account.objects.usable_by(carl)) == [account]
    assert not Account.objects.usable_by(ben).exists()
    carl.groups.clear()
    assert not Account.objects.usable_by(carl).exists()


def test_a_revoked_share_needs_another_decision(anna: User, ben: User, account: Account) -> None:
    sharing.share_with_names(account, [], actor=anna)
    assert not ShareDecision.objects.exists()
    sharing.share_with_names(account, ["ben"], actor=anna)
    assert not Account.objects.usable_by(ben).exists()
    assert Account.objects.inviting(ben).exists()


def test_an_empty_group_does_not_keep_a_decision(anna: User, ben: User, account: Account) -> None:
    account.groups.add(Group.objects.create(name="Empty"))
    sharing.share_with_names(account, [], actor=anna)
    assert not ShareDecision.objects.exists()


def test_a_group_that_is_shared_with_again_is_invited_again(
    anna: User, ben: User, carl: User, account: Account
) -> None:
    sales = Group.objects.create(name="Sales")
    for user in (anna, ben, carl):
        user.groups.add(sales)
    sharing.share_with_groups(account, [sales], actor=anna)
    sharing.accept(account, carl)
    sharing.share_with_groups(account, [], actor=anna)
    sharing.share_with_groups(account, [sales], actor=anna)
    assert Account.objects.inviting(carl).exists()
    assert Account.objects.usable_by(ben).exists()  # it is shared with this user, too
    entries = AuditEntry.objects.filter(actor_name="anna", details__has_key="groups")
    actions = entries.order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["share_offered", "share_revoked", "share_offered"]


def test_sharing_can_need_a_permission(
    as_anna: Client, anna: User, account: Account, carl: User, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHARING_NEEDS_PERMISSION": True}
    refused = as_anna.post(page_of(account), described(**SAME_SERVER, shared_with="ben, carl"))
    assert list(refused.context["form"].errors) == ["shared_with"]
    as_anna.post(reverse("outbox:account-add"), described(shared_with="carl"))
    assert not Account.objects.inviting(carl).exists()
    with pytest.raises(PermissionDenied):
        sharing.share_with_names(account, ["ben", "carl"], actor=anna)
    with pytest.raises(PermissionDenied):
        sharing.share_with_groups(account, [Group.objects.create(name="G")], actor=anna)
    as_anna.post(page_of(account), described(**SAME_SERVER, shared_with=""))
    assert not account.users.exists()  # taking back needs none

    admin_page = f"/admin/outbox/account/{account.pk}/change/"
    staff = staff_member("view_account", "change_account")
    assert 'name="users"' not in signed_in(staff).get(admin_page).content.decode()
    sharer = staff_member("view_account", "change_account", "share_account", name="sharer")
    assert 'name="users"' in signed_in(sharer).get(admin_page).content.decode()


def test_an_email_reports_an_invitation_to_users_who_want_one(
    anna: User,
    mallory: User,
    trap: Account,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    Account.objects.create(
        name="Site", from_address="site@example.com", host="mail.example.com", is_app_default=True
    )
    User.objects.filter(pk=anna.pk).update(email="anna@example.com")
    with django_capture_on_commit_callbacks(execute=True):
        offer(trap, "anna")
    assert not Message.objects.exists()
    Preferences.objects.create(user=anna, invitation_email=True)
    with django_capture_on_commit_callbacks(execute=True):
        offer(trap)
        offer(trap, "anna")
    message = Message.objects.get()
    assert message.subject == "mallory invites you to send with “!Work”"
    assert message.recipients.get().address == "anna@example.com"
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in message.source.read()
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(20):  # an offer that is withdrawn and repeated sends no flood of emails
            offer(trap)
            offer(trap, "anna")
    assert Message.objects.count() < 10


DOMAINS = {"SENDER_DOMAINS": ["example.com", "example.net"]}


def test_staff_restrict_the_sender_domains_of_users(
    as_anna: Client, anna: User, account: Account, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | DOMAINS
    refused = as_anna.post(reverse("outbox:account-add"), described(from_address="a@bank.example"))
    assert "example.com, example.net" in str(refused.context["form"].errors["from_address"])

    fields = api.DraftFields(account=account, to="a@example.org", subject="Hi", text=".")
    draft = api.save_draft(anna, fields)
    Account.objects.update(from_address="anna@bank.example")
    with pytest.raises(InvalidMessageError, match=r"example\.com, example\.net"):
        api.send_draft(draft, actor=anna)
    with pytest.raises(InvalidMessageError):
        api.send(to="a@example.org", subject="Hi", text=".", account=account.pk)


def test_an_account_has_sender_domains_of_its_own(settings: Settings, account: Account) -> None:
    settings.OUTBOX = settings.OUTBOX | DOMAINS
    account.sender_domains = "Bank.example"
    account.from_address = "anna@bank.example"
    account.full_clean()
    account.from_address = "anna@example.com"
    with pytest.raises(ValidationError):
        account.full_clean()


@pytest.mark.parametrize(
    ("sender", "header"),
    [("a@example.com", "ceo@bank.example"), ("ceo@bank.example", "a@example.com")],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_no_path_sends_from_another_domain(
    sender: str, header: str, is_named: bool, db: None
) -> None:
    account = Account.objects.create(
        name="Shop", from_address="shop@example.com", host="mail.example.com",
        is_app_default=True, sender_domains="example.com",
    )  # fmt: skip
    item = api.Outgoing(
        source=f"From: <{header}>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\n.\r\n".encode(),
        envelope_sender=sender,
        recipients=[api.OutgoingRecipient("dan@example.org")],
        account=account if is_named else None,
        from_header="shop@example.com",
    )
    with pytest.raises(InvalidMessageError, match="may only send from"):
        api.queue_ids([item])
    account.delete()


@pytest.mark.django_db(transaction=True)  # the email is queued after the commit
def test_an_invitation_stands_although_its_email_fails(
    anna: User, trap: Account, caplog: pytest.LogCaptureFixture
) -> None:
    def execute(run: Any, sql: str, *args: Any) -> Any:
        if 'FROM "outbox_preferences"' in sql:
            raise OperationalError("database is locked")
        return run(sql, *args)

    with connection.execute_wrapper(execute):
        offer(trap, "anna")
    assert trap.users.get() == anna
    assert "database is locked" in caplog.text
