"""Every action in every state on every surface: the same label, question and permission.

The surfaces are the message page, the lists, the question page for one message and for many, and
the admin.
"""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission as DjangoPermission
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.api.message_actions import (
    BULK_ACTIONS,
    MESSAGE_ACTIONS,
    RECIPIENT_ACTIONS,
    MessageAction,
    Permission,
)
from outbox.models import BulkOperation, Folder, Message, State
from outbox.models.rollup import roll_up
from tests.states import set_state

# What each state allows; retry of a cancelled or an uncertain recipient needs its name.
POSSIBLE = {
    State.QUEUED: {"cancel", "hold"},
    State.SENDING: {"cancel"},
    State.DEFERRED: {"cancel", "retry", "hold"},
    State.HELD: {"cancel", "release"},
    State.UNCERTAIN: {"mark-sent", "retry", "retry-uncertain"},
    State.SENT: set(),
    State.FAILED: {"retry", "retry-failed"},
    State.EXPIRED: {"retry", "retry-failed"},
    State.BOUNCED: {"retry", "retry-failed"},
    State.CANCELLED: {"retry"},
}
BY_NAME = {(State.CANCELLED, "retry"), (State.UNCERTAIN, "retry")}
FOR_MANY = {name for name, action in RECIPIENT_ACTIONS.items() if action.is_for_many_only}
CHANGELIST = "/admin/outbox/message/"

each_action = pytest.mark.parametrize("action", RECIPIENT_ACTIONS.values(), ids=RECIPIENT_ACTIONS)
each_state = pytest.mark.parametrize("state", POSSIBLE, ids=[state.value for state in POSSIBLE])


@pytest.fixture
def as_staff(db: None) -> Client:
    """A client of staff who may change messages."""
    return signed_in("staff", "view_message", "change_message", "view_bulkoperation")


@pytest.fixture
def as_viewer(db: None) -> Client:
    """A client of staff who may only view messages."""
    return signed_in("viewer", "view_message")


