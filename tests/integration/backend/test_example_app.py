"""A third-party app sends email inside its own transaction, through Django's API only."""

import pytest
from django.test import Client

from outbox.models import Account, Message
from tests.exampleapp.models import Order
from tests.integration.backend.conftest import by_outbox

ORDER = {"item": "Lamp", "customer": "jane@example.com"}

pytestmark = pytest.mark.urls("tests.exampleapp.urls")


def test_an_order_and_its_message_are_stored_together(client: Client, app_account: Account) -> None:
    assert client.post("/orders/", ORDER).status_code == 201

    assert Order.objects.get().item == "Lamp"
    assert by_outbox().recipients == ["jane@example.com"]
    assert b"{{ Not a template. }}" in by_outbox().source


def test_a_rolled_back_order_queues_no_message(client: Client, app_account: Account) -> None:
    assert client.post("/orders-too-late/", ORDER).status_code == 409

    assert not Order.objects.exists()
    assert not Message.objects.exists()
