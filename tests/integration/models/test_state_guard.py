"""The trigger of the test settings allows exactly the changes of state in CHANGES."""

import pytest
from django.db import IntegrityError, connection, transaction

from outbox.models import CHANGES, Account, Message, Recipient, State
from tests.states import set_state

pytestmark = pytest.mark.django_db

PAIRS = [(before, after) for before in State for after in State]
LAWFUL = [(before, after) for before, after in PAIRS if after in CHANGES[before]]


@pytest.fixture
def recipient() -> Recipient:
    account = Account.objects.create(name="shop", host="127.0.0.1")
    message = Message.objects.create(account=account)
    return Recipient.objects.create(message=message, address="bob@example.net")


def update_in_sql(recipient: Recipient, state: State) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE outbox_recipient SET state = %s WHERE id = %s", [state.value, recipient.pk]
        )


@pytest.mark.parametrize(("before", "after"), LAWFUL)
def test_a_lawful_change_passes(recipient: Recipient, before: State, after: State) -> None:
    set_state(Recipient.objects, before)
    update_in_sql(recipient, after)
    assert Recipient.objects.get().state == after


@pytest.mark.parametrize(
    ("before", "after"), [pair for pair in PAIRS if pair not in LAWFUL and pair[0] != pair[1]]
)
def test_any_other_change_is_refused(recipient: Recipient, before: State, after: State) -> None:
    set_state(Recipient.objects, before)
    with pytest.raises(IntegrityError, match="not in CHANGES"):
        update_in_sql(recipient, after)
    with pytest.raises(IntegrityError, match="not in CHANGES"), transaction.atomic():
        Recipient.objects.update(state=after)
    assert Recipient.objects.get().state == before


@pytest.mark.parametrize("state", State)
def test_other_columns_may_change_in_every_state(recipient: Recipient, state: State) -> None:
    set_state(Recipient.objects, state)
    Recipient.objects.update(state=state, attempts=2)
    assert Recipient.objects.get().attempts == 2