def signed_in(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    names = (*permissions, "view_all_accounts")
    user.user_permissions.set(DjangoPermission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def bring_to(message: Message, state: State) -> None:
    set_state(message.recipients, state)
    roll_up([message.pk], timezone.now(), "default")


def get(client: Client, name: str, *args: object, **query: int) -> str:
    response = client.get(reverse(f"outbox:{name}", args=args), query)
    assert response.status_code == 200, name
    return response.content.decode()


def text_of(element: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", element)).strip()


def offered(page: str) -> dict[str, str]:
    """Return the labels of the actions on a message page, by name."""
    found = re.findall(r'<(a|button) id="action-([\w-]+)"[^>]*>(.*?)</\1>', page, re.DOTALL)
    return {name: text_of(label) for _tag, name, label in found if name in RECIPIENT_ACTIONS}


def asked(page: str) -> tuple[str, str, str | None]:
    """Return the question, its explanation and the label of the button, if there is one."""
    title = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
    assert title is not None
    rest = page[title.end() :]
    button = re.search(r'<button class="button (?:primary|danger)"[^>]*>(.*?)</button>', rest)
    effect = re.search(r"<p>(.*?)</p>", rest)
    return text_of(title[1]), text_of(effect[1]) if effect else "", button and text_of(button[1])


def test_the_table_above_is_complete() -> None:
    assert set(POSSIBLE) == set(State)
    assert set().union(*POSSIBLE.values()) == set(RECIPIENT_ACTIONS)
    for action in BULK_ACTIONS.values():
        assert action.question
        assert action.effect
        assert action.done


@each_state
def test_the_message_page_offers_what_the_state_allows(
    as_anna: Client, mail: Message, state: State
) -> None:
    bring_to(mail, state)
    found = offered(get(as_anna, "message", mail.pk))
    allowed = POSSIBLE[state] - FOR_MANY
    assert found == {name: str(RECIPIENT_ACTIONS[name].label) for name in allowed}


@each_state
def test_the_question_for_one_message(as_anna: Client, mail: Message, state: State) -> None:
    bring_to(mail, state)
    for name, action in RECIPIENT_ACTIONS.items():
        title, effect, button = asked(get(as_anna, name, mail.pk))
        assert title == action.question, name
        if name in POSSIBLE[state]:
            assert (effect, button) == (action.effect, action.label), name
        else:
            assert button is None, name


@each_state
def test_the_question_for_many_messages(as_anna: Client, mail: Message, state: State) -> None:
    bring_to(mail, state)
    for name, action in RECIPIENT_ACTIONS.items():
        title, effect, button = asked(get(as_anna, "bulk", name, m=mail.pk))
        assert title == action.question, name
        if name in POSSIBLE[state] and (state, name) not in BY_NAME:
            assert (effect, button) == (action.effect, action.label), name
        else:
            assert button is None, name


@each_state
def test_the_question_in_the_admin(as_staff: Client, mail: Message, state: State) -> None:
    bring_to(mail, state)
    for name, action in RECIPIENT_ACTIONS.items():
        chosen = {"action": name, "_selected_action": [mail.pk]}
        page = as_staff.post(CHANGELIST, chosen, follow=True).content.decode()
        assert f"<h1>{action.question}</h1>" in page, name
        assert BulkOperation.objects.latest("pk").action == name
        is_possible = name in POSSIBLE[state] and (state, name) not in BY_NAME
        assert (f'<input type="submit" value="{action.label}">' in page) is is_possible, name
        assert (str(action.effect) in unescape(page)) is is_possible, name


def test_the_admin_offers_every_action_on_recipients(as_staff: Client, mail: Message) -> None:
    page = as_staff.get(CHANGELIST).content.decode()
    options = dict(re.findall(r'<option value="([\w-]+)">(.*?)</option>', page))
    assert options == {name: str(action.label) for name, action in RECIPIENT_ACTIONS.items()}


@pytest.mark.parametrize("folder", list(Folder))
def test_a_list_offers_the_actions_of_its_folder(
    as_anna: Client, mail: Message, draft: Message, folder: Folder
) -> None:
    Message.objects.update(folder=folder, has_failure=folder == Folder.FAILED)
    page = get(as_anna, "folder", folder.value)
    found = re.findall(r'formaction="([^"]+)"[^>]*>(.*?)</button>', page, re.DOTALL)
    assert {(address, text_of(label)) for address, label in found} == {
        (reverse("outbox:bulk", args=[action.name]), str(action.label))
        for action in MESSAGE_ACTIONS.values()
        if folder in action.folders
    }


@each_action
def test_the_owner_and_staff_who_may_change_messages_are_permitted(
    as_anna: Client,
    as_ben: Client,
    as_staff: Client,
    as_viewer: Client,
    mail: Message,
    action: MessageAction,
) -> None:
    assert action.permission is Permission.CHANGE
    bring_to(mail, action.states[0])
    clients = {"owner": as_anna, "other": as_ben, "staff": as_staff, "viewer": as_viewer}
    question = {"owner": 200, "other": 404, "staff": 200, "viewer": 403}
    for role, client in clients.items():
        is_permitted = question[role] == 200
        address = reverse(f"outbox:{action.name}", args=[mail.pk])
        assert client.get(address).status_code == question[role], role
        page = client.get(reverse("outbox:message", args=[mail.pk]))
        is_offered = is_permitted and action.name not in FOR_MANY
        assert (action.name in offered(page.content.decode())) is is_offered, role
        _title, _effect, button = asked(get(client, "bulk", action.name, m=mail.pk))
        assert (button is not None) is is_permitted, role
    assert str(action.label) in as_staff.get(CHANGELIST).content.decode()
    assert f'<option value="{action.name}">' not in as_viewer.get(CHANGELIST).content.decode()
