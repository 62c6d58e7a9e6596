"""A worker makes the connection test that a user requests on a page."""

import time

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.models import Account
from tests.conftest import StartWorker

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_makes_the_test_at_once(
    start_worker: StartWorker, account: Account, ann: User
) -> None:
    start_worker()
    client = Client()
    client.force_login(ann)
    response = client.post(
        reverse("outbox:account-test-saved", args=[account.pk]), HTTP_HX_REQUEST="true"
    )
    address = reverse("outbox:account-test-result", args=[response.context["pending"].token])
    deadline = time.monotonic() + 30
    while "Connected." not in (page := client.get(address).content.decode()):
        assert "Connection failed" not in page
        assert time.monotonic() < deadline, page
        time.sleep(0.1)  # as the page does: it asks again until there is a result
